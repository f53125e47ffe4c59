"""The plugin protocol, what a plugin sees of a run, and how plugins are found.

A plugin looks at one frozen ``Subject`` and returns a ``Section``. Built-in plugins are registered like any other;
third-party packages announce theirs in the entry-point group ``rft.plugins``. Importing a plugin's module must be
cheap: torch, Opacus, Fairlearn and Captum are imported by the methods that use them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from rft.disclosure.withheld import NOTHING, Counted, Withheld
from rft.errors import ConfigError, Unavailable
from rft.records import Section, Split, SubjectFacts

if TYPE_CHECKING:
    import pandas as pd

    from rft.backbones import Classifier
    from rft.data import Inputs
    from rft.data.remarks import Remark
    from rft.features import Features
    from rft.features.embeddings import Representations
    from rft.training import Fit, Task, Trainer

GROUP = "rft.plugins"
BUILTIN = (
    "rft.plugins.dataset:Dataset",
    "rft.plugins.backbone:Backbone",
    "rft.plugins.training:Training",
    "rft.plugins.performance:Performance",
    "rft.plugins.privacy:Privacy",
    "rft.plugins.fairness:Fairness",
    "rft.plugins.attribution:Attribution",
)
PROTOCOL = ("name", "always_on", "requires", "needs", "options", "trainer", "audit")
CORE_TABLES = ("data", "model", "train", "report", "policy", "predictions")  # of audit.toml: no names for plugins


class Options(BaseModel):
    """Base of a plugin's options: strict types, unknown keys are errors; ``Applies`` says when a key has an effect.

    ``paths`` are the keys that hold paths: reports show one outside the config's folder by its base name alone.
    """

    paths: ClassVar[tuple[str, ...]] = ()
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @property
    def private(self) -> bool:
        """Whether these options have the plugin train with differential privacy."""
        return False

    @property
    def unused(self) -> Mapping[str, str]:
        """Keys of other tables, such as ``train.epochs``, that have no effect beside these options, and why not."""
        return {}

    @property
    def own_fits(self) -> str | None:
        """Name the table that has the plugin itself fit to the training data; None: nothing does.

        It is refused beside a trainer that takes over training: what that promises, such as an epsilon, would not hold.
        """
        return None


@dataclass(frozen=True)
class Subject:
    """What is audited. Frozen; parts may be absent, and what needs one says so through ``need``.

    Attributes:
        facts: name, classes, positive class, backbone and training facts, as in ``audit.json``.
        seed: the number that all seeds of the run come from.
        splits: ``train`` and ``test``, perhaps ``validation``.
        predictions: one row an example of every split: split, id, unit, label, prediction, ``score_<class>``
            (probabilities), ``group_<attribute>`` (None where missing). Labels are class names.
        remarks: what was noticed when the data was read.
        model: the joined classifier in eval mode, on ``device``; a batch of inputs in, logits out.
        inputs: ``inputs.batch(split, rows)`` reads examples as the model wants them.
        features: split -> cached outputs of the frozen part, or the inputs where nothing is frozen.
        representations: returns pooled features of training examples by the backbone as loaded; computed when called.
        task, trainer, fit: what was trained, by whom, and the result.
        plain: the trainer without privacy, for what a comparison needs.
        write_model: writes the model into a folder, as ``rft.load`` reads it.
        device: torch device name that computation should use.
        show_examples: whether raw examples (photos) may appear in the report.
        withheld: what may not leave the machine. In ``splits``, ``predictions`` and ``representations`` the values of
            withheld groups are missing by then, so that nothing can be computed from who is in them.
    """

    facts: SubjectFacts
    seed: int
    splits: Mapping[str, Split]
    predictions: pd.DataFrame
    remarks: Sequence[Remark] = ()
    model: Classifier | None = None
    inputs: Inputs | None = None
    features: Mapping[str, Features] | None = None
    representations: Callable[[], Representations] | None = None
    task: Task | None = None
    trainer: Trainer | None = None
    plain: Trainer | None = None
    fit: Fit | None = None
    write_model: Callable[[Path], None] | None = None
    device: str = "cpu"
    show_examples: bool = False
    withheld: Withheld = NOTHING

    def without(self, withheld: Withheld) -> Subject:
        """Return the subject as plugins see it: without the groups that are withheld."""
        if not withheld.below:
            return self
        return replace(
            self,
            splits={name: _without_groups(split, withheld) for name, split in self.splits.items()},
            predictions=withheld.without_groups(self.predictions),
            representations=self.representations
            and (lambda: _without_groups(self.need("representations")(), withheld)),
            withheld=withheld,
        )

    @property
    def given(self) -> str:
        """What was given where nothing was trained in this run, in words, as the reason for what is absent."""
        elsewhere = "the model was trained outside this run"
        return elsewhere if self.model else f"only its predictions were given, and {elsewhere}"

    def need(self, part: str) -> Any:
        """Return a part of the subject, or raise ``Unavailable`` with the reason."""
        value = getattr(self, part)
        if value is None:
            raise Unavailable(f"this audit has no {part}: {self.given}")
        return value


def _without_groups(holder: Any, withheld: Withheld) -> Any:
    """Return a split, or representations, in which the values of withheld groups are missing."""
    groups = {attribute: withheld.without(attribute, values) for attribute, values in holder.groups.items()}
    return replace(holder, groups=groups)


@runtime_checkable
class Plugin(Protocol):
    """What every plugin provides. It may also have ``check(options, data)``: see ``Registered.check``.

    A plugin with numbers of groups has ``counted(subject, options)`` too, see ``Registered.counted``: the rows that
    they rest on, so that groups of whom these are too few are withheld before anything is measured.

    Attributes:
        name: its table in ``audit.toml`` and the first part of its findings' ids; lower case, digits, ``_``.
        always_on: runs without a table of its own.
        requires: distributions it needs beyond rft's own dependencies.
        needs: keys of ``[data]`` that must be set (``groups``, ``positive``, ``unit``).
        options: the model of its table, validated with the rest of the config.
    """

    name: str
    always_on: bool
    requires: tuple[str, ...]
    needs: tuple[str, ...]
    options: type[BaseModel]

    def trainer(self, options: BaseModel) -> Trainer | None:
        """Return a trainer that takes over training, or None; most return None."""

    def audit(self, subject: Subject, options: BaseModel) -> Section:
        """Return the section. Raise ``Unavailable`` with a reason when the audit as a whole cannot be made."""


@dataclass(frozen=True)
class Registered:
    """A plugin with the distribution and version it came from."""

    plugin: Plugin
    distribution: str
    version: str

    def missing(self) -> list[str]:
        """Return the required distributions that are not installed."""
        return [name for name in self.plugin.requires if not _installed(name)]

    def check(self, options: BaseModel, data: BaseModel) -> None:
        """Let the plugin refuse, before any work, options that do not go with ``[data]``; raises ``ConfigError``."""
        own = getattr(self.plugin, "check", None)
        if own is not None:
            own(options, data)

    def counted(self, subject: Subject, options: BaseModel) -> tuple[Counted, ...]:
        """Return the rows, beside those of each group in each split, that the plugin's numbers of groups rest on."""
        own = getattr(self.plugin, "counted", None)
        counted: Iterable[Counted] = own(subject, options) if own is not None else ()
        return tuple(counted)

    def install_hint(self) -> str:
        """Return the pip command that brings what is missing."""
        built_in = self.distribution == "rft"
        what = f'"rft[{self.plugin.name}]"' if built_in else " ".join(self.missing())
        return f"pip install {what}"


