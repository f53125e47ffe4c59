"""The front matter of a model card: the metadata that the Hugging Face hub reads, as YAML.

What is not known is left out. Keys and their meaning: the hub's own description of model cards (hub-docs,
``modelcard.md``, August 2026).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from markupsafe import Markup

from rft.records import AuditRun, Finding
from rft.report.views.card_facts import CardFacts, read_card_facts
from rft.visible import with_hidden_as

Yaml = str | int | float | Sequence["Yaml"] | Mapping[str, "Yaml"]

PIPELINES = {
    "image": "image-classification",
    "text": "text-classification",
    "audio": "audio-classification",
}
UNNAMED_DATA = "private"  # as the type of a data set, where the hub wants a name of its own
DECIMALS = 4  # of a result
_PLAIN_WORD = re.compile("[a-z][a-z0-9_-]*")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # of YAML 1.1, which the hub reads
LICENSES = {  # identifiers that the hub knows
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m"),
    *("bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd"),
    *("bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5"),
    *("cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    *("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
    *("cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0"),
    *("epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0"),
    *("lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research", "intel-research", "lppl-1.3c", "ms-pl", "mpl-2.0"),
    *("odc-by", "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl"),
    *("lgpl-lr", "llama2", "llama3", "gemma", "unknown", "other"),
}


@dataclass(frozen=True)
class _HubResult:
    """An entry of ``model-index``, with the hub's own names."""

    task: Mapping[str, Yaml]
    dataset: Mapping[str, Yaml]
    metrics: Sequence[Mapping[str, Yaml]]


def write_front_matter(run: AuditRun, shown: AuditRun) -> Markup:
    """Return the YAML between the two lines of dashes.

    Args:
        run: as it was audited.
        shown: the same as a card may state it; results are taken from there.
    """
    card = read_card_facts(run)
    results = _list_results(shown)
    metadata: dict[str, Yaml] = {"library_name": "rft"}
    if pipeline := _find_pipeline(run):
        metadata["pipeline_tag"] = pipeline
    metadata |= _describe_license(card.license)
    if base_model := card.base_model or _find_base_model(run):
        metadata["base_model"] = base_model
    if card.datasets:
        metadata["datasets"] = card.datasets
    if results:
        metadata["metrics"] = list(dict.fromkeys(finding.card_metric for finding in results))
    metadata["tags"] = list(dict.fromkeys(["rft", "responsible-fine-tuning", *_earned_tags(run)]))
    metadata["model_name"] = run.run.name
    if results:
        metadata["model-index"] = [{"name": run.run.name, "results": [_write_result(run, card, results)]}]
    return Markup("\n".join(_write_yaml(metadata)))


def _find_pipeline(run: AuditRun) -> str:
    """Return the hub's name of the task; empty where it is not known."""
    return run.model.task_kind.hub_pipeline or PIPELINES.get(run.model.modality, "")


def _describe_license(license: str) -> dict[str, Yaml]:
    """Return the licence as the hub wants it: one of its identifiers, or ``other`` with a name."""
    if not license:
        return {}
    if license.lower() in LICENSES:
        return {"license": license.lower()}
    return {"license": "other", "license_name": license.lower()}


def _find_base_model(run: AuditRun) -> str | None:
    """Return the name on the hub of a backbone that was read from there, as its revision says."""
    backbone = run.model.backbone
    if backbone is None or backbone.revision is None:
        return None
    library, _, name = backbone.name.partition("/")
    return name.partition("@")[0] if library == "transformers" else None


def _list_results(shown: AuditRun) -> list[Finding]:
    findings = [finding for section in shown.sections for finding in section.findings]
    return [finding for finding in findings if finding.card_metric and finding.value is not None]


def _write_result(run: AuditRun, card: CardFacts, results: Sequence[Finding]) -> dict[str, Yaml]:
    """Return the results on the test split. It has a name on the hub only where one data set alone is given."""
    named = card.datasets[0] if len(card.datasets) == 1 else UNNAMED_DATA
    entry = _HubResult(
        task={"type": _find_pipeline(run) or "other", "name": run.model.task_kind.label},
        dataset={"type": named, "name": f"test split of {run.run.name}", "split": "test"},
        metrics=[
            {"type": finding.card_metric, "name": finding.title, "value": round(finding.value or 0.0, DECIMALS)}
            for finding in results
        ],
    )
    return asdict(entry)


def _earned_tags(run: AuditRun) -> list[str]:
    """Return the tags that findings bring: of what was measured, and none at all where integrity is broken."""
    if is_integrity_broken(run):
        return []
    findings = [finding for section in run.sections for finding in section.findings]
    return [tag for finding in findings if finding.value is not None for tag in finding.card_tags]


def is_integrity_broken(run: AuditRun) -> bool:
    """Tell whether a finding says that the numbers of a run mean nothing."""
    return any(finding.status == "fail" for section in run.sections for finding in section.findings)


def _write_yaml(value: Yaml, indent: str = "") -> Iterator[str]:
    """Yield the lines of a mapping or of a list in block style, with JSON's scalars, which are YAML's too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, str | int | float):
                yield f"{indent}{key}: {_write_scalar(inner)}"
            else:
                yield f"{indent}{key}:"
                yield from _write_yaml(inner, f"{indent}  ")
    elif not isinstance(value, str | int | float):
        for inner in value:
            first, *rest = [_write_scalar(inner)] if isinstance(inner, str | int | float) else _write_yaml(inner)
            yield f"{indent}- {first}"
            yield from (f"{indent}  {line}" for line in rest)


def _write_scalar(value: str | int | float) -> str:
    """Return a number, a plain word, or a double-quoted text in which nothing stands that cannot be seen."""
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value not in _YAML_WORDS:
        return value
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        return with_hidden_as(quoted, lambda character: f"\\U{ord(character):08x}")
    return json.dumps(value)
