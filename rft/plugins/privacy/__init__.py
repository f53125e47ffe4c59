"""Privacy: training with differential privacy when an epsilon is asked for, and membership attacks on what came out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from rft.config.applicability import POPULATION, TRAINED
from rft.config.path_keys import PATH
from rft.config.schema import DataConfig
from rft.config.tables.base import Count, Positive
from rft.disclosure.withheld import Counted
from rft.errors import ConfigError
from rft.plugins import AuditedModel, EvidenceCheck, ExaminedData, Options, PlannedWork, Plugin
from rft.plugins.privacy.overview import PILLAR, summarize_privacy
from rft.records import JsonObject, ModelFacts, Section

if TYPE_CHECKING:
    from rft.plugins.privacy.training.trainer import DPTrainer
    from rft.training import Trainer

MIN_CANARIES = 20


class PrivacyOptions(Options):
    """``[privacy]``: private training where ``epsilon`` is given, and attacks in any case."""

    epsilon: Positive | None = None
    """What training may spend. Without it the model is trained the standard way, and attacked."""
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability with which the bound of epsilon may fail: below 1 / n for n units; by default min(1e-5, 1 / (10 n)).
    """
    max_grad_norm: Annotated[float, Field(ge=1e-4, le=1e4)] = 1.0
    """Bound on the gradient of one unit in a step. Gradients of examples are mostly between 0.01 and 100 long, and
    numbers far from 1 leave what float32 resolves."""
    noise_multiplier: Positive | None = None
    """Standard deviation of the noise, in units of `max_grad_norm`; by default the least that keeps to epsilon. One
    that spends more is refused."""
    sample_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability that a unit takes part in a step; by default batch_size / n."""
    steps: Count | None = None
    """Steps of training; by default epochs / sample_rate."""
    method: Literal["sgd", "least_squares"] = "sgd"
    """`sgd`; or `least_squares` for a linear head: one noised sum instead of many steps."""
    randomness: Literal["secret", "seeded"] = "secret"
    """`secret`: from the operating system. `seeded`: for tests; nothing is promised then, and no epsilon is given."""
    ledger: Annotated[str | None, PATH, POPULATION] = None
    """Folder where spending on a population is recorded; by default in the user's state folder (`$RFT_STATE`)."""
    overlaps: Annotated[list[str], POPULATION] = Field(default_factory=list)
    """Other populations that share people with this one, whose spending counts here too."""
    budget: Annotated[Positive | None, POPULATION] = None
    """Epsilon that all runs on a population may spend together; fixed by the first one."""
    frontier: list[Positive] = Field(default_factory=list)
    """Further epsilons that heads are trained at, to show what privacy costs, and whom; charged to the ledger."""
    replicates: Annotated[int, Field(ge=1, le=100)] = 3
    """Heads at each epsilon of the frontier."""
    shadows: Annotated[Annotated[int, Field(ge=0, le=1024)] | None, TRAINED] = None
    """Shadow models of the membership attacks; by default 64 for a linear head, and none otherwise."""
    mechanism_runs: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Heads with, and as many without, a canary in the audit of the mechanism; 0 leaves it out."""
    canaries: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Made-up examples in the one-run audit of a canary model, which is charged; 0 leaves it out, otherwise at least
    20."""

    @model_validator(mode="after")
    def _training_needs_epsilon(self) -> PrivacyOptions:
        idle = sorted(self.model_fields_set - {"epsilon", "shadows"} - ({"canaries"} if not self.canaries else set()))
        if self.epsilon is None and idle:
            raise ValueError(f"{', '.join(idle)} without epsilon: only private training uses it; give epsilon")
        return self

    @model_validator(mode="after")
    def _nothing_contradicts(self) -> PrivacyOptions:
        given_keys = self.model_fields_set
        if self.epsilon is not None and self.budget is not None and self.budget < self.epsilon:
            raise ValueError(f"budget = {self.budget:g} is less than epsilon = {self.epsilon:g}, which it pays for")
        if len(set(self.frontier)) < len(self.frontier):
            raise ValueError("frontier names an epsilon twice; replicates says how often each is trained")
        if 0 < self.canaries < MIN_CANARIES:
            raise ValueError(f"canaries = {self.canaries} can show nothing: give {MIN_CANARIES} or more, or 0")
        if "replicates" in given_keys and not self.frontier:
            raise ValueError("replicates without frontier: nothing is replicated; give frontier = [...]")
        fixed = sorted(given_keys & {"sample_rate", "steps"})
        if self.method == "least_squares" and fixed:
            named = ", ".join(fixed)
            raise ValueError(f'remove {named}: with method = "least_squares" it takes one step with everybody')
        if self.method == "least_squares" and "max_grad_norm" in given_keys:
            raise ValueError('remove max_grad_norm: method = "least_squares" bounds rows, and has no gradients')
        if self.method == "least_squares" and "mechanism_runs" in given_keys and self.mechanism_runs:
            raise ValueError('remove mechanism_runs: method = "least_squares" has no steps for that audit to watch')
        return self

    @property
    def private(self) -> bool:
        """Private training is what epsilon asks for."""
        return self.epsilon is not None

    @property
    def unused(self) -> dict[str, str]:
        """The recipe of ``[train]`` as far as private training goes by its own numbers; a frontier takes all of it."""
        if self.epsilon is None or self.frontier:
            return {}
        if self.method == "least_squares":
            keys = ("epochs", "optimizer", "learning_rate", "momentum", "weight_decay", "batch_size")
            return dict.fromkeys((f"train.{key}" for key in keys), 'privacy.method = "least_squares" takes no steps')
        return {} if self.steps is None else {"train.epochs": "privacy.steps says how many steps are taken"}


