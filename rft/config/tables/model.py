"""The table ``[model]`` of ``audit.toml``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rft.config.applicability import CLASSES, IMAGES, RECOGNIZERS, RECORDINGS, TEXTS, Applies
from rft.config.path_keys import PATH
from rft.config.tables.base import MOST, Count, Table
from rft.config.tables.spellings import FUNCTION, FunctionName
from rft.expectations import show_value

EXACT = ("auto", "float32")  # precisions that change nothing
MOST_BYTES = MOST * 10**9


class DecodingConfig(Table):
    """``[model.decoding]``: how a Whisper checkpoint that is audited as it is writes what it hears.

    A table of its own, in the words of transformers' ``generate``: it says nothing of which model is audited, and two
    runs of one checkpoint differ by it alone.
    """

    beams: Count = 1
    """Hypotheses that are followed at once; 1 takes the likeliest token each time."""
    language: str | None = None
    """That is spoken, by its code such as `"en"`; by default a checkpoint of many languages hears which it is, for each
    recording."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`translate` writes in English what is said in other languages; `data.transcript` then holds that."""


class LoraConfig(Table):
    """``[model.lora]``: low-rank adapters (Hu et al. 2022, ICLR)."""

    rank: Count = 8
    """Rank of each adapter."""
    alpha: Count = 16
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are dropped in training."""
    target: list[str] | None = Field(default=None, min_length=1)
    """Layers that get an adapter, by the end of their names; by default the projections of attention."""


def read_memory(size: str) -> int:
    """Return the bytes of ``2GB``, ``500MB`` (powers of 1000) or ``1.5GiB`` (of 1024)."""
    units = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB|MiB|GiB)", size)
    if match is None:
        raise ValueError(f"expected a size such as 2GB or 500MB, not {show_value(size)}")
    n_bytes = float(match[1]) * units[match[2]]
    if n_bytes > MOST_BYTES:
        raise ValueError(f"expected a size of at most {MOST_BYTES // units['GB']:,} GB, not {show_value(size)}")
    return int(n_bytes)


class ModelConfig(Table):
    """``[model]``: the pretrained backbone, what of it stays frozen, and what is trained; or a model to audit as it is.

    One of ``backbone``, ``checkpoint`` and ``factory`` is given; the last two are audited without training.
    """

    backbone: str | None = None
    """The pretrained model: `torchvision/NAME`, `timm/NAME` or `transformers/NAME`, for the last also a folder beside
    the config; `NAME@REVISION` pins a revision of the hub."""
    checkpoint: Annotated[str | None, PATH] = None
    """A Hugging Face folder of a classifier of images, texts or recordings that others trained, audited as it is; with
    `data.transcript` of a recogniser of speech: Whisper, or wav2vec2 and its like with a CTC head."""
    factory: FunctionName | None = None
    """A function, `package.module:name`, that builds a torch module that others trained, in the place of `backbone`."""
    decoding: Annotated[DecodingConfig, RECOGNIZERS] = DecodingConfig()
    """How a checkpoint that recognises speech writes what it hears."""
    classes: Annotated[list[str] | None, CLASSES] = Field(default=None, min_length=2)
    """The label of each output of a checkpoint or factory, in their order."""
    outputs: Annotated[Literal["logits", "probabilities"], CLASSES] = "logits"
    """What a checkpoint or factory gives for each class."""
    weights: Annotated[str, PATH] = "pretrained"
    """`"pretrained"`, `"random"`, a .safetensors or .pth file, `package:NAME` for weights in an installed package, or
    of torchvision a name such as `"IMAGENET1K_V1"`."""
    freeze: str | None = None
    """What stays as it was: `"all"` (a new head is trained), `"none"`, or the first layer that is trained, of those
    that `rft cut-points` lists. By default `"all"`, and `"none"` where `tune` is not `"full"`: adapters and biases
    everywhere, and nothing is cached."""
    tune: Literal["full", "bias", "lora"] = "full"
    """What is trained behind the cut: all weights, the biases alone, or low-rank adapters."""
    lora: LoraConfig = LoraConfig()
    """The adapters of `tune = "lora"`."""
    pooling: Annotated[Literal["auto", "mean", "cls", "last"], TEXTS] = "auto"
    """How the vectors of the tokens become one: their mean, that of the first token (cls) or of the last; auto does
    what suits the family."""
    layer: Annotated[Annotated[int, Field(ge=0, le=MOST)] | Literal["mean"] | None, RECORDINGS] = None
    """Of a backbone of speech, whose hidden states are averaged over time: a number, 0 for what enters the first layer,
    or `"mean"` over all layers; by default those of the last. Middle layers often tell more of words and speakers."""
    max_length: Annotated[int | None, Field(ge=4, le=MOST), TEXTS] = None
    """Tokens of a text that are read; by default as many as the model takes, 512 at most."""
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "int8"],
        Applies(
            lambda run, value: run.trained or value in EXACT, "models that others trained run in their own precision"
        ),
        Applies(
            lambda run, value: value in EXACT or run.freeze != "none" or (value == "bfloat16" and not run.private),
            "it is that of the frozen part, and nothing is frozen",
        ),
    ] = "auto"
    """Of numbers. `auto` is float32, in which predictions are the same on every device; `bfloat16` is that of the
    frozen part, in the saved model too, and of training steps of more than a head; `int8` rounds the weights of linear
    layers of the frozen part, and needs torchao."""
    cache: Annotated[
        Literal["float32", "float16"], Applies(lambda run, _: run.freeze != "none", "nothing is frozen, and so cached")
    ] = "float32"
    """Precision of the features that are kept."""
    memory: Annotated[
        str | None, Applies(lambda run, _: run.trained or run.task != "recognition", "transcripts keep no features")
    ] = None
    """Peak of memory in extraction, such as `2GB`; larger caches are memory-mapped. On a GPU: of what lies there."""
    image_size: Annotated[int | None, Field(ge=28, le=1024), IMAGES] = None
    """Side of the square that images are scaled to, in pixels; by default that of the backbone."""
    preprocessing: Annotated[str | None, IMAGES] = None
    """What else nothing says. Of a torchvision backbone with weights of your own: the published weights whose
    transforms they were trained with (`IMAGENET1K_V2`). Of a factory that does not return its transform:
    `package.module:transform`."""
    row_norm: bool | None = None
    """Scale each row of D features to length sqrt(D). By default true for a head alone, but with
    `train.optimizer = "sgd"`, otherwise false."""

    @property
    def external(self) -> bool:
        """Whether the model was trained by others and is only audited."""
        return self.backbone is None

    @property
    def frozen(self) -> str:
        """``freeze``, or what suits ``tune``: a new head on a frozen backbone, or biases and adapters everywhere."""
        return self.freeze or ("all" if self.tune == "full" else "none")

    @property
    def memory_bytes(self) -> int | None:
        """``memory`` in bytes, or None."""
        return None if self.memory is None else read_memory(self.memory)

    @model_validator(mode="before")
    @classmethod
    def _without_code(cls, content: Any) -> Any:
        if isinstance(content, dict) and "trust_remote_code" in content:
            raise ValueError(
                "trust_remote_code: code that a model brings along is never run, whatever this says, since it could do "
                "anything to this machine and to the audit; take a type of model that transformers itself knows, or "
                "build it yourself with model.factory, and remove the key"
            )
        return content

    @model_validator(mode="after")
    def _check_source(self) -> ModelConfig:
        sources = [key for key in ("backbone", "checkpoint", "factory") if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(f"give one of backbone, checkpoint and factory, not {' and '.join(sources) or 'none'}")
        if self.external:
            training = {
                *("weights", "freeze", "tune", "lora", "pooling", "layer", "cache", "row_norm")
            } & self.model_fields_set
            if training:
                raise ValueError(f"a {sources[0]} is audited as it is: remove {', '.join(sorted(training))}")
        elif {"classes", "outputs"} & self.model_fields_set:
            raise ValueError("classes and outputs describe a checkpoint or factory, not a backbone: remove them")
        if self.preprocessing is not None:
            self._check_preprocessing()
        if self.tune != "full" and self.freeze == "all":
            raise ValueError(f'tune = "{self.tune}" trains nothing when freeze is "all"; name a layer, or "none"')
        if "lora" in self.model_fields_set and self.tune != "lora":
            raise ValueError('[model.lora] needs tune = "lora"')
        return self

    def _check_preprocessing(self) -> None:
        """Refuse to name how images are prepared where the model itself says it."""
        if self.factory is not None:
            if not re.fullmatch(FUNCTION, self.preprocessing or ""):
                raise ValueError('preprocessing of a factory names its transform: give "package.module:name"')
            if self.image_size is not None:
                raise ValueError("image_size is that of the images that preprocessing gives: remove it")
        elif not (self.backbone or "").startswith("torchvision/"):
            raise ValueError("preprocessing is the model's own, but for torchvision backbones and factories: remove it")

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, memory: str | None) -> str | None:
        if memory is not None:
            read_memory(memory)
        return memory
