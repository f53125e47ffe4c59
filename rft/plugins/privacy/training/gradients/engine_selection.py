"""Which engine gives the gradients of single examples for this network: tried out on the network that is to be trained.

The proof of differential privacy rests on each example having a gradient of its own. So before any training every
engine is held against backward passes over one example at a time, on made-up examples: which engine is chosen, and
whether training is refused, must not depend on private data. Real examples lend their shape alone.

Dropout would make any two passes differ. The comparison is made with every module in eval mode that has no trained
parameter of its own; the rest stay in training mode, which Opacus needs. What is trained is moved away from where it
starts: the zeros of fresh adapters, or a layer scale near zero, would hide the gradients behind them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rft.backbones.recognizer import FrameHead
from rft.backbones.sources.speech.encoders import SpeechBackbone
from rft.errors import ConfigError
from rft.plugins.privacy.training.gradients.engines import (
    ENGINES,
    Batch,
    ClosedForm,
    Engine,
    OneByOne,
    owns_trained,
    summed_loss,
    trained_parameters,
)
from rft.runtime.devices.device_memory import is_accelerator
from rft.runtime.devices.random_state import seeded_torch
from rft.runtime.float32 import ieee_float32
from rft.training import Task
from rft.training.objectives import Objective
from rft.training.privacy_facts import EngineFacts

BuildEngine = Callable[[nn.Module], Engine]
GRADIENT_TOLERANCE = 1e-3  # in float32; an exact engine stays below 1e-5, a wrong one is off by tens of percent
MIN_GRADIENT_SHARE = (
    1e-4  # of an example's whole gradient: what is smaller, such as the bias of attention keys, is rounding
)
TEXT_LENGTHS = (6, 3, 5)  # tokens of the made-up texts, one each: different, so that padding takes part
MAX_PROBED_TOKENS = 512  # of a made-up text on an accelerator, so that a few of them find room
CLIPS = {"waveform", "spectrum"}  # columns of clips, of which the encoder says how much becomes one of these tokens
ENGINE_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
)  # what an engine raises

BOUNDS_NOBODY = "the examples of a batch, so that nobody's contribution is bounded"
MIXES_EXAMPLES = f"it mixes {BOUNDS_NOBODY}"
REMEDY = 'Freeze more (freeze = "all", or a later layer), or remove epsilon to train without privacy.'
NORM_REMEDY = (
    "Cut behind the last BatchNorm (a later layer as freeze), or take a network with LayerNorm or GroupNorm. Training "
    "biases or adapters alone does not help: the statistics are still those of the batch."
)


@dataclass(frozen=True)
class EngineSelection:
    """The engine that training uses.

    Attributes:
        name: how the report calls the way gradients are computed.
        engine: the first one that is exact on this network; None for a linear head, which needs none.
        error: its largest relative error, against backward passes over one example at a time; None for a linear head.
        passed_over: the engines before it, each with the reason why it is not used.
        trained_parameters: how many numbers are trained.
        is_head: whether the network takes one vector an example, so that its activations weigh next to nothing.
    """

    name: str
    engine: type[Engine] | None
    error: float | None
    rejected_engines: dict[str, str]
    trained_parameters: int
    is_head: bool

    @property
    def facts(self) -> EngineFacts:
        """What a report says about it. Private training computes in float32 whatever the task asks for."""
        return EngineFacts(self.name, self.error, self.rejected_engines, self.trained_parameters, "float32")


def build_network(task: Task, seed: int) -> nn.Module:
    """Return a fresh network as training uses it: on its device, in training mode.

    Its tensors are contiguous: Opacus' rule for convolutions takes that for granted.
    """
    suffix = task.new_suffix(seed).to(task.device)
    return suffix.to(memory_format=torch.contiguous_format).train()


def select_closed_form(task: Task) -> EngineSelection:
    """Return the choice for a linear head: the norms of its gradients are known in closed form."""
    return EngineSelection(
        "closed form", None, None, {}, sum(parameter.numel() for parameter in task.new_suffix(0).parameters()), True
    )


def select_engine(task: Task) -> EngineSelection:
    """Return the engine for a task.

    Raises:
        ConfigError: nothing is trained, examples of a batch influence each other, or training would keep statistics
            of them without noise; with the layer where it is known.
    """
    with seeded_torch(0, task.device), ieee_float32():
        suffix = with_perturbed_parameters(build_network(task, 0))
        _check_layers(suffix)
        batch, labels = make_up_examples(task, suffix, len(TEXT_LENGTHS))
        _check_buffers(suffix, batch)
        _check_batch_independence(suffix, batch, task.device)
        _check_deterministic(eval_untrained_modules(suffix), batch)
        exact = OneByOne(suffix, task.objective).example_gradients(batch, labels)
        _check_additive_gradients(suffix, batch, labels, exact, task.objective)
        rejected_engines: dict[str, str] = {}
        for engine in _list_engines(suffix):
            error, remark = _try_engine(
                partial(engine, objective=task.objective),
                lambda: with_perturbed_parameters(build_network(task, 0)),
                batch,
                labels,
                exact,
            )
            if error <= GRADIENT_TOLERANCE:
                size = sum(parameter.numel() for parameter in trained_parameters(suffix))
                return EngineSelection(engine.name, engine, error, rejected_engines, size, _is_head(batch))
            rejected_engines[engine.name] = remark
    remarks = "; ".join(f"{name}: {remark}" for name, remark in rejected_engines.items())
    raise ConfigError(
        f"no way gives exact gradients of single examples here ({remarks})", where="privacy.epsilon", remedy=REMEDY
    )


def _list_engines(suffix: nn.Module) -> tuple[type[Engine], ...]:
    """Return the ways that are tried on a network, the faster one first."""
    return (ClosedForm, *ENGINES) if type(suffix) is FrameHead else ENGINES


def _try_engine(
    engine: BuildEngine,
    fresh: Callable[[], nn.Module],
    batch: Batch,
    labels: Tensor,
    exact: list[Tensor],
) -> tuple[float, str]:
    """Return an engine's largest relative error, infinite where it fails, and a remark that says what happened."""
    suffix = eval_untrained_modules(fresh())
    try:
        gradients = _engine_gradients(engine, suffix, batch, labels)
        _engine_gradients(engine, fresh(), batch, labels)  # with dropout: nothing to compare with, but it must run
    except ENGINE_FAILURES as failure:
        return math.inf, f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0][:160]}"
    names = [_in_network(name) for name, parameter in suffix.named_parameters() if parameter.requires_grad]
    for name, gradient, wanted in zip(names, gradients, exact, strict=True):
        if gradient.shape != wanted.shape:
            return math.inf, f"a gradient of shape {tuple(gradient.shape)} for {tuple(wanted.shape)} at {name}"
    errors = _relative_errors(gradients, exact)
    worst = int(errors.argmax())
    return float(errors[worst]), f"relative error {float(errors[worst]):.2g} at {names[worst]}"


