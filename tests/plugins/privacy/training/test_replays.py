"""Private training of real networks from a cut on: trained exactly, or refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from rft.backbones.classifier import Classifier, Head, ImageBackbone, TextBackbone
from rft.backbones.partition.cut import Cut, cut_classifier, modules_behind
from rft.backbones.partition.lora import add_adapters
from rft.config.schema import LoraConfig
from rft.errors import ConfigError
from rft.plugins.privacy.training.gradients.engine_selection import select_engine
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Job, Task
from tests.support import privacy_cases as cases

SIDE = 32
LOOSE = DPTrainer(1e4, steps=2)


def random_images(batch: int, _tokens: int, seed: int) -> cases.Batch:
    return {"pixels": torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))}


def random_comments(batch: int, tokens: int, seed: int) -> cases.Batch:
    mask = torch.ones(batch, tokens, dtype=torch.int64)
    mask[1:, -1] = 0
    words = torch.randint(1, 40, (batch, tokens), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": words * mask, "attention_mask": mask}


@dataclass(frozen=True)
class Known:
    """A network, what it is fed with, and where its attention can be adapted."""

    classifier: Classifier
    example: Callable[[int, int, int], cases.Batch]

    def task(self, freeze: str, tune: str = "full") -> tuple[Cut, Task]:
        if tune == "lora":
            inside = None if freeze == "none" else modules_behind(self.classifier, freeze, self.example)
            add_adapters(self.classifier, LoraConfig(rank=2), inside, seed=0)
        partition = cut_classifier(self.classifier, freeze, tune, self.example)
        batch = self.example(12, 7, 5)
        if freeze != "none":
            with torch.no_grad():
                batch = partition.prefix()(batch)
        return partition, cases.task(partition.new_suffix, batch)


def of_images(network: nn.Module, dimension: int) -> Known:
    head = Head(dimension, cases.CLASSES)
    return Known(Classifier(ImageBackbone(network.eval(), [0.5] * 3, [0.5] * 3), head, modality="image"), random_images)


def of_comments(text: cases.Text) -> Known:
    pooling = "last" if text.last else "mean"
    backbone = TextBackbone(text.network.eval().requires_grad_(True), pooling)
    return Known(Classifier(backbone, Head(16, cases.CLASSES), modality="text"), random_comments)


def known_resnet() -> Known:
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    network.fc = nn.Identity()
    return of_images(network, 512)


def known_vit() -> Known:
    from torchvision.models import VisionTransformer

    network = VisionTransformer(SIDE, 8, 2, 2, 16, 32, dropout=0.1)
    network.heads = nn.Identity()
    return of_images(network, 16)


def known_convnext() -> Known:
    from timm.models.convnext import ConvNeXt

    return of_images(ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), num_classes=0, kernel_sizes=3, patch_size=2), 8)


def known_bert() -> Known:
    return of_comments(cases.bert())


def known_gpt() -> Known:
    return of_comments(cases.gpt())


@pytest.mark.parametrize(
    ("known", "freeze", "tune", "engine"),
    [
        (known_vit, "encoder.layers.encoder_layer_1", "full", "functorch"),
        (known_vit, "none", "full", "functorch"),
        (known_convnext, "stages.2", "full", "functorch"),
        (known_bert, "encoder.layer.1", "full", "hooks"),
        (known_bert, "encoder.layer.1", "lora", "hooks"),
        (known_bert, "none", "full", "one by one"),
        (known_bert, "none", "bias", "hooks"),
        (known_gpt, "h.1", "full", "hooks"),
        (known_gpt, "none", "lora", "hooks"),
        (known_gpt, "all", "full", "hooks"),
    ],
)
def test_what_is_trained_behind_a_cut(known: Callable[[], Known], freeze: str, tune: str, engine: str) -> None:
    torch.manual_seed(0)
    partition, task = known().task(freeze, tune)
    before = partition.frozen_sha256()
    fit = LOOSE.fit(task, [Job(1)])[0]
    assert fit.require_privacy().engine.name == engine
    assert fit.require_privacy().engine.error < 1e-4
    assert fit.unchanged_tensors == 0
    assert partition.frozen_sha256() == before
    assert_joins(partition, task, fit.state)


def assert_joins(partition: Cut, task: Task, state: dict[str, Tensor]) -> None:
    """Hold the trained part, run from the cache, against the joined model."""
    suffix = partition.new_suffix(0)
    suffix_state = {name: tensor for name, tensor in state.items() if name in suffix.state_dict()}
    suffix.load_state_dict(suffix_state, strict=False)
    example = random_comments if partition.classifier.modality == "text" else random_images
    with torch.no_grad():
        replayed = suffix.eval()(cases.columns_of(task))
        joined = partition.join(state)(example(12, 7, 5))
    assert torch.allclose(replayed, joined, atol=1e-4)


@pytest.mark.parametrize("freeze", ["layer4", "none"])
@pytest.mark.parametrize("tune", ["full", "bias"])
def test_batchnorm_behind_the_cut_is_refused_with_its_name_and_what_helps(freeze: str, tune: str) -> None:
    _, task = known_resnet().task(freeze, tune)
    layer = "layer4.0.bn1" if freeze == "layer4" else "bn1"
    with pytest.raises(ConfigError, match=rf"the layer {layer} \(BatchNorm2d\) mixes the examples") as refused:
        select_engine(task)
    assert "Cut behind the last BatchNorm" in str(refused.value)


def test_a_frozen_resnet_has_a_head_that_is_trained_privately() -> None:
    _, task = known_resnet().task("all")
    assert select_engine(task).is_head