def discover() -> dict[str, Registered]:
    """Return all plugins by name, built-in ones first; raises ``ConfigError`` for one that breaks the protocol."""
    found: dict[str, Registered] = {}
    for target in BUILTIN:
        _register(found, target, "rft", _version("rft"))
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        distribution = entry.dist.name if entry.dist else "unknown"
        _register(found, entry.value, distribution, entry.dist.version if entry.dist else "unknown")
    return found


def _register(found: dict[str, Registered], target: str, distribution: str, version: str) -> None:
    where = f"plugin {target} of {distribution}"
    module, _, attribute = target.partition(":")
    try:
        plugin = getattr(import_module(module), attribute)()
    except Exception as error:
        remedy = None if distribution == "rft" else f"To go on without it: pip uninstall {distribution}"
        raise ConfigError(f"cannot be loaded ({error})", where=where, remedy=remedy) from error
    if not isinstance(plugin, Plugin):
        missing = [name for name in PROTOCOL if not hasattr(plugin, name)]
        raise ConfigError(f"does not follow the plugin protocol: it lacks {', '.join(missing)}", where=where)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", plugin.name) or plugin.name in CORE_TABLES:
        raise ConfigError(f"the name {plugin.name!r} is not allowed for a plugin", where=where)
    if plugin.name in found:
        raise ConfigError(f"the name {plugin.name!r} is taken by {found[plugin.name].distribution}", where=where)
    found[plugin.name] = Registered(plugin, distribution, version)


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _version(distribution: str) -> str:
    return version(distribution) if _installed(distribution) else "unknown"
