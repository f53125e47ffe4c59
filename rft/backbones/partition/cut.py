"""Cut a classifier into a frozen part, run once, and a trained part. One mechanism for every kind of network.

``all`` freezes everything before the head; a layer's name freezes what runs before that layer; ``none`` freezes
nothing by its place. Which parameters are trained behind a layer is measured, not looked up: those that get a gradient
there and that nothing before the cut uses.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rft.backbones.classifier import Classifier, hash_tensors, new_head
from rft.backbones.partition.frozen_part import FrozenPart, round_to_cache, run_frozen_part
from rft.backbones.partition.replay import InputShape, Prefix, ReplayPlan, StubOutput, Suffix, owning_module
from rft.backbones.partition.trace import FAILURES, Example, ModelTrace, first_line
from rft.errors import ModelError, near
from rft.runtime.devices.random_state import seeded_torch
from rft.runtime.out_of_memory import raise_if_out_of_memory

NETWORK = "backbone.network."
Tune = Literal["full", "bias", "lora"]
ROW = {"text": "token", "audio": "vector of the network"}  # what one row of cached features stands for
NOTHING_TRAINED = {
    "full": "no other parameter gets a gradient",
    "bias": "no layer behind the cut has a bias",
    "lora": "the layers behind the cut never call their adapters",
}
TOLERANCE = 1e-4  # largest difference of a logit, relative to the largest logit, that counts as the same


class Uncuttable(Exception):
    """This layer is no place to cut; the message is the reason."""


@dataclass(frozen=True)
class Cut:
    """A classifier, where it is cut, and what is trained.

    Attributes:
        classifier: the model as loaded, on the CPU. Replicas share the frozen tensors with it.
        freeze: ``all``, ``none`` or a layer of the network.
        plan: how the part behind a layer is run; None for ``all`` and ``none``.
        trained: names of the parameters that are trained, the head's included.
        input_shape: (C, H, W) of the images; None for texts.
        frozen_part: how what lies before the cut computes, in the joined model as in extraction.
    """

    classifier: Classifier
    freeze: str
    plan: ReplayPlan | None
    trained: frozenset[str]
    input_shape: InputShape = None
    frozen_part: FrozenPart = field(default_factory=FrozenPart)

    @property
    def cached(self) -> bool:
        """Whether there is a frozen part whose outputs can be kept."""
        return self.freeze != "none"

    def prefix(self) -> Prefix:
        """Return the frozen part."""
        return Prefix(replicate_model(self.classifier), self.plan)

    def new_suffix(self, seed: int) -> nn.Module:
        """Return a fresh trained part: the head's (and adapters') values follow from the seed, others are as loaded."""
        return self._fresh_head(seed) if self.freeze == "all" else self._build_suffix(seed, self.plan)

    def trained_suffix(self, state: dict[str, Tensor]) -> nn.Module:
        """Return the trained part with a state as ``trained_state`` gives it: name -> tensor, in its shape."""
        suffix = self.new_suffix(0)
        unexpected = suffix.load_state_dict(state, strict=False).unexpected_keys
        assert not unexpected, unexpected
        return suffix

    def whole_suffix(self, seed: int) -> Suffix:
        """Return the same training without a cache: all of the model, with the same parameters trained."""
        return self._build_suffix(seed, None)

    def shared_suffix(self, *, cached: bool) -> nn.Module:
        """Return the trained part (the whole model unless ``cached``) to be run but not trained: it shares weights.

        What training mode moves by itself, such as the statistics of a BatchNorm, it has for itself.
        """
        if cached and self.freeze == "all":
            return self._fresh_head(0)
        changed = {name for name in self._unshared_names if name not in self.trained or _is_drawn_anew(name)}
        return self._build_suffix(0, self.plan if cached else None, fresh=frozenset(changed))

    def join(self, state: dict[str, Tensor]) -> Classifier:
        """Return the model with a trained part's state (as ``trained_state`` gives it) in its place."""
        trained_names = self._unshared_names
        model = replicate_model(self.classifier, fresh=trained_names)
        if self.freeze == "all":
            model.head.load_state_dict(state)
        else:
            named = {name.removeprefix("classifier."): tensor for name, tensor in state.items()}
            model.load_state_dict(
                {name: tensor for name, tensor in named.items() if name in trained_names}, strict=False
            )
        model.frozen_part = self.frozen_part
        return model.requires_grad_(False).eval()

    def computing_in(self, precision: str, cache: str, example: Example) -> Cut:
        """Return the cut with a frozen part that computes in ``precision`` and whose outputs are kept in ``cache``.

        Raises:
            ModelError: the joined model would then give other logits than extraction and the trained part do.
        """
        layer, argument = (self.plan.layer, self.plan.position) if self.plan else (None, 0)
        computing_cut = replace(self, frozen_part=FrozenPart(precision, cache, layer, argument))  # type: ignore[arg-type]
        if layer is not None and not computing_cut.frozen_part.plain:
            _verify_precision(computing_cut, example)
        return computing_cut

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Return every parameter and buffer, of any shape, that training must leave as it is, by name."""
        unshared = self._unshared_names
        return {name: tensor for name, tensor in self.classifier.state_dict().items() if name not in unshared}

    def frozen_sha256(self) -> str:
        """Hash what ``frozen_tensors`` returns."""
        return hash_tensors(self.frozen_tensors())

    @property
    def _unshared_names(self) -> frozenset[str]:
        """Names of the tensors that each trained part has for itself: those trained, and statistics behind the cut."""
        if self.freeze == "all":
            return self.trained
        behind = self.plan.behind if self.plan else None
        buffers = (
            name for name, _ in self.classifier.named_buffers() if behind is None or owning_module(name) in behind
        )
        return self.trained | frozenset(buffers)

    def _fresh_head(self, seed: int) -> nn.Module:
        head = self.classifier.head
        return new_head(head.linear.in_features, head.linear.out_features, head.row_norm, seed, type(head))

    def _build_suffix(self, seed: int, plan: ReplayPlan | None, fresh: frozenset[str] | None = None) -> Suffix:
        hollow = plan.hollow if plan else frozenset()
        model = replicate_model(self.classifier, fresh=self._unshared_names if fresh is None else fresh, hollow=hollow)
        model.head.load_state_dict(self._fresh_head(seed).state_dict())
        _reset_adapters(model, seed)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in self.trained)
        trainable = {"all": frozenset({"head", "head.linear"}), "none": None}.get(
            self.freeze, self.plan.behind if self.plan else None
        )
        return Suffix(model, plan, trainable, self.input_shape)


def cut_classifier(classifier: Classifier, freeze: str, tune: Tune, example: Example) -> Cut:
    """Cut a classifier; with ``tune = "lora"`` its adapters are in it already.

    Args:
        classifier: the joined model as loaded, in eval mode.
        freeze: ``all``, ``none`` or the name of a layer in ``classifier.backbone.network``.
        tune: which parameters behind the cut are trained: all, biases, or those of adapters; the head always is.
        example: makes inputs, to run the model on while it is looked at.

    Raises:
        ModelError: the layer does not exist, or the model cannot be run from there; with near names.
    """
    input_shape = _input_shape(example)
    if freeze == "all":
        head = frozenset(name for name, _ in classifier.named_parameters() if name.startswith("head."))
        return Cut(classifier, freeze, None, head, input_shape)
    if freeze == "none":
        return Cut(classifier, freeze, None, _select_tuned(_parameters_reached(classifier, example), tune), input_shape)
    _check_name(classifier, freeze)
    trace = ModelTrace.record(classifier, example)
    try:
        return cut_at_layer(classifier, freeze, tune, trace, example)
    except Uncuttable as reason:
        parents = _cuttable_parents(classifier, freeze, tune, trace, example)
        others = f"It can be cut at {parents[0]!r}. " if parents else ""
        remedy = f"{others}rft cut-points BACKBONE lists where one can cut."
        raise ModelError(f"cannot cut at {freeze!r}: {reason}", where="model.freeze", remedy=remedy) from None


def modules_behind(classifier: Classifier, layer: str, example: Example) -> frozenset[str]:
    """Return the names of the modules that run behind a layer; raises ``ModelError`` when it cannot be cut there."""
    plan = cut_classifier(classifier, layer, "full", example).plan
    assert plan is not None
    return plan.behind


def _input_shape(example: Example) -> InputShape:
    pixels = example(1, 5, 0).get("pixels")
    return None if pixels is None else tuple(pixels.shape[1:])


def _check_name(classifier: Classifier, layer: str) -> None:
    known = [name.removeprefix(NETWORK) for name, _ in classifier.named_modules() if name.startswith(NETWORK)]
    if layer not in known:
        remedy = (
            near(layer, ["all", "none", *known]) or 'rft cut-points BACKBONE lists the layers; or "all", or "none".'
        )
        raise ModelError(f"the backbone has no layer {layer!r}", where="model.freeze", remedy=remedy)


def cut_at_layer(classifier: Classifier, layer: str, tune: Tune, trace: ModelTrace, example: Example) -> Cut:
    """Cut at a layer whose model was recorded; raises ``Uncuttable``."""
    input_shape = _input_shape(example)
    try:
        plan = plan_replay(trace, NETWORK + layer, classifier.modality)
        trained = _select_tuned(_parameters_behind_only(classifier, plan, example, input_shape), tune)
        cut = Cut(classifier, layer, plan, trained, input_shape)
        _verify_replay(cut, example)
    except FAILURES as error:
        raise_if_out_of_memory(error)
        raise Uncuttable(f"the rest of the model does not run from there ({first_line(error)})") from error
    return cut


def plan_replay(trace: ModelTrace, layer: str, modality: str) -> ReplayPlan:
    """Plan the run from a layer on; raises ``Uncuttable`` when the recorded calls rule it out."""
    at = trace.first_call(layer)
    if at is None:
        raise Uncuttable("it does not run")
    if not trace.comparable:
        raise Uncuttable("which layers run depends on the data")
    position = _cached_argument(trace, at, modality)
    start = trace.first[at].start
    ended = {number for number, call in enumerate(trace.first) if call.end < start}
    outermost = sorted(number for number in ended if trace.first[number].parent not in ended)
    stub_outputs: dict[str, list[StubOutput | None]] = {}
    for number in outermost:
        stub_outputs.setdefault(trace.first[number].module, []).append(_stub_output(trace, number))
    behind = {call.module for call in trace.first if call.end >= start}
    around = {call.module for call in trace.first if call.start < start <= call.end}
    before = {trace.first[number].module for number in ended}
    kept_running = {
        call.module
        for number, call in enumerate(trace.first)
        if _lies_in_made_call(trace, number, outermost, stub_outputs)
    }
    hollow = before - behind - kept_running
    return ReplayPlan(
        layer=layer,
        position=position,
        ragged=modality != "image",
        overwrites=trace.first[at].overwrites,
        stub_outputs={name: tuple(stubs) for name, stubs in stub_outputs.items()},
        behind=frozenset(behind),
        behind_only=frozenset(behind - before - around),
        hollow=frozenset(hollow),
    )


def _lies_in_made_call(
    trace: ModelTrace, number: int, outermost: list[int], stub_outputs: dict[str, list[StubOutput | None]]
) -> bool:
    """Tell whether a call lies in (or is) a call before the cut that is made because no data goes into its result."""
    made_calls = {call_number for call_number in outermost if not trace.changing_outputs(call_number)}
    at: int | None = number
    while at is not None:
        if at in made_calls:
            return True
        at = trace.first[at].parent
    return False


def _cached_argument(trace: ModelTrace, at: int, modality: str) -> int:
    """Return which leaf of a call's arguments carries the example; raises ``Uncuttable`` unless exactly one does."""
    changing = trace.changing_inputs(at)
    if len(changing) != 1:
        raise Uncuttable(f"{len(changing) or 'none'} of its arguments carry the example; exactly one can be cached")
    small, large = trace.first[at].inputs[changing[0]], trace.larger[at].inputs[changing[0]]
    dimensions = trace.explain_shape(small, large)
    if dimensions is None or dimensions[:1] != ((1, "B"),):
        raise Uncuttable("its argument has not one row an example")
    assert small is not None
    if not small.dtype.is_floating_point:
        raise Uncuttable('its argument is the input itself: freeze = "none" trains everything')
    expected = [(1, "B")] if modality == "image" else [(1, "B"), (1, "T")]
    if list(dimensions[: len(expected)]) != expected or any(unit for _, unit in dimensions[len(expected) :]):
        raise Uncuttable(
            "its shape varies" if modality == "image" else f"its argument has not one row a {ROW[modality]}"
        )
    return changing[0]


