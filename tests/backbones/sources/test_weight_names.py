"""Weights under the names that wrappers and trainers give them, and what is said of those that are no whole model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision import models

import rft
from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.sources import mismatch
from rft.config.schema import ModelConfig
from rft.errors import ModelError, RftError
from rft.models import external
from tests.support import families
from tests.support.checkpoints import save_bert, write_texts

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Return the tensors of a ResNet whose BatchNorms have seen batches, so that statistics are not at their start."""
    return families.settle_norms(families.build_seeded(models.resnet18), 64).state_dict()


def load_resnet(folder: Path, content: object, name: str = "w.pth") -> LoadedBackbone:
    torch.save(content, folder / name)
    settings = ModelConfig(backbone="torchvision/resnet18", weights=name, image_size=64)
    return load_backbone(settings, folder, modality="image", seed=3, offline=True)


def refusal_of(load_it: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        load_it()
    return str(caught.value)


def assert_same(loaded: LoadedBackbone, state: State) -> None:
    loaded_state = loaded.backbone.network.state_dict()
    assert len(loaded_state) == len(state) - 2  # without the classifier
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded_state.items())


def rename_tensors(state: State, change: Callable[[str], str]) -> State:
    return {change(name): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module.{name}",
        lambda name: f"model.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: f"model._orig_mod.{name}",
        lambda name: f"model.net.backbone.{name}",
        lambda name: name.replace("layer1.", "layer1._orig_mod."),  # a part was compiled
        lambda name: name.replace("layer4.", "layer4.module."),  # a part was run by DataParallel
        lambda name: f"classifier.model.{name}",
    ],
)
def test_wrappers_are_taken_off_the_names(tmp_path: Path, state: State, change: Callable[[str], str]) -> None:
    assert_same(load_resnet(tmp_path, rename_tensors(state, change)), state)
    assert_same(load_resnet(tmp_path, {"epoch": 3, "state_dict": rename_tensors(state, change)}), state)


