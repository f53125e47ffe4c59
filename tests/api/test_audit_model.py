"""``rft.audit_model``: a model in memory is audited as the one of files is, and comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

import rft
from rft.api.rows import to_labels
from rft.errors import ConfigError, DataError, ModelError, RftError
from rft.models.in_memory import borrow_module
from rft.report.views.model_facts import describe_model, write_byline

FACTORY = """\
import torch
from torch import nn
from torchvision.transforms import Compose, Resize, ToTensor

def build():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 2))
    return network, Compose([Resize((16, 16)), ToTensor()])
"""
CONFIG = """\
name = "scanner"
[data]
manifest = "images.csv"
image = "file"
label = "label"
positive = "good"
groups = ["camera"]
unit = "person"
split = "split"
[model]
factory = "net:build"
classes = ["bad", "good"]
[privacy]
[fairness]
min_group_size = 5
metrics = ["accuracy"]
[attribution]
samples = 3
"""
PLUGINS = {
    "privacy": {},
    "fairness": {"min_group_size": 5, "metrics": ["accuracy"]},
    "attribution": {"samples": 3},
}


def make_network(outputs: int = 2) -> nn.Sequential:
    """Return the network of FACTORY, or one with other outputs."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, outputs))


def make_images(n: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 16, 16, 3) pixels, 8 bits, and (N,) labels 0 and 1 of dark and bright ones."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return rng.integers(0, 160, (n, 16, 16, 3), np.uint8) + (labels * 90).astype(np.uint8)[:, None, None, None], labels