def _stub_output(trace: ModelTrace, number: int) -> StubOutput | None:
    if not trace.changing_outputs(number):
        return None
    call, leaves = trace.first[number], []
    for position, leaf in enumerate(call.outputs):
        shape = trace.explain_shape(leaf, trace.larger[number].outputs[position]) if leaf else None
        if leaf and shape is None:
            raise Uncuttable(
                f"the shape of what {call.module.removeprefix(NETWORK)} gives does not follow from the batch"
            )
        leaves.append((shape, leaf.dtype) if leaf and shape is not None else None)
    return StubOutput(call.output_tree, tuple(leaves))


def _parameters_behind_only(
    classifier: Classifier, plan: ReplayPlan, example: Example, input_shape: InputShape
) -> list[str]:
    """Return the names of the parameters that get a gradient behind the cut and that nothing before it uses."""
    model = replicate_model(classifier)
    prefix, suffix = Prefix(model, plan), Suffix(model, plan, None, input_shape)
    model.requires_grad_(True)
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    features = prefix(example(2, 5, 0))
    before = _parameters_used(features["features"], named)
    behind = _parameters_used(suffix({name: tensor.detach() for name, tensor in features.items()}), named)
    trained = [name for name in named if name in behind - before]
    if all(name.startswith("head.") for name in trained):
        shared = any(not name.startswith("head.") for name in behind)
        reason = "what is behind it shares its weights with what is before" if shared else "it has no weights"
        raise Uncuttable(f'nothing but the head is trained behind it ({reason}): freeze = "all" says so')
    return trained