class Privacy(Plugin[PrivacyOptions]):
    """Switched on by ``[privacy]``."""

    name = "privacy"
    requires = ("opacus", "dp-accounting")
    options = PrivacyOptions
    pillar = PILLAR
    tasks_of_training = ("recognition",)

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return what is promised and what attacks see."""
        return summarize_privacy(section, model)

    def check(self, options: PrivacyOptions, data: DataConfig) -> None:
        """Refuse private training whose classes would be read off the labels; raises ``ConfigError``.

        The class list is released with the model: as names, as their order, and as the number of outputs. Taken from
        the labels, one person's label would add an output, whatever the noise. So would a character of transcripts.
        """
        if data.transcript is not None:
            return _check_characters(options, data)
        if options.epsilon is not None and data.classes is None:
            raise ConfigError(
                "is needed where epsilon is given: the model shows its classes, and one person's label could add one",
                where="data.classes",
                remedy='Add to [data]: classes = ["...", "..."], all classes of the task, known without the data.',
            )
        return None

    def list_findings(self, options: PrivacyOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have: of attacks, and of private training where there is some."""
        from rft.plugins.privacy.finding_names import list_names

        return [f"{self.name}.{name}" for name in list_names(data.groups, private=options.private)]

    def examine_data(self, options: PrivacyOptions, examined: ExaminedData) -> Iterator[str]:
        """Yield the numbers of private training, and what its ledger has left; raises ``RftError``."""
        if options.epsilon is not None and "train" in examined.splits:
            from rft.plugins.privacy.preview import preview_training

            yield from preview_training(self._build_trainer(options), examined)

    def count_work(self, options: PrivacyOptions, examined: ExaminedData) -> PlannedWork | None:
        """Return the shadow models, which a linear head has many of unless the options say how many."""
        from rft.plugins.privacy.attacks.membership import DEFAULT_SHADOWS

        if examined.core.external:
            return None
        usual = DEFAULT_SHADOWS if examined.core.network.frozen == "all" else 0
        return PlannedWork(heads=usual if options.shadows is None else options.shadows)

    def verify_evidence(self, recorded: JsonObject, folder: Path | None) -> EvidenceCheck:
        """Check whether the ledger still holds what the run saw in it."""
        from rft.plugins.privacy.ledger.ledger_anchor import verify_ledger

        return verify_ledger(recorded, folder)

    def requires_for(self, options: PrivacyOptions) -> tuple[str, ...]:
        """Opacus, which takes seconds to import, is of use where an epsilon is given alone."""
        return self.requires if options.private else ("dp-accounting",)

    def trainer(self, options: PrivacyOptions) -> Trainer | None:
        """Return the private trainer when an epsilon is given; otherwise leave training to the standard loop."""
        return None if options.epsilon is None else self._build_trainer(options)

    def _build_trainer(self, options: PrivacyOptions) -> DPTrainer:
        from rft.plugins.privacy.training.trainer import DPTrainer

        settings = options.model_dump(include={field.name for field in fields(DPTrainer)})
        return DPTrainer(**settings | {"overlaps": tuple(options.overlaps)})

    def count_cases(self, audited: AuditedModel, options: PrivacyOptions) -> Iterator[Counted]:
        """Return the rows that numbers of groups rest on: see ``rft.plugins.Plugin.count_cases``."""
        from rft.plugins.privacy.audit import counted_rows

        return counted_rows(audited, options)

    def audit(self, audited: AuditedModel, options: PrivacyOptions) -> Section:
        """Return the section; needs nothing but predictions, and the fit to say what training spent."""
        from rft.plugins.privacy.audit import audit

        return audit(audited, options)


def _check_characters(options: PrivacyOptions, data: DataConfig) -> None:
    """Refuse private training whose characters would be read off the transcripts; raises ``ConfigError``."""
    if options.epsilon is not None and data.characters is None and data.vocabulary != "tokenizer":
        raise ConfigError(
            "is needed where epsilon is given: the model shows which characters it writes with, and one person's "
            "transcript could add one",
            where="data.characters",
            remedy='Add to [data]: characters = " abc...", all that transcripts are made of after data.normalizer, '
            'known without the data; or vocabulary = "tokenizer".',
        )