def to_tensors(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def values_of(run: Any) -> dict[str, float]:
    return {f.id: f.value for s in run.sections for f in s.findings if f.value is not None}


class TestImages:
    def test_a_module_is_audited_as_its_factory_is(self, tmp_path: Path) -> None:
        pixels, labels = make_images(96)
        split = np.repeat(["train", "test"], 48)
        camera, person = np.array(["old", "new"])[np.arange(96) // 2 % 2], np.arange(96) // 2
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(tmp_path / f"{number}.png")
        names = np.array(["bad", "good"])[labels]
        frame = pd.DataFrame({"label": names, "camera": camera, "person": person, "split": split})
        frame.assign(file=[f"{number}.png" for number in range(96)]).to_csv(tmp_path / "images.csv")
        (tmp_path / "net.py").write_text(FACTORY, encoding="utf-8")
        (tmp_path / "audit.toml").write_text(CONFIG, encoding="utf-8")
        of_files = rft.audit(tmp_path / "audit.toml", device="cpu")

        tensors = to_tensors(pixels)
        run = rft.audit_model(
            make_network(),
            train=torch.utils.data.TensorDataset(tensors[:48], torch.from_numpy(labels[:48])),
            test=(tensors[48:], names[48:]),
            groups={name: frame.loc[split == name, ["camera"]] for name in ("train", "test")},
            unit={name: person[split == name] for name in ("train", "test")},
            classes=["bad", "good"],
            positive="good",
            plugins=PLUGINS,
            name="scanner",
            out=tmp_path / "run",
        )
        assert values_of(run) == pytest.approx(values_of(of_files), abs=1e-5)
        assert "attribution.completeness" in values_of(run)
        assert "privacy.membership_auc" in values_of(run)
        assert "fairness.accuracy_gap.camera" in values_of(run)
        reasons = {f.id: f.reason for s in of_files.sections for f in s.findings if f.reason}
        assert {f.id: f.reason for s in run.sections for f in s.findings if f.reason} == reasons
        assert run.data == of_files.data
        assert (tmp_path / "run/report.html").is_file()
        assert not (tmp_path / "run/model").exists()
        assert run.run.config["model"] == {"factory": "memory:Sequential"}
        with pytest.raises(ModelError, match="audited a Sequential that was in memory; a run keeps no copy of it"):
            rft.load(tmp_path / "run")
        of_files.save(tmp_path / "of-files")
        with pytest.raises(ModelError, match=r"the factory net:build, .*\n.*: from net import build\.$"):
            rft.load(tmp_path / "of-files")

    def test_probabilities_are_the_modules_own_on_normalised_tensors(self) -> None:
        pixels, labels = make_images()
        tensors = (to_tensors(pixels) - 0.45) / 0.22
        network = make_network()
        run = rft.audit_model(
            network,
            test=(tensors, labels),
            plugins={"attribution": {"samples": 2}},
            report={"show_examples": True},
        )
        assert run.section("attribution").assets
        with torch.no_grad():
            expected = network(tensors).double().softmax(dim=1).numpy()
        scores = run.artifacts.predictions[["score_0", "score_1"]].to_numpy()
        assert np.abs(scores - expected).max() < 1e-6
        low, span = tensors.amin((0, 2, 3)).numpy(), (tensors.amax((0, 2, 3)) - tensors.amin((0, 2, 3))).numpy()
        assert np.allclose(run.model.preprocessing.mean, -low / span)
        assert np.allclose(run.model.preprocessing.std, 1 / span)
        assert run.finding("attribution.completeness").value < 0.05

    @pytest.mark.parametrize("kind", ["logits", "probabilities"])
    def test_one_output_is_the_second_class(self, kind: str) -> None:
        pixels, labels = make_images()
        tensors = to_tensors(pixels)
        network: nn.Module = make_network(outputs=1)
        if kind == "probabilities":
            network = nn.Sequential(network, nn.Sigmoid())
        with pytest.raises(ModelError, match='Say it: outputs="logits", or outputs="probabilities"'):
            rft.audit_model(network, test=(tensors, labels))
        run = rft.audit_model(network, test=(tensors, labels.astype(float)), outputs=kind)
        with torch.no_grad():
            expected = network(tensors)[:, 0] if kind == "probabilities" else network(tensors)[:, 0].sigmoid()
        assert np.abs(run.artifacts.predictions["score_1"].to_numpy() - expected.numpy()).max() < 1e-6

    def test_items_of_a_dataset_may_name_everything(self) -> None:
        pixels, labels = make_images()
        tensors = to_tensors(pixels)
        items = [
            {"pixel_values": tensors[row], "labels": int(labels[row]), "sex": "fm"[row % 2], "person": row // 2}
            for row in range(24)
        ]

        class Named(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = make_network().double()

            def forward(self, pixel_values: torch.Tensor) -> Any:
                return SimpleNamespace(logits=self.inner(pixel_values))

        run = rft.audit_model(Named(), test=items, groups=["sex"], unit="person", classes=["no", "yes"])
        plain = rft.audit_model(make_network(), test=(tensors, labels), classes=["no", "yes"])
        scores = [r.artifacts.predictions["score_yes"].to_numpy() for r in (run, plain)]
        assert np.abs(scores[0] - scores[1]).max() < 1e-6
        assert run.data.splits["test"].groups == {"sex": {"f": 12, "m": 12}}
        assert run.data.splits["test"].n_units == 12
        assert run.model.unit == "person"
        assert run.model.modality == "image"

    def test_shared_images_of_train_and_test_are_found(self) -> None:
        pixels, labels = make_images()
        tensors = to_tensors(pixels)
        run = rft.audit_model(make_network(), test=(tensors[:12], labels[:12]), train=(tensors[10:], labels[10:]))
        assert run.finding("dataset.shared_items").value == 2

    def test_what_cannot_be_audited_is_refused(self) -> None:
        pixels, labels = make_images()
        tensors = to_tensors(pixels)
        network = make_network()

        class Augmented(torch.utils.data.Dataset[Any]):
            def __len__(self) -> int:
                return 24

            def __getitem__(self, row: int) -> Any:
                return tensors[row] + torch.rand(()), labels[row]

        with pytest.raises(DataError, match=r"test: gives row 1 other values each time\nGive the data set for eval"):
            rft.audit_model(network, test=Augmented())
        uneven = [(torch.zeros(3, side, side), side % 2) for side in (16, 17)]
        with pytest.raises(DataError, match=r"test: row 2 has the shape \(3, 17, 17\), and others \(3, 16, 16\)"):
            rft.audit_model(network, test=uneven)
        with pytest.raises(DataError, match="test: row 3 holds NaN or infinity"):
            rft.audit_model(network, test=(tensors.index_fill(0, torch.tensor(2), torch.nan), labels))
        with pytest.raises(DataError, match="test: the label '6' is none of the classes '0', '1'"):
            rft.audit_model(network, test=(tensors, labels + 6))
        with pytest.raises(ModelError, match="model: gives 2 outputs, and classes names 3"):
            rft.audit_model(network, test=(tensors, labels), classes=["a", "b", "c"])
        with pytest.raises(ModelError, match="model: the module failed on the test rows"):
            rft.audit_model(network, test=(tensors[:, :1], labels))
        with pytest.raises(DataError, match="is a DataLoader"):
            rft.audit_model(network, test=torch.utils.data.DataLoader(Augmented()))
        with pytest.raises(ModelError, match="has no tensors"):
            rft.audit_model(nn.Flatten(), test=(tensors, labels))


class TestBorrowing:
    def test_a_module_comes_back_as_it_was(self) -> None:
        network = make_network().to(memory_format=torch.channels_last)
        network.insert(1, nn.BatchNorm2d(6))
        network.train()
        network[1].eval()
        network[0].weight.requires_grad = False
        pixels, labels = make_images()
        network(to_tensors(pixels)).sum().backward()
        before = snapshot(network)
        run = rft.audit_model(network, test=(to_tensors(pixels), labels), plugins={"attribution": {"samples": 1}})
        assert run.finding("attribution.failed_maps.integrated_gradients").value == 0
        assert snapshot(network) == before
        assert network.training
        assert not network[1].training

    def test_also_after_an_error(self) -> None:
        class Counting(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = make_network()
                self.register_buffer("calls", torch.zeros(1))

            def forward(self, pixels: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return self.inner(pixels)

        network = Counting().train()
        pixels, labels = make_images()
        with pytest.raises(ModelError, match="model: changes its own tensors when it predicts"):
            rft.audit_model(network, test=(to_tensors(pixels), labels))
        assert network.training
        assert all(parameter.requires_grad for parameter in network.parameters())

    def test_moved_tensors_are_the_former_ones_again(self) -> None:
        network = make_network()
        before = snapshot(network)
        with borrow_module(network):
            network.to(torch.float64).eval()
            network.register_buffer("other", torch.zeros(1))
            del network.other
        assert snapshot(network) == before


def snapshot(network: nn.Module) -> list[tuple[Any, ...]]:
    """Return what can be told of a module's tensors from outside: identity, memory, layout, gradients."""
    parameters = [
        (name, id(tensor), tensor.data_ptr(), tensor.stride(), tensor.dtype, tensor.requires_grad, id(tensor.grad))
        for name, tensor in network.named_parameters()
    ]
    buffers = [(name, id(tensor), tensor.data_ptr()) for name, tensor in network.named_buffers()]
    return [*parameters, *buffers, *((name, part.training) for name, part in network.named_modules())]


@pytest.fixture(scope="module")
def people() -> dict[str, Any]:
    """Return a table of 240 people with labels that follow from it by half, and a fitted pipeline."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=240), "b": rng.normal(size=240), "sex": rng.integers(0, 2, 240)})
    labels = np.where(table["a"] + rng.normal(size=240) > 0, "yes", "no")
    train, test = (table[:120], labels[:120]), (table[120:], labels[120:])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(*train)
    return {"model": model, "train": train, "test": test}


class TestPredictions:
    def test_a_pipeline_is_audited_by_its_predictions(self, people: dict[str, Any]) -> None:
        model, plugins = people["model"], {name: PLUGINS[name] for name in ("privacy", "fairness")}
        run = rft.audit_model(**people, groups=["sex"], unit=None, positive="yes", plugins=plugins)
        assert run.run.name == "Pipeline"
        assert run.finding("performance.accuracy").value == model.score(*people["test"])
        rows = [(split, *people[split]) for split in ("train", "test")]
        frame = pd.DataFrame(
            {
                "split": np.repeat(["train", "test"], 120),
                "truth": np.concatenate([labels for _, _, labels in rows]),
                "said": np.concatenate([model.predict(table) for _, table, _ in rows]),
                "p_no": np.concatenate([model.predict_proba(table)[:, 0] for _, table, _ in rows]),
                "p_yes": np.concatenate([model.predict_proba(table)[:, 1] for _, table, _ in rows]),
                "sex": np.concatenate([table["sex"] for _, table, _ in rows]),
            }
        )
        by_hand = rft.audit_predictions(
            frame,
            label="truth",
            prediction="said",
            scores={"no": "p_no", "yes": "p_yes"},
            groups=["sex"],
            split="split",
            positive="yes",
            plugins=plugins,
        )
        assert values_of(run) == values_of(by_hand)
        assert describe_model(run) == "model that was asked for its predictions alone"
        assert write_byline(run)[0] == "a Pipeline in memory"
        assert write_byline(by_hand)[0] == "a table of predictions in memory"
        assert run.finding("performance.accuracy").remedy.startswith("Have whoever trained the model train it further")
        assert values_of(run)["privacy.membership_auc"] > 0
        assert run.finding("privacy.epsilon").reason == by_hand.finding("privacy.epsilon").reason

    def test_decisions_are_the_models_own(self, people: dict[str, Any]) -> None:
        strict = FixedThresholdClassifier(LogisticRegression(), threshold=0.8, pos_label="yes").fit(*people["train"])
        run = rft.audit_model(strict, test=people["test"])
        assert run.finding("performance.accuracy").value == strict.score(*people["test"])
        assert run.finding("performance.roc_auc").value is not None
        assert run.finding("performance.accuracy").value != people["model"].score(*people["test"])

    def test_what_an_estimator_knows_is_not_said_again(self, people: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="outputs: has no effect here: predict_proba gives probabilities"):
            rft.audit_model(people["model"], test=people["test"], outputs="logits")
        with pytest.raises(ConfigError, match="classes: are a, b, and the classes_ of the estimator no, yes"):
            rft.audit_model(people["model"], test=people["test"], classes=["a", "b"])

    def test_a_decision_function_is_no_probability(self, people: dict[str, Any]) -> None:
        margins = LinearSVC().fit(*people["train"])
        run = rft.audit_model(margins, test=people["test"], train=people["train"], plugins={"privacy": {}})
        assert run.finding("performance.accuracy").value == margins.score(*people["test"])
        assert run.finding("performance.roc_auc").value is None
        assert "score" in run.finding("performance.roc_auc").reason
        assert run.finding("privacy.membership_auc").value is None

    def test_a_function_may_say_scores_or_classes(self, people: dict[str, Any]) -> None:
        model, test = people["model"], people["test"]
        of_model = values_of(rft.audit_model(model, test=test))
        scores = rft.audit_model(lambda rows: model.predict_proba(rows), test=test, classes=["no", "yes"])
        assert values_of(scores) == of_model
        logits = rft.audit_model(
            lambda rows: model.decision_function(rows), test=test, classes=["no", "yes"], outputs="logits"
        )
        assert values_of(logits) == pytest.approx(of_model, abs=1e-9)
        decisions = rft.audit_model(lambda rows: model.predict(rows), test=test)
        assert decisions.finding("performance.accuracy").value == model.score(*test)
        numbers = rft.audit_model(
            lambda rows: (model.predict(rows) == "yes").astype(int), test=test, classes=["no", "yes"]
        )
        assert numbers.finding("performance.accuracy").value == model.score(*test)

    def test_a_module_of_a_table_is_run_in_batches_and_comes_back(self, people: dict[str, Any]) -> None:
        table, labels = people["test"]
        values = torch.from_numpy(table.to_numpy(np.float32))
        network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        before = snapshot(network)
        run = rft.audit_model(network, test=(values, labels == "yes"), groups=table["sex"])
        assert snapshot(network) == before
        with torch.no_grad():
            expected = network.eval()(values).double().softmax(dim=1)[:, 1].numpy()
        assert np.abs(run.artifacts.predictions["score_1"].to_numpy() - expected).max() < 1e-6
        assert run.model.modality == "predictions"
        tokens = [{"input_ids": torch.tensor([row % 5, 1]), "label": row % 2} for row in range(70)]

        class Words(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.words = nn.EmbeddingBag(5, 2)

            def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
                return self.words(input_ids)

        assert rft.audit_model(Words(), test=tokens).data.splits["test"].n == 70
        ragged = [{"input_ids": torch.ones(row + 1, dtype=torch.long), "label": row % 2} for row in range(4)]
        with pytest.raises(DataError, match=r"test: its rows make no batch: .*\nGive inputs of one shape: pad texts\."):
            rft.audit_model(Words(), test=ragged)


def test_a_keras_model_is_asked_by_predict(people: dict[str, Any]) -> None:
    class Layers:
        __module__ = "keras.src.models"

        def __call__(self, rows: Any) -> Any:
            raise AssertionError("a call gives no array")

        def predict(self, rows: Any, verbose: int) -> Any:
            assert verbose == 0
            return people["model"].predict_proba(rows)

    run = rft.audit_model(Layers(), test=people["test"], classes=["no", "yes"])
    assert run.finding("performance.accuracy").value == people["model"].score(*people["test"])


class _Counted:
    """A model that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, rows: Any) -> Any:
        self.asked += 1
        return np.full((len(rows), 2), 0.5)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"test": np.zeros((4, 3))}, DataError, "test: is ndarray; expected (X, y)"),
        ({"test": (np.zeros((4, 3)), [0, 1, 0])}, DataError, "test: has 4 rows and 3 labels"),
        ({"test": (np.zeros((0, 3)), [])}, DataError, "test: holds no rows"),
        ({"test": (np.zeros((4, 3)), [0, 1, None, 0])}, DataError, "test: the label is missing in row 3"),
        ({"groups": ["sex"]}, DataError, "test: is no table, so 'sex' names no column of it"),
        ({"groups": {"sex": ["f"]}}, DataError, "test: column 'group_sex' has 1 values for 4 rows"),
        ({"groups": 3}, DataError, "groups: is int; expected names of columns, or a table of them"),
        ({"unit": {"train": [1]}}, DataError, "unit: says nothing of the test rows"),
        ({"unit": [1, None, 2, 2]}, DataError, "test: the unit is missing in row 2"),
        ({"outputs": "scores"}, ConfigError, "outputs: expected 'logits' or 'probabilities', not 'scores'"),
        ({"device": "cpu"}, ConfigError, "device: has no effect here: only a torch module is put on a device"),
        ({"label": "y"}, ConfigError, "label: has no effect here: it is a key of a Dataset's items"),
        ({"classes": ["a", "b"], "positive": "c"}, ConfigError, "positive: 'c' is none of the classes a, b"),
        ({"plugins": {"fairness": {}}}, ConfigError, 'plugins["fairness"]: needs groups, which is not set'),
        ({"plugins": {"privacy": {"epsilon": 1.0}}}, ConfigError, "would train the model"),
        (
            {"plugins": {"attribution": {}}},
            ConfigError,
            "plugins: attribution looks into a torch module of images; this model takes rows",
        ),
        ({"name": ""}, None, ""),
    ],
)
def test_arguments_are_checked_before_the_model_is_asked(
    changed: dict[str, Any], kind: type[RftError] | None, message: str
) -> None:
    model = _Counted()
    arguments: dict[str, Any] = {"test": (np.zeros((4, 3)), [0, 1, 0, 1]), **changed}
    if kind is None:
        assert rft.audit_model(model, **arguments).run.name == "_Counted"
        return
    with pytest.raises(kind) as caught:
        rft.audit_model(model, **arguments)
    assert message in str(caught.value)
    assert model.asked == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "model: is not fitted\nCall its fit first."),
        (LinearRegression().fit([[0], [1]], [0, 1]), "model: is a regressor; rft audits classifiers"),
        (LogisticRegression, "model: is the class LogisticRegression and no model"),
        ("a path", "model: is str; expected a torch module"),
        (lambda rows: 1, "the call gives no rows for the 4 of test"),
        (lambda rows: 1 / 0, "the call failed on the test rows: division by zero"),
        (lambda rows: np.full((4, 2), np.nan), "its outputs are not finite for 4 of 4 examples"),
    ],
)
def test_models_that_say_nothing_are_refused(model: Any, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        rft.audit_model(model, test=(np.zeros((4, 1)), [0, 1, 0, 1]))
    assert message in str(caught.value)


def test_labels_of_losses_are_whole_numbers() -> None:
    assert to_labels(torch.tensor([[0.0], [1.0]])).tolist() == [0, 1]
    assert to_labels([torch.tensor(1), torch.tensor(0)]) == [1, 0]
    assert to_labels(np.array([0.5, 1.0])).tolist() == [0.5, 1.0]
    assert to_labels(["a", "b"]) == ["a", "b"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
