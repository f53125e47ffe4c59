"""Models that others trained: what they say here is what they say at home, and what cannot be audited is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import rft
from rft.config.schema import ModelConfig
from rft.errors import ConfigError, ModelError, RftError
from rft.models import external
from rft.plugins.attribution.images.map_layer import FromMap, find_map_layer
from rft.plugins.attribution.network import Network
from tests.conftest import CONFIG, write_images
from tests.support import ROOT
from tests.support.checkpoints import TEXT_AUDIT, WORDS, bert, save_bert, save_vit, word_tokenizer, write_texts

transformers = pytest.importorskip("transformers")

CLASSES = ("negative", "positive")


def load(folder: Path, *, of_data: tuple[str, ...] = CLASSES, modality: str = "text", **keys: Any) -> Any:
    named = {} if "factory" in keys else {"checkpoint": "model"}
    settings = ModelConfig(**{**named, **keys})
    return external.load_external(settings, folder, of_data, modality=modality, device="cpu", offline=True)


def load_factory(folder: Path, body: str, **keys: Any) -> Any:
    """Load what ``build`` of a module with this body returns; images unless it is told otherwise."""
    (folder / "made.py").write_text(f"import torch\nfrom torch import nn\n\n{body}\n", encoding="utf-8")
    defaults = {"factory": "made:build", "classes": ["red", "blue"], "image_size": 32, "modality": "image"}
    return load(folder, **{"of_data": ("blue", "red"), **defaults, **keys})


def refusal_of(folder: Path, **keys: Any) -> str:
    with pytest.raises(RftError) as error:
        load(folder, **keys)
    return str(error.value)


class TestTexts:
    def test_the_predictions_are_the_models_own_whatever_stands_beside(self, tmp_path: Path) -> None:
        model = save_bert(tmp_path / "model", ["positive", "negative"])
        texts = write_texts(tmp_path / "texts.csv")["text"].tolist()
        (tmp_path / "audit.toml").write_text(TEXT_AUDIT, encoding="utf-8")
        run = rft.audit(tmp_path / "audit.toml", device="cpu")
        words = word_tokenizer()
        with torch.no_grad():
            alone = [model(**words(text, return_tensors="pt")).logits.softmax(dim=1)[0] for text in texts]
        predictions = run.artifacts.predictions
        assert np.allclose(predictions["score_positive"], [float(row_alone[0]) for row_alone in alone], atol=1e-5)
        assert np.allclose(predictions["score_negative"], [float(row_alone[1]) for row_alone in alone], atol=1e-5)

    def test_the_subject_says_what_it_is(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        write_texts(tmp_path / "texts.csv")
        plugins = "\n[privacy]\n\n[fairness]\nmin_group_size = 5\n\n[attribution]\nsamples = 2\n"
        (tmp_path / "audit.toml").write_text(TEXT_AUDIT + plugins, encoding="utf-8")
        run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
        assert run.model.training.mode == "external"
        assert run.model.backbone is None
        assert run.verdict.status == "no_rules"  # nothing that was asked for is missing
        assert run.finding("privacy.membership_auc").value is not None  # the table says what it was trained on
        reasons = {f.id: f.reason for s in run.sections for f in s.findings if f.reason}
        assert "outside this run" in reasons["privacy.epsilon"]
        assert "outside this run" in reasons["training.frozen_changed"]
        assert "outside this run" in reasons["backbone.probe_accuracy"]
        evidence = json.loads((tmp_path / "run" / "evidence.json").read_text())
        assert evidence["model"] == {"sha256": run.model.model_sha256}
        assert not (tmp_path / "run" / "model").exists()
        report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
        assert "Audit of a model trained elsewhere" in report
        assert "checkpoint model" in report
        assert "Audited by rft" in (tmp_path / "run" / "model-card.md").read_text(encoding="utf-8")

    def test_test_examples_are_enough(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        write_texts(tmp_path / "texts.csv", splits=("test",))
        plugins = "\n[privacy]\n\n[fairness]\nmin_group_size = 5\n"
        (tmp_path / "audit.toml").write_text(TEXT_AUDIT + plugins, encoding="utf-8")
        run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
        assert list(run.data.splits) == ["test"]
        assert run.finding("performance.accuracy").value is not None
        assert run.finding("fairness.accuracy_gap.about").value is not None
        assert "what the model was trained on must be known" in run.finding("privacy.membership_auc").reason
        assert "is the only split" in run.finding("dataset.shared_items").reason
        assert "no split train" in run.finding("dataset.smallest_class").reason
        assert "no train rows" in run.finding("performance.baseline_accuracy").reason

    @pytest.mark.parametrize("said", ["test = 0.25", ""])
    def test_without_a_split_all_examples_are_test(self, tmp_path: Path, said: str) -> None:
        """Who it was trained on cannot be drawn by chance: a fraction changes nothing, and the report says so."""
        save_bert(tmp_path / "model")
        rows = write_texts(tmp_path / "texts.csv")
        (tmp_path / "audit.toml").write_text(TEXT_AUDIT.replace('split = "split"', said), encoding="utf-8")
        run = rft.audit(tmp_path / "audit.toml", device="cpu")
        assert {name: split.n for name, split in run.data.splits.items()} == {"test": len(rows)}
        remarked = [finding for finding in run.section("dataset").findings if finding.id == "dataset.all_test"]
        assert [finding.value for finding in remarked] == ([len(rows)] if said else [])

    def test_private_training_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()  # or its absence would be said first
        (tmp_path / "audit.toml").write_text(f"{TEXT_AUDIT}\n[privacy]\nepsilon = 3\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"\[privacy\]: would train the model"):
            rft.audit(tmp_path / "audit.toml")

    @pytest.mark.parametrize("pad", [None, 0, 3])
    def test_gpt_finds_the_last_word_beside_longer_texts(self, tmp_path: Path, pad: int | None) -> None:
        """Left as it is, a GPT without a padding token refuses batches, and one with another than its tokenizer's
        takes padding for the last word."""
        words = word_tokenizer()
        words.pad_token = "[MASK]" if pad == 3 else words.pad_token
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": len(words)}
        named = {"id2label": dict(enumerate(CLASSES)), "pad_token_id": pad, "bos_token_id": 2, "eos_token_id": 3}
        torch.manual_seed(0)
        model = transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**sizes, **named)).eval()
        model.save_pretrained(tmp_path / "model")
        words.save_pretrained(tmp_path / "model")
        loaded = load(tmp_path)
        texts = ["good film", "bad book and it was very very poor", "the film"]
        with torch.no_grad():
            together = loaded.classifier(loaded.preprocessing(texts))
            alone = torch.cat([loaded.classifier(loaded.preprocessing([text])) for text in texts])
        assert torch.allclose(together, alone, atol=1e-5)
        assert loaded.classifier.embedding_layer == "network.network.transformer.wte"

    def test_classes_name_outputs_without_names(self, tmp_path: Path) -> None:
        model = save_bert(tmp_path / "model", ["LABEL_0", "LABEL_1"])
        message = refusal_of(tmp_path)
        assert "'LABEL_0', 'LABEL_1'; the labels of the data are 'negative', 'positive'" in message
        assert "classes = [" in message
        loaded = load(tmp_path, of_data=CLASSES, classes=["positive", "negative"])
        batch = loaded.preprocessing(["good film"])
        with torch.no_grad():
            assert torch.allclose(loaded.classifier(batch), model(**batch).logits[:, [1, 0]], atol=1e-6)

    @pytest.mark.parametrize("labels", [["Negative", "Positive"], ["negative", "neutral", "positive"], ["a", "b"]])
    def test_labels_are_not_guessed(self, tmp_path: Path, labels: list[str]) -> None:
        save_bert(tmp_path / "model", labels)
        message = refusal_of(tmp_path)
        assert all(repr(name) in message for name in [*labels, *CLASSES])

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"id2label": {0: "x"}}, "1 output for regression"),
            ({"problem_type": "regression"}, "for regression"),
            ({"problem_type": "multi_label_classification"}, "several labels"),
        ],
    )
    def test_other_tasks_are_refused(self, tmp_path: Path, changes: dict[str, object], reason: str) -> None:
        save_bert(tmp_path / "model", **changes)
        assert reason in refusal_of(tmp_path)

    def test_a_checkpoint_without_its_classifier_is_refused(self, tmp_path: Path) -> None:
        """transformers would go on with a random one."""
        transformers.BertForMaskedLM(bert(list(CLASSES)).config).save_pretrained(tmp_path / "model")
        word_tokenizer().save_pretrained(tmp_path / "model")
        message = refusal_of(tmp_path)
        assert "4 tensors of BertForSequenceClassification are not in the folder's weights" in message
        assert "its classifier would be random" in message

    def test_weights_of_another_shape_are_refused(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        config = json.loads((tmp_path / "model" / "config.json").read_text())
        config["id2label"] = {"0": "a", "1": "b", "2": "c"}
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
        message = refusal_of(tmp_path, of_data=("a", "b", "c"))
        assert "2 tensors of BertForSequenceClassification differ in shape: 'classifier.bias'" in message

    def test_a_model_of_images_is_none_of_texts(self, tmp_path: Path) -> None:
        save_vit(tmp_path / "model")
        message = refusal_of(tmp_path)
        assert "vit is no classifier of texts" in message
        assert "data.image" in message

    def test_precision_is_the_models_own(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        assert "model.precision" in refusal_of(tmp_path, precision="bfloat16")


class TestBadFolders:
    def test_without_config(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        (tmp_path / "model" / "config.json").unlink()
        assert "has no config.json" in refusal_of(tmp_path)
        assert "no such folder" in refusal_of(tmp_path, checkpoint="./other")

    def test_without_weights(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        (tmp_path / "model" / "model.safetensors").unlink()
        assert "model" in refusal_of(tmp_path)

    @pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
    def test_remote_code_is_not_run(self, tmp_path: Path, file: str) -> None:
        save_bert(tmp_path / "model")
        path = tmp_path / "model" / file
        content = json.loads(path.read_text())
        content |= {"auto_map": {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}}
        content |= {"tokenizer_class": "Evil", "model_type": "evil"}
        path.write_text(json.dumps(content))
        (tmp_path / "model" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
        assert "model.checkpoint" in refusal_of(tmp_path)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("sharded", [False, True])
    def test_pickled_objects_are_not_loaded(self, tmp_path: Path, sharded: bool) -> None:
        model = save_bert(tmp_path / "model")
        (tmp_path / "model" / "model.safetensors").unlink()
        name = "pytorch_model-00001-of-00001.bin" if sharded else "pytorch_model.bin"
        torch.save({**model.state_dict(), "extra": Opens(tmp_path / "ran")}, tmp_path / "model" / name)
        if sharded:
            index = {"metadata": {}, "weight_map": dict.fromkeys([*model.state_dict(), "extra"], name)}
            (tmp_path / "model" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        assert "model.checkpoint" in refusal_of(tmp_path)
        assert not (tmp_path / "ran").exists()
        torch.load(tmp_path / "model" / name, weights_only=False)
        assert (tmp_path / "ran").exists()  # the trap is real

    def test_a_tokenizer_of_another_model(self, tmp_path: Path) -> None:
        save_bert(tmp_path / "model")
        word_tokenizer(WORDS + [f"word{number}" for number in range(50)]).save_pretrained(tmp_path / "model")
        assert "do not belong together" in refusal_of(tmp_path)

    def test_no_tokenizer_at_all(self, tmp_path: Path) -> None:
        """transformers would make one up that knows no word."""
        bert(list(CLASSES)).save_pretrained(tmp_path / "model")
        assert "tokenizer" in refusal_of(tmp_path)

    def test_no_image_processor(self, tmp_path: Path) -> None:
        save_vit(tmp_path / "model")
        (tmp_path / "model" / "preprocessor_config.json").unlink()
        assert "has no preprocessor_config.json" in refusal_of(tmp_path, of_data=("blue", "red"), modality="image")


class Opens:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


class TestImages:
    def test_images_are_prepared_by_the_checkpoints_own_processor(self, tmp_path: Path) -> None:
        model = save_vit(tmp_path / "model")
        write_images(tmp_path / "data")
        for path in sorted((tmp_path / "data").glob("*.png"))[:10]:  # images that are no squares
            Image.open(path).resize((60, 35)).save(path)
        config = CONFIG.split("[model]")[0] + '[model]\ncheckpoint = "model"\n\n[attribution]\nsamples = 2\n'
        (tmp_path / "audit.toml").write_text(config, encoding="utf-8")
        run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
        processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "model")
        images = [Image.open(tmp_path / "data" / f"{number:03}.png").convert("RGB") for number in range(40)]
        with torch.no_grad():
            scores = model(**processor(images, return_tensors="pt")).logits.softmax(dim=1)
        assert np.allclose(run.artifacts.predictions["score_red"], scores[:, 1], atol=1e-4)
        assert run.finding("attribution.map_change").value <= 0.05
        assert "no spatial map" in run.finding("attribution.deletion.gradcam").reason

    def test_the_map_of_a_convolutional_checkpoint_is_found(self, tmp_path: Path) -> None:
        sizes = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic"}
        config = transformers.ResNetConfig(**sizes, id2label={0: "blue", 1: "red"})
        transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "model")
        transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "model")
        loaded = load(tmp_path, of_data=("blue", "red"), modality="image")
        pixels = torch.rand(2, 3, 64, 64)
        network = Network(loaded.classifier, "cpu")
        layer = find_map_layer(network, pixels)
        assert FromMap(network, layer, pixels).read_maps().shape[:2] == (2, 12)

        transformers.ViTImageProcessor(size={"height": 48, "width": 64}).save_pretrained(tmp_path / "model")
        wide = load(tmp_path, of_data=("blue", "red"), modality="image")
        assert wide.preprocessing(Image.new("RGB", (80, 80))).shape == (48, 64, 3)
        assert find_map_layer(Network(wide.classifier, "cpu"), torch.rand(2, 3, 48, 64)) == layer


NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 6, 3, stride=2), nn.Linear(6, {outputs})

    def forward(self, pixels):
        return {result}

def build():
    return Net()
"""
LOGITS = "self.head(self.conv(pixels).relu().mean((2, 3)))"