def test_what_stands_beside_the_model_is_left_out_and_said(
    tmp_path: Path, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    beside = {"loss.weight": torch.ones(2), "metric.total": torch.ones(1)}
    assert_same(load_resnet(tmp_path, {"state_dict": rename_tensors(state, "model.{}".format) | beside}), state)
    assert "2 tensors of the file do not belong to the model, first 'loss.weight'" in caplog.text


def test_counters_that_older_files_lack_begin_at_zero(tmp_path: Path, state: State) -> None:
    counted = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(counted) < len(state)
    loaded_state = load_resnet(tmp_path, counted).backbone.network.state_dict()
    assert loaded_state["bn1.num_batches_tracked"] == 0
    assert torch.equal(loaded_state["bn1.running_mean"], state["bn1.running_mean"])
    without = {name: tensor for name, tensor in counted.items() if name != "bn1.running_mean"}
    message = refusal_of(lambda: load_resnet(tmp_path, without))
    assert "1 tensor of the backbone is not in the file, first 'bn1.running_mean'" in message


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net", "state_dict_ema", "ema"])
def test_files_of_trainers_hold_the_state_dict_under_many_names(tmp_path: Path, state: State, key: str) -> None:
    trainer = {"epoch": 9, "optimizer": {"state": {}, "param_groups": []}, "optimizer_state": dict(state)}
    assert_same(load_resnet(tmp_path, trainer | {key: state}), state)
    assert_same(load_resnet(tmp_path, trainer | {"checkpoint": {key: state}}), state)


def test_of_several_models_in_a_file_none_is_guessed(tmp_path: Path, state: State) -> None:
    both = {"state_dict": state, "state_dict_ema": state}
    message = refusal_of(lambda: load_resnet(tmp_path, both))
    assert "w.pth holds several state dicts: state_dict, state_dict_ema" in message
    assert "save that one alone" in message
    pair = rename_tensors(state, "student.{}".format) | rename_tensors(state, "teacher.{}".format)
    assert "the file holds 2 models, under 'student.' and 'teacher.'" in refusal_of(lambda: load_resnet(tmp_path, pair))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_named(tmp_path: Path, state: State, value: float) -> None:
    broken = dict(state)
    broken["layer2.0.conv1.weight"] = torch.full_like(state["layer2.0.conv1.weight"], value)
    message = refusal_of(lambda: load_resnet(tmp_path, broken))
    assert "1 of its tensors hold NaN or infinity, first 'network.layer2.0.conv1.weight'" in message
    save_bert(tmp_path / "model")
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    tensors["classifier.bias"][0] = value
    save_file(tensors, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    assert "1 of its tensors hold NaN or infinity, first 'network.classifier.bias'" in refusal_of(
        lambda: load_checkpoint(tmp_path)
    )


def test_tensors_of_an_adapter_are_called_so(tmp_path: Path, state: State) -> None:
    adapter = {f"base_model.model.{name}.lora_A.default.weight": torch.ones(2, 2) for name in ("fc", "conv1")}
    assert "merge_and_unload()" in refusal_of(lambda: load_resnet(tmp_path, adapter))


@pytest.mark.parametrize(
    "name", ["densenet121", pytest.param("vit_b_16", marks=pytest.mark.slow), "mnasnet0_5", "googlenet"]
)
def test_published_files_of_torchvision_keep_older_names(tmp_path: Path, name: str) -> None:
    """The tensors of DenseNet and ViT are published under names that their modules no longer have."""
    network = families.build_seeded(lambda: models.get_model(name))
    older = {}
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        parts = key.split(".")
        if name == "densenet121" and any(part.startswith("denselayer") for part in parts):
            parts = [f"{part[:-1]}.{part[-1]}" if part[:-1] in ("norm", "conv") else part for part in parts]
        if name == "vit_b_16" and "mlp" in parts:
            place = parts.index("mlp") + 1
            parts[place] = {"0": "linear_1", "3": "linear_2"}[parts[place]]
        older[".".join(parts)] = tensor
    assert name not in ("densenet121", "vit_b_16") or set(older) - set(network.state_dict())
    torch.save(older, tmp_path / "w.pth")
    settings = ModelConfig(backbone=f"torchvision/{name}", weights="w.pth")
    state = load_backbone(settings, tmp_path, modality="image", seed=3, offline=True).backbone.network.state_dict()
    expected = network.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in state.items())


# ---------------------------------------------------------------- of another architecture


def other_weights(kind: str) -> State:
    """Return the tensors of a small model of a kind."""
    if kind == "bert":
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        network = hf.BertModel(hf.BertConfig(vocab_size=10, **sizes))
    elif kind == "timm":
        network = timm.create_model("tf_efficientnet_lite0")
    else:
        network = models.get_model(kind, weights=None)
    return dict(network.state_dict())


@pytest.mark.parametrize(
    ("kind", "problem", "remedy"),
    [
        (
            "resnet50",
            "77 of the 100 tensors of the backbone fit; 23 have another shape, first 'layer1.0.conv1.weight': "
            "(64, 64, 1, 1) where the backbone has (64, 64, 3, 3); 198 tensors of the file are not in the backbone",
            "They look like torchvision/resnet50: 320 of its 320 tensors are there. Name it in model.backbone.",
        ),
        (
            "mobilenet_v3_small",
            "0 of the 100 tensors of the backbone fit; 100 tensors of the backbone are not in the file",
            "They look like torchvision/mobilenet_v3_small: 244 of its 244 tensors are there. Name it",
        ),
        ("timm", "0 of the 100", "They look like an EfficientNet or MobileNet of timm: name the architecture"),
        ("bert", "23 tensors of the file are not in the backbone", "They look like a BERT of transformers: name the a"),
    ],
)
def test_weights_of_another_architecture_are_counted_and_recognised(
    tmp_path: Path, kind: str, problem: str, remedy: str
) -> None:
    weights = other_weights(kind)
    trainer = {"epoch": 3, "optimizer": {"state": {}}, "model": rename_tensors(weights, "module.{}".format)}
    said = refusal_of(lambda: load_resnet(tmp_path, trainer if kind == "resnet50" else weights)).splitlines()
    assert problem in said[0]
    assert remedy in said[1]


def test_a_changed_model_is_told_from_another_one(tmp_path: Path, state: State) -> None:
    message = refusal_of(lambda: load_resnet(tmp_path, {**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}))
    assert (
        "99 of the 100 tensors of the backbone fit; 1 has another shape, first 'conv1.weight': (64, 3, 3, 3)" in message
    )
    assert (
        "torchvision/resnet18: 121 of its 122 tensors are there. Build the changed one with model.factory." in message
    )


def test_what_looks_like_nothing_known_says_what_to_do(tmp_path: Path) -> None:
    message = refusal_of(lambda: load_resnet(tmp_path, {"a": torch.zeros(2)}))
    assert "1 tensor of the file is not in the backbone, first 'a'" in message
    assert (
        "Name the architecture that they were saved from in model.backbone, or build it with model.factory." in message
    )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_no_bytes_is_called_empty(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"w{suffix}").touch()
    settings = ModelConfig(backbone="torchvision/resnet18", weights=f"w{suffix}")
    message = refusal_of(lambda: load_backbone(settings, tmp_path, modality="image", seed=0, offline=True))
    assert f"w{suffix} cannot be read as weights: it is empty" in message


def test_the_state_of_an_optimizer_alone_is_no_model(tmp_path: Path) -> None:
    message = refusal_of(lambda: load_resnet(tmp_path, {"optimizer": {"state": {0: {"step": torch.ones(1)}}}}))
    assert "w.pth holds no state dict" in message
    assert "torch.save(model.state_dict(), FILE)" in message


@pytest.mark.slow
def test_every_model_that_is_looked_for_is_one_of_torchvision_and_of_its_family() -> None:
    for family in mismatch.FAMILIES:
        for name in family.members:
            with torch.device("meta"):
                tensors = models.get_model(name, weights=None).state_dict()
            assert mismatch.find_family(tensors) is family, name


def test_a_folder_with_the_weights_of_another_model_says_what_they_look_like(tmp_path: Path) -> None:
    save_bert(tmp_path / "model")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    vit = hf.ViTModel(hf.ViTConfig(image_size=32, **sizes))
    save_file(dict(vit.state_dict()), tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    backbone = ModelConfig(backbone="transformers/model")
    message = refusal_of(lambda: load_backbone(backbone, tmp_path, modality="text", seed=0, offline=True))
    assert "tensors do not fit: 'model' comes without" in message
    assert "config.json says bert, and the tensors look like a vision transformer of transformers" in message


# ---------------------------------------------------------------- folders as the hub lays them out


def load_checkpoint(folder: Path, modality: str = "text", classes: tuple[str, ...] = ("negative", "positive")) -> Any:
    settings = ModelConfig(checkpoint="model")
    return external.load_external(settings, folder, classes, modality=modality, device="cpu", offline=True)


def rename_in_folder(folder: Path, change: Callable[[str], str], layout: str) -> None:
    """Write the weights of a folder again, under other names: whole, in two shards, or pickled."""
    path = folder / "model.safetensors"
    state = rename_tensors(load_file(path), change)
    path.unlink()
    if layout == "whole":
        save_file(state, path, metadata={"format": "pt"})
    elif layout == "pickled":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        names = sorted(state)
        places = {name: f"model-{number % 2 + 1:05}-of-00002.safetensors" for number, name in enumerate(names)}
        for file in set(places.values()):
            part = {name: state[name] for name in names if places[name] == file}
            save_file(part, folder / file, metadata={"format": "pt"})
        index = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


PREFIXES = ["_orig_mod.", "module.", "model.", "module._orig_mod.", "model._orig_mod."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("layout", ["whole", "shards", "pickled"])
def test_a_checkpoint_is_read_from_under_its_wrappers(tmp_path: Path, prefix: str, layout: str) -> None:
    model = save_bert(tmp_path / "model")
    rename_in_folder(tmp_path / "model", f"{prefix}{{}}".format, layout)
    loaded = load_checkpoint(tmp_path)
    batch = loaded.preprocessing(["good film", "a bad book"])
    with torch.no_grad():
        assert torch.equal(loaded.classifier(batch), model(**batch).logits)
    config = ModelConfig(backbone="transformers/model")
    backbone = load_backbone(config, tmp_path, modality="text", seed=0, offline=True).backbone.network
    expected = model.bert.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in backbone.state_dict().items())


def test_a_part_that_was_compiled_is_read(tmp_path: Path) -> None:
    model = save_bert(tmp_path / "model")
    rename_in_folder(tmp_path / "model", lambda name: name.replace("bert.", "bert._orig_mod."), "whole")
    loaded_state = load_checkpoint(tmp_path).classifier.network.network.state_dict()
    assert all(torch.equal(tensor, loaded_state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_a_model_whose_own_names_begin_with_model_is_read(tmp_path: Path, prefix: str) -> None:
    sizes = {**families.SMALL, "num_key_value_heads": 2, "pad_token_id": 0}
    words = families.byte_tokenizer()
    config = hf.LlamaConfig(vocab_size=len(words), id2label={0: "negative", 1: "positive"}, **sizes)
    model = families.build_seeded(lambda: hf.LlamaForSequenceClassification(config)).eval()
    families.write_hub_folder(tmp_path / "model", model, words)
    rename_in_folder(tmp_path / "model", f"{prefix}{{}}".format, "whole")
    loaded_state = load_checkpoint(tmp_path).classifier.network.network.state_dict()
    assert all(torch.equal(tensor, loaded_state[name]) for name, tensor in model.state_dict().items())
    settings = ModelConfig(backbone="transformers/model")
    backbone = load_backbone(settings, tmp_path, modality="text", seed=0, offline=True).backbone.network
    expected = model.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in backbone.state_dict().items())


def test_a_folder_without_counters_is_whole(tmp_path: Path) -> None:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic"}
    config = hf.ResNetConfig(**sizes, id2label={0: "blue", 1: "red"})
    hf.ResNetForImageClassification(config).save_pretrained(tmp_path / "model")
    hf.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    counted = {name: tensor for name, tensor in load_file(path).items() if "num_batches_tracked" not in name}
    save_file(counted, path, metadata={"format": "pt"})
    loaded_state = load_checkpoint(tmp_path, "image", ("blue", "red")).classifier.state_dict()
    assert all(tensor == 0 for name, tensor in loaded_state.items() if "num_batches_tracked" in name)
    backbone = ModelConfig(backbone="transformers/model")
    assert load_backbone(backbone, tmp_path, modality="image", seed=0, offline=True).dimension == 12


# ---------------------------------------------------------------- adapters


def adapter_folder(folder: Path, kind: str, task: str = "SEQ_CLS") -> Path:
    folder.mkdir(exist_ok=True)
    content = {"peft_type": kind, "task_type": task, "base_model_name_or_path": "some/base"}
    (folder / "adapter_config.json").write_text(json.dumps(content), encoding="utf-8")
    save_file({"base_model.model.x.lora_A.weight": torch.ones(2, 2)}, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "VERA"])
def test_a_folder_with_an_adapter_alone_says_what_it_is(tmp_path: Path, kind: str) -> None:
    adapter_folder(tmp_path / "model", kind)
    message = refusal_of(lambda: load_checkpoint(tmp_path))
    assert f"the folder 'model' holds a PEFT adapter ({kind}) for 'some/base', not a whole model" in message
    assert "AutoModelForSequenceClassification.from_pretrained('some/base', num_labels=K)" in message
    assert "merge_and_unload().save_pretrained('merged')" in message
    backbone = ModelConfig(backbone="transformers/model")
    assert "not a whole model" in refusal_of(
        lambda: load_backbone(backbone, tmp_path, modality="text", seed=0, offline=True)
    )


@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"])
def test_learned_prompts_cannot_be_merged_and_say_so(tmp_path: Path, kind: str) -> None:
    adapter_folder(tmp_path / "model", kind)
    message = refusal_of(lambda: load_checkpoint(tmp_path))
    assert f"{kind} cannot be merged into its model: build both with model.factory" in message
    assert "merge_and_unload" not in message


def test_an_adapter_beside_a_whole_model_is_not_passed_over(tmp_path: Path) -> None:
    save_bert(tmp_path / "model")
    adapter_folder(tmp_path / "model", "LORA")
    message = refusal_of(lambda: load_checkpoint(tmp_path))
    assert "holds a whole model and a PEFT adapter (LORA) beside it" in message
    assert "take adapter_config.json out of the folder" in message


def test_the_remedy_for_an_adapter_gives_a_folder_that_is_audited(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    save_bert(tmp_path / "base")
    base = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=2)
    options = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], init_lora_weights=False)
    peft.get_peft_model(base, options).save_pretrained(tmp_path / "model")
    assert "holds a PEFT adapter (LORA) for 'base'" in refusal_of(lambda: load_checkpoint(tmp_path))
    fresh = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=2)
    merged = peft.PeftModel.from_pretrained(fresh, tmp_path / "model").merge_and_unload().eval()
    shutil.rmtree(tmp_path / "model")
    merged.save_pretrained(tmp_path / "model")
    hf.AutoTokenizer.from_pretrained(tmp_path / "base").save_pretrained(tmp_path / "model")
    loaded = load_checkpoint(tmp_path)
    batch = loaded.preprocessing(["good film"])
    with torch.no_grad():
        assert torch.equal(loaded.classifier(batch), merged(**batch).logits)