def _parameters_reached(classifier: Classifier, example: Example) -> list[str]:
    """Return the names of the parameters that get a gradient at all."""
    model = replicate_model(classifier).requires_grad_(True)
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    used = _parameters_used(model(example(2, 5, 0)), named)
    return [name for name in named if name in used]


def _parameters_used(output: Tensor, named: dict[str, nn.Parameter]) -> set[str]:
    if not output.requires_grad:
        return set()
    gradients = torch.autograd.grad(output.float().sum(), list(named.values()), allow_unused=True)
    return {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}


def _select_tuned(names: list[str], tune: Tune) -> frozenset[str]:
    """Keep what ``tune`` trains, and the head."""
    if tune == "bias":
        names = [name for name in names if name.endswith("bias") or name.startswith("head.")]
    elif tune == "lora":
        names = [name for name in names if ".lora_" in name or name.startswith("head.")]
    if all(name.startswith("head.") for name in names):
        raise ModelError(
            f'tune = "{tune}" trains nothing but the head: {NOTHING_TRAINED[tune]}',
            where="model.tune",
            remedy='Set tune = "full", or freeze = "all" to train the head alone.',
        )
    return frozenset(names)


def _verify_replay(cut: Cut, example: Example) -> None:
    """Raise ``Uncuttable`` unless running from the cut gives what the model gives, in eval and in training mode."""
    inputs = example(3, 6, 3)
    prefix, replayed, plain = cut.prefix(), cut.shared_suffix(cached=True), cut.shared_suffix(cached=False)
    with torch.no_grad():
        features = prefix(inputs)
        for mode in (False, True):
            outputs = []
            for model, batch in ((replayed, features), (plain, inputs)):
                with seeded_torch(0):  # the same dropout on both ways
                    outputs.append(model.train(mode)(batch))
            gap = float((outputs[0] - outputs[1]).abs().max() / outputs[1].abs().max().clamp(min=1e-6))
            if not gap <= TOLERANCE:
                raise Uncuttable(
                    f"run from there, the model gives other logits (they differ by {_format_share(gap)}): a branch "
                    "passes by"
                )