def net_source(result: str = LOGITS, outputs: int = 2) -> str:
    return NET.format(result=result, outputs=outputs)


class TestFactories:
    def test_outputs_come_in_the_order_of_the_data(self, tmp_path: Path) -> None:
        loaded = load_factory(tmp_path, net_source())
        pixels = torch.rand(4, 3, 32, 32)
        with torch.no_grad():
            expected = loaded.classifier.network.network(pixels)[:, [1, 0]]
            assert torch.equal(loaded.classifier({"pixels": pixels}), expected)
        assert find_map_layer(Network(loaded.classifier, "cpu"), pixels).name == "network.network.conv"
        assert not any(module.training for module in loaded.classifier.modules())

    def test_probabilities_become_logits(self, tmp_path: Path) -> None:
        loaded = load_factory(tmp_path, net_source(f"({LOGITS} * 100).softmax(1)"), outputs="probabilities")
        pixels = torch.rand(4, 3, 32, 32)
        with torch.no_grad():
            logits, probabilities = loaded.classifier({"pixels": pixels}), loaded.classifier.network({"pixels": pixels})
        assert torch.isfinite(logits).all()
        assert torch.allclose(logits.softmax(1), probabilities[:, [1, 0]], atol=1e-6)

    @pytest.mark.parametrize(
        ("result", "outputs", "said"),
        [
            (f"{LOGITS}.softmax(1)", "logits", 'outputs = "probabilities"'),
            (LOGITS, "probabilities", "do not sum to 1"),
            (f"{LOGITS} / 0", "logits", "not finite for 3 of 3"),
            (f"{LOGITS}.log()", "probabilities", "not finite"),
            (f"{LOGITS}[:, 0]", "logits", r"gives shape (3,) for 3 examples; expected a tensor of shape (3, 2)"),
            (f"{LOGITS}.mean(0, keepdim=True)", "logits", "gives shape (1, 2)"),
            (f"[{LOGITS}]", "logits", "gives list"),
            (f"nn.functional.dropout({LOGITS}, 0.5)", "logits", "other outputs when others stand beside"),
            (f"{LOGITS} - {LOGITS}.mean(0) * 2", "logits", "other outputs when others stand beside"),
            ("self.head(pixels)", "logits", "does not take pixels (3, 3, 32, 32): "),
        ],
    )
    def test_outputs_that_cannot_be_read_are_refused(
        self, tmp_path: Path, result: str, outputs: str, said: str
    ) -> None:
        with pytest.raises(ModelError) as error:
            load_factory(tmp_path, net_source(result), outputs=outputs)
        assert said in str(error.value)
        assert str(error.value).startswith("model.factory: ")

    def test_the_number_of_outputs_is_that_of_the_classes(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"gives shape \(3, 5\)"):
            load_factory(tmp_path, net_source(outputs=5))

    def test_outputs_are_checked_on_the_real_examples_too(self, tmp_path: Path) -> None:
        write_images(tmp_path / "data")
        dark = f"{LOGITS} / (pixels.std((1, 2, 3))[:, None] > 0.25)"  # noise has more contrast than the images
        (tmp_path / "made.py").write_text(f"import torch\nfrom torch import nn\n{net_source(dark)}", encoding="utf-8")
        model = 'factory = "made:build"\nclasses = ["blue", "red"]\nimage_size = 32\n'
        (tmp_path / "audit.toml").write_text(f"{CONFIG.split('[model]')[0]}[model]\n{model}", encoding="utf-8")
        with pytest.raises(ModelError, match="not finite for 1 of 1 examples run at once"):
            rft.audit(tmp_path / "audit.toml", device="cpu")

    def test_keys_that_it_needs(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"model\.classes"):
            load_factory(tmp_path, net_source(), classes=None)
        with pytest.raises(ConfigError, match=r"needs model\.image_size"):
            load_factory(tmp_path, net_source(), image_size=None)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (
                "import no_such",
                "made cannot be imported: ModuleNotFoundError: No module named 'no_such'",
            ),
            ("raise SystemExit(3)", "made cannot be imported: SystemExit: 3"),
            ("def builds():\n    pass", "made has no function 'build'\nDid you mean 'builds'?"),
            ("def build():\n    raise KeyError('first\\nsecond')", "made:build failed: KeyError: 'first"),
            ("def build():\n    return 3", "made:build returned int; expected a torch.nn.Module"),
            ("def build():\n    return nn.ReLU()", "has no tensors"),
        ],
    )
    def test_errors_of_the_users_code_are_named(self, tmp_path: Path, body: str, said: str) -> None:
        with pytest.raises(RftError) as error:
            load_factory(tmp_path, body)
        assert said in str(error.value)

    def test_the_path_is_as_it_was(self, tmp_path: Path) -> None:
        (tmp_path / "beside.py").write_text("", encoding="utf-8")
        before = list(sys.path)
        load_factory(tmp_path, "import beside\n" + net_source())
        assert sys.path == before
        assert not {"made", "beside"} & set(sys.modules)
        other_folder = tmp_path / "other"
        other_folder.mkdir()
        with pytest.raises(ModelError, match="has no tensors"):  # the module of the same name in another folder
            load_factory(other_folder, "def build():\n    return nn.ReLU()")

    @pytest.mark.parametrize(
        ("layers", "result"),
        [
            ("self.bend = nn.ReLU()", "self.head(self.bend(self.bend(self.conv(pixels)).mean((2, 3))))"),
            (
                "self.volume = nn.Conv3d(1, 1, 3, padding=1)",
                "self.head(self.volume(self.conv(pixels)[:, None])[:, 0].mean((2, 3)))",
            ),
        ],
        ids=["one ReLU for maps and vectors", "Conv3d"],
    )
    def test_unusual_networks_are_audited_with_and_without_attributions(
        self, tmp_path: Path, layers: str, result: str
    ) -> None:
        write_images(tmp_path / "data")
        body = net_source(result).replace("super().__init__()", f"super().__init__()\n        {layers}")
        (tmp_path / "made.py").write_text(f"import torch\nfrom torch import nn\n{body}", encoding="utf-8")
        model = 'factory = "made:build"\nclasses = ["blue", "red"]\nimage_size = 32\n'
        config = f"{CONFIG.split('[model]')[0]}[model]\n{model}"
        (tmp_path / "audit.toml").write_text(config, encoding="utf-8")
        assert rft.audit(tmp_path / "audit.toml", device="cpu").finding("performance.accuracy").value is not None
        (tmp_path / "audit.toml").write_text(f"{config}\n[attribution]\nsamples = 2\n", encoding="utf-8")
        run = rft.audit(tmp_path / "audit.toml", tmp_path / "run", device="cpu")
        assert run.finding("attribution.failed_maps.gradcam").value is not None
        assert run.finding("attribution.failed_maps.integrated_gradients").value == 0

    def test_a_model_that_changes_itself_is_refused(self, tmp_path: Path) -> None:
        write_images(tmp_path / "data")
        body = net_source(f"{LOGITS} + 0 * self.count.add_(1)").replace(
            "super().__init__()", "super().__init__()\n        self.register_buffer('count', torch.zeros(1))"
        )
        (tmp_path / "made.py").write_text(f"import torch\nfrom torch import nn\n{body}", encoding="utf-8")
        model = 'factory = "made:build"\nclasses = ["blue", "red"]\nimage_size = 32\n'
        (tmp_path / "audit.toml").write_text(f"{CONFIG.split('[model]')[0]}[model]\n{model}", encoding="utf-8")
        with pytest.raises(ModelError, match="changes its own tensors"):
            rft.audit(tmp_path / "audit.toml", device="cpu")


