"""SARIF 2.1.0 (OASIS, errata 01): a result for each rule that does not hold, at its line in ``audit.toml``.

Hosts of code show results beside the lines. They take every result for a problem, whatever its kind, and refuse files
with a result that has no location: so rules that hold have no result, and every result has a place. A broken rule is an
``error``, an uncertain one a ``warning``; that nothing was asked is a ``note``.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import quote

from rft.config.stored import stored_path
from rft.export.judgements import Judgement, list_judgements
from rft.export.rule_lines import CONFIG, find_lines_if_there, find_rule_lines, name_policy_file
from rft.export.source import ExportSource
from rft.export.texts import Json, with_visible_texts, write_json
from rft.records import Outcome

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: dict[Outcome, str] = {"fail": "error", "uncertain": "warning"}
NO_RULES = "rft.no_rules"
_LINK = re.compile(r"\[(?=[^\]]*\]\()")


def write_sarif(source: ExportSource) -> str:
    """Return the SARIF log of a run.

    Raises:
        ConfigError: the policy file that was named cannot be read, or holds no rules.
    """
    run = source.run
    judgements = list_judgements(run)
    descriptors = {judgement.rule.finding: _describe_finding(judgement) for judgement in judgements}
    indices = {id: index for index, id in enumerate(descriptors)}
    results = [
        _describe_result(judgement, indices[judgement.rule.finding], location)
        for judgement, location in zip(judgements, _locate_rules(source, judgements), strict=True)
        if judgement.rule.outcome in LEVELS
    ]
    if not judgements:
        descriptors, results = {NO_RULES: {"id": NO_RULES, "shortDescription": _message("No rules")}}, [_say_no_rules()]
    driver: dict[str, Json] = {"name": "rft", "version": run.rft_version, "rules": list(descriptors.values())}
    log: dict[str, Json] = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"rft/{run.run.name}/{run.run.volatile.id}"},
        "invocations": [{"executionSuccessful": True}],
        "results": results,
        "properties": {"verdict": run.latest_verdict.status, "verdictSource": run.latest_verdict.source},
    }
    return write_json(with_visible_texts({"$schema": SCHEMA, "version": "2.1.0", "runs": [log]}))


def _locate_rules(source: ExportSource, judgements: tuple[Judgement, ...]) -> list[Json]:
    """Return the place of each rule: its file, and the line where that is known."""
    if source.policy_file is not None:
        name, lines = stored_path(source.policy_file, Path.cwd()), find_rule_lines(source.policy_file)
    else:
        name = name_policy_file(source.run.latest_verdict)
        lines = find_lines_if_there(Path(name))
    return [_locate_file(name, lines.get(judgement.rule.rule)) for judgement in judgements]


def _locate_file(name: str, line: int | None) -> Json:
    artifact = {"artifactLocation": {"uri": quote(name), "uriBaseId": "%SRCROOT%"}}
    return {"physicalLocation": artifact if line is None else artifact | {"region": {"startLine": line}}}


def _describe_finding(judgement: Judgement) -> dict[str, Json]:
    """Return the finding that rules are about, which is what SARIF calls a rule."""
    finding, id = judgement.finding, judgement.rule.finding
    if finding is None:
        return {"id": id, "shortDescription": _message("A finding that this run does not have")}
    texts = {"shortDescription": finding.title, "fullDescription": finding.description, "help": finding.caveats}
    return {"id": id} | {name: _message(text) for name, text in texts.items() if text}


def _describe_result(judgement: Judgement, index: int, location: Json) -> Json:
    rule, finding = judgement.rule, judgement.finding
    because = f" ({rule.because})" if rule.because else ""
    fingerprint = hashlib.sha256(f"{rule.finding}\n{rule.rule}".encode()).hexdigest()
    interval = finding.interval if finding else None
    return {
        "ruleId": rule.finding,
        "ruleIndex": index,
        "level": LEVELS[rule.outcome],
        "message": _message(f"{rule.outcome}: {rule.rule}{because}. {rule.explanation}"),
        "locations": [location],
        "partialFingerprints": {"rule/v1": fingerprint},
        "properties": {
            "outcome": rule.outcome,
            "bound": judgement.bound,
            "value": finding.value if finding else None,
            "interval": interval.model_dump() if interval else None,
            "n": finding.n if finding else None,
        },
    }


def _say_no_rules() -> Json:
    text = "The config has no [[policy]] rules: nothing was asked of this run, and nothing is passed."
    return {
        "ruleId": NO_RULES,
        "ruleIndex": 0,
        "level": "note",
        "message": _message(text),
        "locations": [_locate_file(CONFIG, None)],
    }


def _message(text: str) -> dict[str, str]:
    """Return a text as a message, in which braces are placeholders and ``[a](b)`` is a link unless they are escaped."""
    return {"text": _LINK.sub(r"\\[", text).replace("{", "{{").replace("}", "}}")}
