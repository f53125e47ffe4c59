"""What an audit will take, as far as it can be told beforehand: from a few examples that are run, and from sizes.

Every number says what it rests on, and what was not measured has none.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rft.backbones.batch import Batch
from rft.config.loader import LoadedConfig
from rft.data import Dataset
from rft.data.remarks import join_names
from rft.errors import RftError
from rft.features.extract import choose_device
from rft.number_format import format_bytes, format_count, format_duration
from rft.pipeline.pace import Pace
from rft.pipeline.plan import AuditPlan
from rft.pipeline.targets.partitioned import partition_backbone
from rft.pipeline.targets.transcripts import encode_transcripts
from rft.plugins import ExaminedData, PlannedWork
from rft.runtime import memory as host
from rft.runtime.cache_folder import cache_folder
from rft.runtime.float32 import ieee_float32

FLOAT_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Estimate:
    """One thing that an audit takes.

    Attributes:
        name: what it is.
        value: how much, at least or about as ``basis`` says; None where it is not known.
        unit: of ``value``.
        basis: what it rests on, or why it is not known.
    """

    name: str
    value: float | None
    unit: Literal["seconds", "bytes"]
    basis: str

    def describe(self) -> str:
        """Return it in a line."""
        if self.value is None:
            return f"{self.name}: not known, {self.basis}"
        shown = format_duration(self.value) if self.unit == "seconds" else format_bytes(int(self.value))
        return f"{self.name}: {shown}, {self.basis}"


def estimate_audit(
    plan: AuditPlan, dataset: Dataset, *, rehearsed: Mapping[str, float], taken: Mapping[str, float]
) -> list[Estimate]:
    """Return what an audit takes of time, disk and memory, its total first; nothing is downloaded or written.

    Args:
        plan: what would run.
        dataset: what it reads.
        rehearsed: plugin -> the seconds of its audit, where it was rehearsed.
        taken: stage -> the seconds that it took in the check itself: the start, and reading the data.
    """
    settings = plan.settings
    shared = [Estimate(name, seconds, "seconds", "what it took in this check") for name, seconds in taken.items()]
    if settings.core.external:
        elsewhere = "no model is run" if settings.core.model is None else "a model that others trained was not loaded"
        stages = [*shared, *_estimate_audits(plan, dataset, None, rehearsed)]
        stages += [] if settings.core.model is None else [Estimate("predictions", None, "seconds", elsewhere)]
        return [_add_stages(stages), *stages]
    try:
        with ieee_float32():
            start = time.perf_counter()
            partition = partition_backbone(
                settings, _count_outputs(settings, dataset), choose_device(None), offline=True
            )
            loading = Estimate("model", time.perf_counter() - start, "seconds", "what this check took to load it")
            pace = Pace(partition, dataset)
            stages = [*shared, loading, *_estimate_parts(plan, pace), *_estimate_audits(plan, dataset, pace, rehearsed)]
            return [_add_stages(stages), *stages, *_estimate_disk(pace), *_estimate_memory()]
    except RftError as error:  # weights that the first run downloads, or a cut that it will refuse with this reason
        unknown = Estimate("features", None, "seconds", f"since the backbone was not loaded: {error.what}")
        stages = [*shared, unknown, *_estimate_audits(plan, dataset, None, rehearsed)]
        return [_add_stages(stages), *stages]


def _count_outputs(settings: LoadedConfig, dataset: Dataset) -> int:
    """Return how many outputs the head has; raises ``RftError`` where its characters cannot be told."""
    if settings.core.task == "classification":
        return len(dataset.classes)
    return len(encode_transcripts(settings, dataset, offline=True).vocabulary)


def _add_stages(stages: Sequence[Estimate]) -> Estimate:
    """Return the total of some stages, and which of them are not in it."""
    unknown = [stage.name for stage in stages if stage.value is None]
    known = sum(stage.value for stage in stages if stage.value is not None)
    rest = f"at least: {join_names(unknown)} not counted" if unknown else "the sum of the following"
    basis = f"{rest}, without writing the report; an estimate, from the load of this machine as it is now"
    return Estimate("total", known, "seconds", basis)


def _estimate_parts(plan: AuditPlan, pace: Pace) -> Iterator[Estimate]:
    """Yield the time of features and of training."""
    if pace.partition.prefix is not None:
        n, counted = _count_passes(pace)
        basis = f"{counted}; {len(pace.rows)} of them took {format_duration(pace.computed[1] * len(pace.rows))} on "
        busy = f"{pace.partition.device}, as busy as it is now; less where they are cached"
        yield Estimate("features", pace.computed[1] * n, "seconds", basis + busy)
    if any(participant.options.private for participant in plan.active):
        yield Estimate("training", None, "seconds", "since no step of private training was tried")
        return
    seconds, steps = pace.time_training()
    most = ", all that patience may let it take" if plan.settings.core.train.patience else ""
    yield Estimate("training", seconds, "seconds", f"{format_count(steps)} steps{most}; a few were tried")


def _estimate_audits(
    plan: AuditPlan, dataset: Dataset, pace: Pace | None, rehearsed: Mapping[str, float]
) -> Iterator[Estimate]:
    """Yield the time of each audit: as it was rehearsed, or by what it runs."""
    private = any(participant.options.private for participant in plan.active)
    examined = ExaminedData(plan.settings.core, plan.settings.folder, dataset.splits, dataset.classes)
    core = plan.settings.core
    for participant in plan.active:
        if participant.plugin.explain_task(core.task, trained=not core.external):
            continue
        name = f"audit: {participant.name}"
        work = participant.plugin.count_work(participant.options, examined)
        if participant.name in rehearsed:
            basis = "what it took on predictions without a mistake"
            yield Estimate(name, rehearsed[participant.name], "seconds", basis)
        elif work is not None and pace is None:
            yield Estimate(name, None, "seconds", "since no model was loaded")
        elif work is not None and work.heads and private:
            yield Estimate(name, None, "seconds", "since no step of private training was tried")
        elif work is not None and work.is_any and pace is not None:
            yield Estimate(name, _time_work(work, pace), "seconds", work.describe())


def _time_work(work: PlannedWork, pace: Pace) -> float:
    """Return the seconds of what an audit runs."""
    seconds = pace.computed[1] * work.embeddings if work.embeddings and pace.partition.prefix is not None else 0.0
    seconds += pace.forward * work.forwards if work.forwards else 0.0
    seconds += pace.gradient * work.gradients if work.gradients else 0.0
    return seconds + (pace.time_training(work.heads)[0] if work.heads else 0.0)


def _count_passes(pace: Pace) -> tuple[int, str]:
    """Return how many examples and views the frozen part runs, and this in words."""
    train_views = pace.partition.settings.core.train.views
    views = {name: train_views if name == "train" else 1 for name in pace.dataset.splits}
    n = sum(len(split) * views[name] for name, split in pace.dataset.splits.items())
    return n, f"{format_count(n)} examples{' and views' if train_views > 1 else ''}"


def _count_numbers(computed: Batch) -> int:
    """Return how many numbers are kept of a batch: of texts with a row a token, those of real tokens."""
    features = computed["features"]
    mask = computed.get("attention_mask")
    return features.numel() if mask is None else int(mask.sum()) * features.shape[-1]


def _describe_free() -> str:
    """Return how much room there is where features are kept."""
    folder = cache_folder().absolute()
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    return format_bytes(shutil.disk_usage(existing).free)


def _estimate_disk(pace: Pace) -> Iterator[Estimate]:
    """Yield the sizes of features and model."""
    core, cut = pace.partition.settings.core, pace.partition.cut
    if pace.partition.prefix is not None:
        n, counted = _count_passes(pace)
        numbers = _count_numbers(pace.computed[0]) / len(pace.rows)
        kept = f"{format_count(round(numbers))} numbers in {core.network.cache} each, in {cache_folder()}"
        size = numbers * FLOAT_BYTES[core.network.cache] * n
        yield Estimate("features on disk", size, "bytes", f"{counted} of {kept}, of which {_describe_free()} are free")
    tensors = cut.classifier.state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    yield Estimate("model on disk", size, "bytes", "its tensors, in the run folder")


def _estimate_memory() -> list[Estimate]:
    if not host.is_measurable():
        return [Estimate("memory", None, "bytes", "since this system does not say how much a process holds")]
    available = format_bytes(host.available_bytes())
    basis = f"at least: what this check held with the model and these examples; {available} are available"
    return [Estimate("memory", host.peak_bytes(), "bytes", basis)]
