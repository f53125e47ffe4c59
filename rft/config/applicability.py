"""When a key of ``audit.toml`` has an effect. Each key says so where it is declared; one that has none is refused.

    momentum: Annotated[float | None, Applies(lambda run, _: run.optimizer == "sgd", "it is that of sgd")] = None

A setting that silently does nothing lets its user believe in another audit than the one that was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from rft.errors import ConfigError
from rft.records.task import TaskName


@dataclass(frozen=True)
class Situation:
    """What a config asks for, as far as it decides which keys have an effect.

    Attributes:
        modality: ``image``, ``text``, ``audio``, or ``predictions`` where no example is read.
        task: what the model does.
        trained: whether the model is trained in this run; otherwise others trained it.
        freeze: ``all``, ``none`` or a layer; None where nothing is trained.
        engine: who computes the features of the frozen part.
        optimizer: ``sgd`` or ``adamw``; None where the config leaves it open.
        private: whether a plugin trains with differential privacy.
        population: whether the config names whose data it is.
        scores: whether there are probabilities, and not decisions alone.
        classes: how many classes there are, where the config says so.
        shows_examples: whether a plugin has examples to show.
        unused: keys of the recipe that a plugin has no use for, such as ``train.epochs``, with the reason.
    """

    modality: Literal["image", "text", "audio", "predictions"] = "image"
    task: TaskName = "classification"
    trained: bool = True
    freeze: str | None = "all"
    engine: str = "process"
    optimizer: str | None = None
    private: bool = False
    population: bool = False
    scores: bool = True
    classes: int | None = None
    shows_examples: bool = False
    unused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Applies:
    """Says of a key when it has an effect.

    Attributes:
        where: tells it, from the situation and the value that was given.
        otherwise: why it has none, as part of a sentence.
    """

    where: Callable[[Situation, Any], bool]
    otherwise: str


IMAGES = Applies(lambda run, _: run.modality == "image", "it is about images, and these examples are none")
TEXTS = Applies(lambda run, _: run.modality == "text", "it is about texts, and these examples are none")
RECORDINGS = Applies(lambda run, _: run.modality == "audio", "it is about recordings, and these examples are none")
FILES = Applies(lambda run, _: run.modality != "text", "texts stand in the table itself, which names no files")
CACHED = Applies(lambda run, _: run.trained and run.freeze != "none", "nothing is frozen, and so no features are kept")
EXAMPLES = Applies(lambda run, _: run.modality != "predictions", "predictions alone have no examples to look at")
# Of transcripts words may be shown, which are no examples of a classifier.
EXAMPLES_TO_SHOW = Applies(
    lambda run, _: run.modality != "predictions" or run.task == "recognition", EXAMPLES.otherwise
)
RECOGNIZERS = Applies(
    lambda run, _: run.modality == "audio" and run.task == "recognition" and not run.trained,
    "it is about a checkpoint that recognises speech",
)
CLASSIFIED = Applies(
    lambda run, _: run.modality == "predictions" or run.task == "classification",
    "it is about what a classifier looks at, and transcripts have no classes",
)
CLASSES = Applies(lambda run, _: run.task == "classification", "transcripts have no classes")
RECOGNITION = Applies(lambda run, _: run.task == "recognition", "it is about transcripts, and none are named")
TRANSCRIPTS = Applies(
    lambda run, _: run.task == "recognition" and run.trained,
    "it is about transcripts that a model is trained to write (data.transcript)",
)
TRAINED = Applies(
    lambda run, _: run.trained, "nothing is trained: the model, or its predictions, are audited as they are"
)
POPULATION = Applies(
    lambda run, _: run.population, "no ledger is kept without data.population, which names whose data it is"
)


def list_idle_keys(table: BaseModel, name: str, situation: Situation, file: str) -> Iterator[ConfigError]:
    """Yield an error for keys of a table, or of tables in it, that were given and have no effect, one a reason."""
    idle = list(_idle_keys(table, name, situation))
    for reason in dict.fromkeys(rule.otherwise for _, rule in idle):
        keys = [key for key, rule in idle if rule.otherwise == reason]
        said = f"{', '.join(keys)}: {'have' if len(keys) > 1 else 'has'} no effect here: {reason}"
        in_list = any(part.isdigit() for part in keys[0].split("."))
        once = "" if in_list else f" For one run: --set {keys[0]}= does so."
        yield ConfigError(said, where=file, remedy=f"Remove {' and '.join(keys)}.{once}")


def _idle_keys(table: BaseModel, name: str, situation: Situation) -> Iterator[tuple[str, Applies]]:
    """Yield the full names of keys without effect, with the rule that says so."""
    for key in sorted(table.model_fields_set):
        value, path = getattr(table, key), f"{name}.{key}" if name else key
        if path in situation.unused:
            yield path, Applies(lambda *_: False, situation.unused[path])
        for rule in type(table).model_fields[key].metadata:
            if isinstance(rule, Applies) and not rule.where(situation, value):
                yield path, rule
        if isinstance(value, BaseModel):
            yield from _idle_keys(value, path, situation)
        elif isinstance(value, list):
            for number, nested_table in enumerate(value, start=1):
                if isinstance(nested_table, BaseModel):
                    yield from _idle_keys(nested_table, f"{path}.{number}", situation)