def _engine_gradients(engine: BuildEngine, suffix: nn.Module, batch: Batch, labels: Tensor) -> list[Tensor]:
    running = engine(suffix)
    gradients = running.example_gradients(batch, labels)
    running.close()
    return gradients


def _relative_errors(gradients: list[Tensor], exact: list[Tensor]) -> Tensor:
    """Return, for each parameter, the largest error of an example's gradient over its norm; infinite if not a number.

    Where a parameter has less than ``MIN_GRADIENT_SHARE`` of an example's whole gradient, that stands in for its norm.
    """
    norms = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in exact])
    misses = torch.stack([(a - b).reshape(len(b), -1).norm(dim=1) for a, b in zip(gradients, exact, strict=True)])
    least = (MIN_GRADIENT_SHARE * norms.norm(dim=0)).clamp(min=torch.finfo(norms.dtype).tiny)
    return (misses / norms.maximum(least)).nan_to_num(nan=math.inf).amax(dim=1)


def _check_layers(suffix: nn.Module) -> None:
    """Refuse what can be told by looking at it."""
    if not trained_parameters(suffix):
        raise ConfigError("the part to be trained has no trainable parameters", where="privacy.epsilon")
    for name, parameter in suffix.named_parameters():
        if parameter.is_floating_point() and parameter.dtype not in (torch.float32, torch.float64):
            held = str(parameter.dtype).removeprefix("torch.")
            raise _refuse_network(
                f"{_in_network(name)} is held in {held}, whose rounding would hide errors", 'Set precision = "float32".'
            )
    for name, module in suffix.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise _refuse_network(
                f"the layer {_in_network(name)} ({type(module).__name__}) mixes {BOUNDS_NOBODY}", NORM_REMEDY
            )


def _check_buffers(suffix: nn.Module, batch: Batch) -> None:
    """Refuse a network that keeps something of the examples which no noise covers."""
    before = {name: buffer.clone() for name, buffer in suffix.named_buffers()}
    with torch.no_grad():
        suffix(batch)
    for name, buffer in suffix.named_buffers():
        if not torch.equal(before[name], buffer):
            raise _refuse_network(f"training moves the buffer {_in_network(name)}, without noise", REMEDY)


def _check_deterministic(suffix: nn.Module, batch: Batch) -> None:
    """Refuse a network whose randomness cannot be switched off: nothing could be compared."""
    with torch.no_grad():
        first, second = suffix(batch), suffix(batch)
    if not torch.allclose(first, second, rtol=GRADIENT_TOLERANCE, atol=GRADIENT_TOLERANCE):
        raise _refuse_network("its output is random even without dropout layers, so that it cannot be tested", REMEDY)


def _check_batch_independence(suffix: nn.Module, batch: Batch, device: str) -> None:
    """Refuse a network, in training mode, whose output for some examples changes when another one is exchanged."""
    outputs = []
    for last in (-1, 0):
        exchanged = {name: torch.cat([column[:-1], column[last][None]]) for name, column in batch.items()}
        with torch.no_grad(), seeded_torch(0, device):  # the same dropout
            outputs.append(suffix(exchanged)[:-1])
    if not torch.allclose(outputs[0], outputs[1], rtol=GRADIENT_TOLERANCE, atol=GRADIENT_TOLERANCE):
        raise _refuse_network(MIXES_EXAMPLES, REMEDY)