# ---------------------------------------------------------------- revisions and tags

FIRST, SECOND = "1" * 40, "2" * 40


def write_hub_cache(cache: Path, repository: str, snapshots: dict[str, Path]) -> None:
    """Lay folders out as the hub's client does: the first is the branch main, the second the tag v2."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    for (commit, folder), reference in zip(snapshots.items(), ("main", "v2"), strict=True):
        shutil.copytree(folder, place / "snapshots" / commit)
        (place / "refs" / reference).write_text(commit, encoding="utf-8")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("name", "commit"),
    [("some/bert", FIRST), ("some/bert@main", FIRST), ("some/bert@v2", SECOND), (f"some/bert@{SECOND}", SECOND)],
)
def test_a_revision_is_pinned_and_shown(tmp_path: Path, hub_cache: Path, name: str, commit: str) -> None:
    models_of = {FIRST: save_bert(tmp_path / "first"), SECOND: save_bert(tmp_path / "second", hidden_act="relu")}
    write_hub_cache(hub_cache, "some/bert", {FIRST: tmp_path / "first", SECOND: tmp_path / "second"})
    write_texts(tmp_path / "texts.csv")
    columns = 'manifest = "texts.csv"\ntext = "text"\nlabel = "label"\nsplit = "split"'
    audit = f'name = "t"\n\n[data]\n{columns}\n\n[model]\ncheckpoint = "{name}"\n'
    (tmp_path / "audit.toml").write_text(audit, encoding="utf-8")
    run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu", offline=True)
    assert run.model.revision == commit
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Revision" in report
    assert commit in report
    texts = hf.AutoTokenizer.from_pretrained(tmp_path / "first")
    scores = run.artifacts.predictions["score_positive"]
    first = (tmp_path / "texts.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    with torch.no_grad():
        expected = models_of[commit](**texts(first, return_tensors="pt")).logits.softmax(dim=1)[0, 1]
    assert abs(scores[0] - float(expected)) < 1e-5
    settings = ModelConfig(backbone=f"transformers/{name}")
    assert load_backbone(settings, tmp_path, modality="text", seed=0, offline=True).revision == commit


def test_a_revision_that_is_not_cached_is_said_beside_those_that_are(tmp_path: Path, hub_cache: Path) -> None:
    save_bert(tmp_path / "first")
    write_hub_cache(hub_cache, "some/bert", {FIRST: tmp_path / "first", SECOND: tmp_path / "first"})
    settings = ModelConfig(backbone="transformers/some/bert@v3")
    message = refusal_of(lambda: load_backbone(settings, tmp_path, modality="text", seed=0, offline=True))
    assert "some/bert@v3 could not be had without the network: its revision 'v3' is not cached" in message
    assert "those cached are main, v2" in message


def test_a_revision_of_timms_weights_is_pinned(tmp_path: Path, hub_cache: Path) -> None:
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    networks = {}
    for seed, commit in enumerate((FIRST, SECOND)):
        torch.manual_seed(seed)
        networks[commit] = timm.create_model("test_resnet")
        (tmp_path / commit).mkdir()
        save_file(networks[commit].state_dict(), tmp_path / commit / "model.safetensors")
    write_hub_cache(hub_cache, repository, {commit: tmp_path / commit for commit in networks})
    for name, commit in (("test_resnet", FIRST), ("test_resnet@v2", SECOND), (f"test_resnet@{SECOND}", SECOND)):
        settings = ModelConfig(backbone=f"timm/{name}")
        loaded = load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
        assert loaded.revision == commit
        assert torch.equal(loaded.backbone.network.conv1[0].weight, networks[commit].conv1[0].weight)
        assert loaded.identity.name == "test_resnet"
    absent = ModelConfig(backbone="timm/test_resnet@v3")
    message = refusal_of(lambda: load_backbone(absent, tmp_path, modality="image", seed=0, offline=True))
    assert "its revision 'v3' is not cached; those cached are main, v2" in message


@pytest.mark.parametrize("backbone", ["torchvision/resnet18@main", "timm/test_resnet@main"])
def test_a_revision_of_weights_that_are_not_of_the_hub_is_refused(tmp_path: Path, backbone: str) -> None:
    settings = ModelConfig(backbone=backbone, weights="random")
    message = refusal_of(lambda: load_backbone(settings, tmp_path, modality="image", seed=0, offline=True))
    assert "the revision 'main' is one of the hub" in message


@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_a_wrong_tag_of_timm_is_told_with_those_that_it_has(tmp_path: Path, hub_cache: Path, weights: str) -> None:
    (hub_cache / "models--some--other").mkdir(parents=True)
    for tag, said in (("nosuchtag", "Its tags: a1_in1k,"), ("a1_in1", "Did you mean 'resnet18.a1_in1k'")):
        settings = ModelConfig(backbone=f"timm/resnet18.{tag}", weights=weights)
        with pytest.raises(RftError) as caught:
            load_backbone(settings, tmp_path, modality="image", seed=0, offline=True)
        assert f"timm has no weights with the tag '{tag}' for resnet18" in str(caught.value)
        assert said in str(caught.value)
        assert caught.value.exit_code == 2
