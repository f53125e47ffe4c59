"""Small networks for private training, each with data of its kind: what the engines must get right, or refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rft.features.batch_independence import BatchDependence
from rft.plugins.privacy.training.gradients.engines import summed_loss
from rft.records import Row
from rft.training import Recipe, Task
from rft.training.privacy_facts import EngineFacts, PrivacyFacts

Batch = dict[str, Tensor]
RECIPE = Recipe(epochs=2, optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0, batch_size=16)
CLASSES = 3


class Columns:
    """Features held as columns; views of an example differ by an offset."""

    def __init__(self, batch: Batch, views: int = 1) -> None:
        self.columns, self.views = batch, views

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def batch(self, rows: Tensor, view: Tensor | None = None) -> Batch:
        taken = {name: column[torch.as_tensor(rows)] for name, column in self.columns.items()}
        if view is not None:
            taken["features"] = taken["features"] + 10 * view.reshape(-1, *[1] * (taken["features"].dim() - 1))
        if "attention_mask" in taken and len(rows):  # padded to the longest text among them
            longest = int(taken["attention_mask"].sum(1).max())
            taken = {name: column[:, :longest] for name, column in taken.items()}
        return taken


def columns_of(task: Task) -> Batch:
    """Return the columns of a task of ``Columns``."""
    assert isinstance(task.features, Columns)
    return task.features.columns


def maps(n: int = 12, channels: int = 8, side: int = 6) -> Batch:
    return {"features": torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(1))}


def vectors(n: int = 12) -> Batch:
    return {"features": torch.randn(n, 8, generator=torch.Generator().manual_seed(1))}


def texts(n: int = 12, longest: int = 9, vocabulary: int = 40) -> Batch:
    random = torch.Generator().manual_seed(1)
    lengths = torch.randint(2, longest + 1, (n,), generator=random)
    mask = (torch.arange(longest) < lengths[:, None]).long()
    return {"input_ids": torch.randint(1, vocabulary, (n, longest), generator=random) * mask, "attention_mask": mask}


def task(new_suffix: Callable[[int], nn.Module], batch: Batch, **changes: Any) -> Task:
    labels = torch.arange(len(next(iter(batch.values()), ()))) % CLASSES
    return Task(
        **{"features": Columns(batch), "labels": labels, "units": None, "recipe": RECIPE} | changes,
        new_suffix=new_suffix,
    )


def gradients_one_by_one(suffix: nn.Module, batch: Batch, labels: Tensor) -> list[Tensor]:
    """Return the gradient of each example by a backward pass over it alone, in float64."""
    suffix = copy.deepcopy(suffix).double()
    parameters = [parameter for parameter in suffix.parameters() if parameter.requires_grad]
    rows = []
    for row in range(len(labels)):
        length = int(batch["attention_mask"][row].sum()) if "attention_mask" in batch else None
        alone = {
            name: column[row : row + 1] if length is None else column[row : row + 1, :length]
            for name, column in batch.items()
        }
        wide = {name: column.double() if column.is_floating_point() else column for name, column in alone.items()}
        suffix.zero_grad()
        summed_loss(suffix, wide, labels[row : row + 1]).backward()
        rows.append([torch.zeros_like(weight) if weight.grad is None else weight.grad.clone() for weight in parameters])
    return [torch.stack(gradients) for gradients in zip(*rows, strict=True)]


def seeded(build: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    """Return a maker of trained parts whose weights follow from the seed."""

    def new_suffix(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build()

    return new_suffix


class OnFeatures(nn.Module):
    """A network on the features of a batch."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, batch: Batch) -> Tensor:
        return self.layers(batch["features"])


