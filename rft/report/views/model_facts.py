"""What was audited, in words: a model that was fine-tuned here, one that others trained, or predictions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import JsonValue

from rft import number_format
from rft.records import (
    IN_MEMORY,
    PREDICTIONS_OF,
    AuditRun,
    Backbone,
    ImagePreprocessingFacts,
    JsonObject,
    PreprocessingFacts,
)

Fact = tuple[str, str]  # label, text
TIME_TAKEN = "Time taken"  # by the training


def write_byline(run: AuditRun) -> tuple[str, ...]:
    """Return what stands under the name of a report: what was audited, on how much, when."""
    backbone = run.model.backbone
    splits = [(name, run.data.splits[name]) for name in split_names(run)]
    counts = _write_counts({name: facts.n for name, facts in splits})
    return (
        backbone.name if backbone else _external_model_label(run) or _label_without_config(run),
        f"{len(run.model.classes)} classes" if run.model.classes else run.model.task_kind.label,
        f"{counts} {run.model.name_items()}",
        *_count_units(run),
        number_format.format_date(run.run.volatile.created),
    )


def _count_units(run: AuditRun) -> tuple[str, ...]:
    """Say what a unit is, and how many each split has where no count is withheld; nothing where there are no units."""
    meaning = run.model.explain_unit()
    if not meaning:
        return ()
    counts = {name: n for name in split_names(run) if (n := run.data.splits[name].n_units) is not None}
    return (f"{_write_counts(counts)} units: {meaning}" if len(counts) == len(run.data.splits) else meaning,)


def _write_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number_format.format_count(n)} {name}" for name, n in counts.items())


def _external_model_label(run: AuditRun) -> str | None:
    """Return what the config calls a model that was trained elsewhere; None where there is none."""
    model = run.run.table("model")
    return next((_name_source(key, str(model[key])) for key in ("checkpoint", "factory") if key in model), None)


def _name_source(key: str, source: str) -> str:
    """Return where a model came from: a file or function of the config, or an object that the caller held in memory."""
    return f"a {source.removeprefix(IN_MEMORY)} in memory" if source.startswith(IN_MEMORY) else f"{key} {source}"


def _label_without_config(run: AuditRun) -> str:
    return _predictions_label(run) if is_predictions_alone(run) else "a model that is not named"


def is_predictions_alone(run: AuditRun) -> bool:
    """Tell whether a table of predictions was all there was."""
    return run.model.modality == "predictions"


def describe_model(run: AuditRun) -> str:
    """Return what this is an audit of."""
    if is_predictions_alone(run):
        if _asked_model(run):
            return "model that was asked for its predictions alone"
        return "table of predictions; the model was not looked at"
    return "fine-tuned model" if run.model.training.mode != "external" else "model trained elsewhere"


def _predictions_label(run: AuditRun) -> str:
    """Return what the config calls the table of predictions, where the config is there."""
    if asked := _asked_model(run):
        return f"a {asked} in memory"
    file = str(run.run.table("predictions").get("file") or "")
    if file.startswith(IN_MEMORY):
        return "a table of predictions in memory"
    return f"the table of predictions {file}" if file else "a table of predictions"


def _asked_model(run: AuditRun) -> str:
    """Return the class of a model in memory that was asked for its predictions; empty where a table held them."""
    file = str(run.run.table("predictions").get("file") or "")
    given = file.removeprefix(IN_MEMORY) if file.startswith(IN_MEMORY + PREDICTIONS_OF) else ""
    return given.removeprefix(PREDICTIONS_OF)


def _name_task(run: AuditRun) -> str:
    label = run.model.task_kind.label
    return label if is_predictions_alone(run) else f"{run.model.modality} {label}"


def list_model_facts(run: AuditRun, backbone: Backbone | None) -> tuple[Fact, ...]:
    """Return what is known of the model and its task."""
    model = run.model
    facts = [("Task", _name_task(run))]
    if model.classes:
        facts.append(("Classes", ", ".join(model.classes)))
    if model.normalizer is not None:
        facts.append(("Normaliser", model.normalizer))
    if model.positive is not None:
        facts.append(("Favourable outcome", model.positive))
    if external_model := _external_model_label(run):
        facts.append(("Trained elsewhere", external_model))
    if is_predictions_alone(run):
        why = "was asked for its predictions, and for nothing else" if _asked_model(run) else "was not looked at"
        facts += [("Audited", _predictions_label(run)), ("Model", f"{why}: only its predictions were audited")]
    if model.revision is not None:
        facts.append(("Revision", model.revision))
    if model.preprocessing is not None:
        facts.append(("Preprocessing", _describe_preprocessing(model.preprocessing)))
    if backbone is not None:
        facts += [
            ("Backbone", backbone.name),
            ("Weights", backbone.weights),
            *([("Revision", backbone.revision)] if backbone.revision is not None else []),
            ("Frozen", _describe_freezing(backbone.freeze)),
            ("Trained", "the head" if backbone.freeze == "all" else _TUNED[backbone.tune]),
            ("Frozen parameters", number_format.format_count(backbone.frozen_parameters)),
            ("Trained parameters", number_format.format_count(backbone.trainable_parameters)),
            ("Precision", _describe_precision(backbone)),
            ("Preprocessing", _describe_preprocessing(backbone.preprocessing)),
        ]
    return tuple(facts)


def _describe_precision(backbone: Backbone) -> str:
    """Return what was computed in which precision."""
    if backbone.precision == "int8":
        layers = number_format.format_count(backbone.rounded_layers or 0)
        return f"float32; the weights of {layers} linear layers of the frozen part are rounded to 8 bits"
    if backbone.precision == "float32":
        return "float32"
    if backbone.freeze == "none":
        return f"trained in {backbone.precision}, predictions in float32"
    return f"{backbone.precision} in the frozen part, float32 behind it"


def _describe_preprocessing(facts: PreprocessingFacts) -> str:
    """Return how items are prepared, in a line: first by what; hashes stand in audit.json."""
    said: JsonObject = facts.model_dump(mode="json")
    shown = {name: value for name, value in said.items() if not name.endswith("sha256") and name != "recipe"}
    by = [facts.recipe] if isinstance(facts, ImagePreprocessingFacts) else []
    return ", ".join([*by, *(f"{name.replace('_', ' ')} {_in_words(value)}" for name, value in sorted(shown.items()))])


def _in_words(value: JsonValue) -> str:
    """Return a setting of preprocessing: sizes and lists without the signs of a program."""
    if isinstance(value, dict):
        return " and ".join(f"{edge.replace('_', ' ')} {_in_words(pixels)}" for edge, pixels in value.items())
    if isinstance(value, list):
        joined = " x " if all(isinstance(number, int) for number in value) else " / "
        return joined.join(map(_in_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_TUNED = {
    "full": "all that is not frozen",
    "bias": "biases behind that, and the head",
    "lora": "low-rank adapters behind that, and the head",
}


def _describe_freezing(freeze: str) -> str:
    named = {"all": "all before the head", "none": "nothing by its place"}
    return named.get(freeze, f"all before the layer {freeze}")


def list_training_facts(run: AuditRun) -> tuple[Fact, ...]:
    """Return how it was trained, as far as this run knows."""
    training = run.model.training
    mode = {"standard": "standard, without privacy", "private": "differentially private", "external": "not by rft"}
    named = (
        ("Epochs", training.epochs),
        ("Planned epochs, of which validation kept those above", training.planned_epochs),
        ("Optimiser", training.optimizer),
        ("Learning rate", training.learning_rate),
        ("Schedule of the learning rate", training.schedule),
        ("Momentum", training.momentum),
        ("Weight decay", training.weight_decay),
        ("Batch size", training.batch_size),
        (TIME_TAKEN, _write_if_known(run.run.volatile.training_seconds, number_format.format_duration)),
        ("Epsilon", _write_if_known(training.epsilon, number_format.format_epsilon)),
        ("Delta", training.delta),
        ("Noise multiplier", _write_if_known(training.noise_multiplier, number_format.format_quantity)),
        ("Sampling rate", _write_if_known(training.sample_rate, number_format.format_quantity)),
        ("Steps", training.steps),
        ("Clipping norm", training.max_grad_norm),
        ("Unit of privacy", training.unit),
        ("Class weights", ", ".join(f"{name} {weight:g}" for name, weight in (training.class_weights or {}).items())),
    )
    known = [(label, value) for label, value in named if value not in (None, "")]
    texts = [(label, value if isinstance(value, str) else number_format.format_plain(value)) for label, value in known]
    void = f", void: {training.void}" if training.void else ""
    return (("Mode", mode[training.mode] + void), *texts)


def _write_if_known(number: float | None, write: Callable[[float], str]) -> str | None:
    return None if number is None else write(number)


def split_names(run: AuditRun) -> list[str]:
    """Return the names of the splits, in the usual order."""
    known = ("train", "validation", "test")
    return sorted(run.data.splits, key=lambda name: (known.index(name) if name in known else len(known), name))