TEXT_FACTORY = """
import sys
sys.path.insert(0, {tests!r})
from tests.support.checkpoints import word_tokenizer

class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding({rows}, 8), nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None]
        return self.head((self.embedding(input_ids) * mask).sum(1) / mask.sum(1))

def build():
    return {result}
"""


TEXT_KEYS = {"modality": "text", "image_size": None, "classes": ["no", "yes"], "of_data": ("no", "yes")}


class TestTextFactories:
    def body(self, result: str = "Bag(), word_tokenizer()", rows: int = 20) -> str:
        return TEXT_FACTORY.format(tests=str(ROOT), result=result, rows=rows)

    def test_a_module_and_its_tokenizer(self, tmp_path: Path) -> None:
        loaded = load_factory(tmp_path, self.body(), **TEXT_KEYS)
        assert loaded.classifier.embedding_layer == "network.network.embedding"
        assert loaded.classifier(loaded.preprocessing(["good film", "a bad book"])).shape == (2, 2)

    @pytest.mark.parametrize(
        ("result", "rows", "said"),
        [
            ("Bag()", 20, "returned NoneType; expected (module, tokenizer)"),
            ("Bag(), 3", 20, "returned no tokenizer"),
            ("Bag(), word_tokenizer()", 18, "the tokenizer has 20 words and the model 18"),
        ],
    )
    def test_what_else_it_returns_is_refused(self, tmp_path: Path, result: str, rows: int, said: str) -> None:
        with pytest.raises(ModelError) as error:
            load_factory(tmp_path, self.body(result, rows), **TEXT_KEYS)
        assert said in str(error.value)


KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import sys, pathlib
import numpy as np, torch
import keras
import rft
from rft.models import external
from rft.plugins.attribution.images.map_layer import FromMap, find_map_layer
from rft.plugins.attribution.network import Network
from rft.config.schema import ModelConfig

folder = pathlib.Path(sys.argv[1])
layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(2.0, -1.0), keras.layers.Conv2D(8, 3, activation="relu"),
          keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.GlobalAveragePooling2D(),
          keras.layers.Dense(2, activation="softmax")]
model = keras.Sequential(layers)
model.save(folder / "model.keras")
run = rft.audit(folder / "audit.toml", folder / "run", device="cpu")
pixels = np.random.default_rng(0).random((5, 3, 32, 32), dtype=np.float32)
settings = ModelConfig(factory="made:build", classes=["red", "blue"], outputs="probabilities", image_size=32)
loaded = external.load_external(settings, folder, ("blue", "red"), modality="image", device="cpu", offline=True)
ours = loaded.classifier({"pixels": torch.from_numpy(pixels)}).softmax(1).detach().numpy()
theirs = model.predict(pixels.transpose(0, 2, 3, 1), verbose=0)
assert np.abs(ours[:, ::-1] - theirs).max() < 1e-5, (ours, theirs)
assert run.finding("performance.accuracy").value is not None
assert run.finding("attribution.map_change").value <= 0.05
assert run.finding("attribution.deletion.gradcam").reason
rows, labels = pixels.transpose(0, 2, 3, 1), [0, 1, 0, 1, 1]
held = rft.audit_model(model, test=(rows, labels), classes=["red", "blue"])  # in memory: by its predictions
assert held.model.modality == "predictions"
assert np.abs(held.artifacts.predictions[["score_red", "score_blue"]].to_numpy() - theirs).max() < 1e-6
print("done")
"""
KERAS_FACTORY = """
import os
os.environ["KERAS_BACKEND"] = "torch"
from pathlib import Path
import keras, torch

class Channels(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixels.permute(0, 2, 3, 1))

def build():
    return Channels(keras.saving.load_model(Path(__file__).parent / "model.keras"))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")
def test_a_keras_model_on_torch(tmp_path: Path) -> None:
    write_images(tmp_path / "data")
    (tmp_path / "made.py").write_text(KERAS_FACTORY, encoding="utf-8")
    model = '[model]\nfactory = "made:build"\nclasses = ["red", "blue"]\noutputs = "probabilities"\nimage_size = 32\n'
    config = f"{CONFIG.split('[model]')[0]}{model}\n[attribution]\nsamples = 2\n"
    (tmp_path / "audit.toml").write_text(config, encoding="utf-8")
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", KERAS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.stdout.endswith("done\n"), done.stderr