class Frozen(OnFeatures):
    """The same with BatchNorms whose statistics stay as pretraining left them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        for norm in self.norms():
            nn.init.uniform_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)

    def norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        for norm in self.norms():
            norm.eval()
        return self


def pooled_to(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def resnet() -> Frozen:
    from torchvision.models.resnet import BasicBlock

    return Frozen(BasicBlock(8, 8), BasicBlock(8, 8), *pooled_to(8))


def resnet_with_frozen_norms() -> Frozen:
    network = resnet()
    for norm in network.norms():
        norm.requires_grad_(False)
    return network


def convnext() -> nn.Module:
    from timm.layers import LayerNorm2d
    from timm.models.convnext import ConvNeXtBlock

    block = ConvNeXtBlock(8, kernel_size=3)
    return OnFeatures(block, LayerNorm2d(8), nn.Conv2d(8, 8, 2, stride=2), *pooled_to(8))


class ScaledBranch(nn.Module):
    """A branch with a layer scale near zero, as ConvNeXt and DINOv2 begin with; inside, maps are channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.LayerNorm(8), nn.Conv2d(8, 8, 3, padding=1)
        self.scale = nn.Linear(8, 8, bias=False)
        nn.init.constant_(self.scale.weight, 1e-12)

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.conv(self.norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return maps + self.scale(branch.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def cnn() -> nn.Module:
    layers = [nn.Conv2d(8, 6, 3, groups=2), nn.GroupNorm(2, 6), nn.Tanh(), nn.Conv2d(6, 6, 3), nn.Dropout(0.2)]
    return OnFeatures(*layers, *pooled_to(6))


class Text(nn.Module):
    """A language model with a head on its pooled states."""

    def __init__(self, network: nn.Module, last: bool) -> None:
        super().__init__()
        self.network, self.last = network, last
        self.head = nn.Linear(16, CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        mask = batch["attention_mask"]
        hidden = self.network(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        if self.last:
            return self.head(hidden[torch.arange(len(mask)), mask.sum(1) - 1])
        weights = mask[..., None].to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))


def bert() -> Text:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return Text(BertModel(BertConfig(vocab_size=40, max_position_embeddings=16, **sizes)), last=False)


def bert_without_positions() -> Text:
    classifier = bert()
    classifier.network.embeddings.position_embeddings.requires_grad_(False)
    return classifier


def gpt() -> Text:
    from transformers import GPT2Config, GPT2Model

    special = {"bos_token_id": 0, "eos_token_id": 0}
    classifier = Text(
        GPT2Model(GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=16, **special)), last=True
    )
    classifier.network.wpe.requires_grad_(False)
    return classifier


def lora() -> Text:
    from peft import LoraConfig, inject_adapter_in_model

    classifier = bert()
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["query", "value"], lora_dropout=0.1), classifier.network)
    for name, parameter in classifier.named_parameters():
        parameter.requires_grad_(".lora_" in name or name.startswith("head."))
    return classifier


class Tied(nn.Module):
    """One weight in two layers, one of which is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, CLASSES)
        self.second.weight = self.first.weight

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.second(self.first(self.first(batch["features"]).tanh()).tanh()))


class Odd(nn.Module):
    """Parameters outside of layers, one of them a single number, and a layer whose output nobody needs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(8)), nn.Parameter(torch.tensor(0.5))
        self.unused, self.head = nn.Linear(8, 4), nn.Linear(8, CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        self.unused(batch["features"])
        return self.head(batch["features"] * self.scale + self.shift)


class Idle(nn.Module):
    """A layer that runs and does not count, as the pooler of a BERT whose states are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.head = nn.Linear(8, 4), nn.Linear(8, CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        self.unused(batch["features"])
        return self.head(batch["features"])


def private_facts(**changes: Any) -> PrivacyFacts:
    """Return what is known of a private training of 500 examples by itself, with some of it changed."""
    check: Row = {
        "check": "noise",
        "expected": "1 ± 0.03",
        "found": "1.002",
        "outcome": "passed",
        "description": "Its deviation.",
    }
    facts = PrivacyFacts(
        target_epsilon=3.0,
        epsilon=2.998,
        accountant="PLD",
        epsilon_rdp=3.29,
        delta=1e-5,
        delta_by_rule=True,
        noise_multiplier=1.79,
        sample_rate=0.064,
        steps=312,
        charged_steps=312,
        max_grad_norm=1.0,
        divisor=32.0,
        n=500,
        unit="example",
        rows_per_unit_max=1,
        randomness="secret",
        accountant_versions={"dp-accounting": "0.6.0", "opacus": "1.6.0"},
        neighbouring="zero-out",
        void=None,
        engine=EngineFacts("functorch", 4e-7, {"hooks": "relative error 1.5 at stages.3"}, 1026, "float32"),
        self_test=[check],
        batch_dependence=BatchDependence(change=2e-7, alone=False),
    )
    return replace(facts, **changes)