def _format_share(gap: float) -> str:
    """Return a difference, relative to the largest logit, in percent: one that is refused is never shown as 0."""
    return f"{100 * gap:.2g} %"


def _verify_precision(cut: Cut, example: Example) -> None:
    """Raise ``ModelError`` unless the joined model computes what extraction and the trained part compute."""
    inputs, part = example(3, 6, 3), cut.frozen_part
    suffix, whole = cut.shared_suffix(cached=True), cut.shared_suffix(cached=False)
    whole.classifier.frozen_part = part  # type: ignore[union-attr]
    with torch.no_grad():
        features = run_frozen_part(cut.prefix(), inputs, part.precision)
        wanted = suffix.eval()({**features, "features": round_to_cache(features["features"], part.cache)})
        gap = float((whole.eval()(inputs) - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
    if not gap <= TOLERANCE:
        raise ModelError(
            f"cut at {cut.freeze!r}, the model gives other logits in this precision (they differ by "
            f"{_format_share(gap)})",
            where="model.precision",
            remedy='Set model.precision = "float32" and model.cache = "float32".',
        )


def _cuttable_parents(classifier: Classifier, layer: str, tune: Tune, trace: ModelTrace, example: Example) -> list[str]:
    """Return the layers around ``layer`` that can be cut at, the innermost first."""
    parents = []
    while layer := layer.rpartition(".")[0]:
        try:
            cut_at_layer(classifier, layer, tune, trace, example)
        except Uncuttable:
            continue
        parents.append(layer)
    return parents


def replicate_model(
    model: Classifier, *, fresh: frozenset[str] = frozenset(), hollow: frozenset[str] = frozenset()
) -> Classifier:
    """Copy a model without its tensors: the copy shares their memory.

    Args:
        model: what is copied.
        fresh: names of tensors that the copy gets for itself.
        hollow: modules whose tensors the copy does without.
    """
    memo: dict[int, object] = {}
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    needed = {
        id(tensor) for name, tensor in every if owning_module(name) not in hollow
    }  # tied ones perhaps by another name
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        copied = tensor.detach()
        if id(tensor) not in needed:
            copied = copied.new_empty(0)
        elif name in fresh:
            copied = copied.clone(memory_format=torch.contiguous_format)
        memo[id(tensor)] = nn.Parameter(copied, requires_grad=False) if isinstance(tensor, nn.Parameter) else copied
    return copy.deepcopy(model, memo)


def _is_drawn_anew(name: str) -> bool:
    """Tell whether a new suffix draws this parameter from its seed, in place."""
    return name.startswith("head.") or ".lora_" in name


def _reset_adapters(model: nn.Module, seed: int) -> None:
    """Draw the adapters' values anew from the seed."""
    adapted: list[Any] = [module for module in model.modules() if hasattr(module, "reset_lora_parameters")]
    with seeded_torch(seed):
        for module in adapted:
            module.reset_lora_parameters("default", True)