def _check_additive_gradients(
    suffix: nn.Module, batch: Batch, labels: Tensor, exact: list[Tensor], objective: Objective
) -> None:
    """Refuse a network in which an example's gradient is another one in company, of longer texts for instance."""
    total = summed_loss(suffix, batch, labels, objective)
    together = torch.autograd.grad(total, trained_parameters(suffix), allow_unused=True, materialize_grads=True)
    errors = _relative_errors(
        [gradient[None] for gradient in together], [gradient.sum(0, keepdim=True) for gradient in exact]
    )
    if not float(errors.max()) <= GRADIENT_TOLERANCE:
        raise _refuse_network(MIXES_EXAMPLES, REMEDY)


def _refuse_network(reason: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"this part cannot be trained with differential privacy: {reason}", where="privacy.epsilon", remedy=remedy
    )


def _in_network(name: str) -> str:
    """Return a layer's name as the config would say it."""
    return name.rpartition("backbone.network.")[2]


def eval_untrained_modules(suffix: nn.Module) -> nn.Module:
    """Put every module in eval mode that has no trained parameter of its own: dropout of every kind, above all."""
    for module in suffix.modules():
        module.training = module.training and owns_trained(module)
    return suffix


def with_perturbed_parameters(suffix: nn.Module) -> nn.Module:
    """Move every trained parameter, and return the network."""
    perturb_parameters(trained_parameters(suffix))
    return suffix


def perturb_parameters(parameters: Sequence[nn.Parameter]) -> None:
    """Add noise to parameters, the same in every run, of the size that weights usually have."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            spread = 0.5 * parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.1
            noise = spread * torch.randn(parameter.shape, generator=rng)
            parameter.add_(noise.to(parameter.dtype).to(parameter.device))


def text_lengths(task: Task) -> tuple[int, ...]:
    """Return how long made-up texts are, in tokens.

    On an accelerator other kernels run for long texts than for short ones: there one is as long as real ones may be, by
    the public number that these are cut to.
    """
    if task.tokens is None or not is_accelerator(task.device) or task.tokens <= max(TEXT_LENGTHS):
        return TEXT_LENGTHS
    return min(task.tokens, MAX_PROBED_TOKENS), *TEXT_LENGTHS[1:]


def make_up_examples(task: Task, suffix: nn.Module, rows: int) -> tuple[Batch, Tensor]:
    """Return examples of the kind of the first real one, with labels; the same in every run."""
    rng = torch.Generator().manual_seed(0)
    real = task.features.batch(torch.tensor([0]))
    of_texts = text_lengths(task)
    lengths = torch.tensor(of_texts).repeat(-(-rows // len(of_texts)))[:rows]
    if real.keys() & CLIPS:
        encoder = next(module for module in suffix.modules() if isinstance(module, SpeechBackbone))
        made_up = encoder.make_up_inputs(lengths, rng)
    else:
        made_up = _make_up_columns(real, suffix, lengths, rng)
    batch = {name: values.to(task.device) for name, values in made_up.items()}
    training = suffix.training
    with torch.no_grad():
        outputs = suffix.eval()(batch).shape[-1]
    suffix.train(training)
    return batch, task.objective.make_up_labels(rows, outputs).to(task.device)


def _make_up_columns(real: Batch, suffix: nn.Module, lengths: Tensor, rng: torch.Generator) -> Batch:
    """Return columns of the shapes of real ones, of which the (B,) lengths of texts alone are others."""
    longest = max(lengths.tolist())
    mask = torch.arange(longest) < lengths[:, None]
    batch: Batch = {}
    for name, column in real.items():
        shape = [len(lengths), *column.shape[1:]]
        if "attention_mask" in real:
            shape[1] = longest
        if name == "attention_mask":
            values = mask.to(column.dtype)
        elif name == "pixels":
            values = torch.rand(shape, generator=rng)
        elif column.is_floating_point():
            values = torch.randn(shape, generator=rng, dtype=column.dtype)
        else:
            known = _vocabulary_size(suffix)  # special tokens, padding among them, are at its ends
            values = torch.randint(known // 4, known // 2 + 1, shape, generator=rng, dtype=column.dtype)
        if "attention_mask" in real:  # padded with zeros, as real ones are
            values = values * mask.reshape(*mask.shape, *[1] * (values.dim() - 2))
        batch[name] = values
    return batch


def _vocabulary_size(suffix: nn.Module) -> int:
    """Return how many tokens a language model knows, 2 where it does not say."""
    models: list[Any] = [module for module in suffix.modules() if hasattr(module, "get_input_embeddings")]
    return models[0].get_input_embeddings().num_embeddings if models else 2


def _is_head(batch: Batch) -> bool:
    return batch.keys() == {"features"} and batch["features"].dim() == 2
