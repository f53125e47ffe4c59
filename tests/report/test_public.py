"""``rft report --public``: what strangers get holds results on test, and nothing of training data or single people."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.disclosure.strangers import REASONS, HiddenNames, select_public_part
from rft.plugins.chapter_content import ChapterContent, merge_chapters
from rft.records import (
    AuditRun,
    Chapter,
    Claim,
    Contrast,
    Finding,
    GroupRate,
    InputFile,
    Pillar,
    Section,
    SmallCells,
    Source,
    asset_name,
)
from rft.report import open_run, render, save, write_made_from
from rft.report.render.model_card import model_card
from rft.report.render.public import NOT_SHOWN, make_public
from rft.report.run_folder import evidence
from tests.disclosure.test_disclosure_attacks import SUP, TRUE, audit_table
from tests.support.disclosure_attacker import (
    Attack,
    Release,
    find_fingerprints,
    find_images,
    find_numbers,
    find_words,
    list_numbers,
)
from tests.support.example_run import encode_png, example_artifacts, example_run
from tests.support.hostile_text import HIDDEN, HOSTILE, run_with

NOBODY = HiddenNames(frozenset())
SOURCES: dict[str, Source] = {"performance": "test", "fairness": "test", "training": "train", "attribution": "examples"}
UNIT = "face_id"


def declare(section: Section, source: Source) -> Section:
    names = [*(finding.id for finding in section.findings), *section.tables]
    return section.model_copy(update={"computed_from": dict.fromkeys(names, source)})


def declared_run() -> AuditRun:
    """Return the example as a private run of plugins that say what they computed from."""
    run = example_run()
    sections = tuple(
        declare(section, SOURCES[section.plugin]) if section.plugin in SOURCES else section for section in run.sections
    )
    loss = finding("training.loss", value=0.314159265358979)
    sections = tuple(
        declare(section.model_copy(update={"findings": (*section.findings, loss)}), "train")
        if section.plugin == "training"
        else section
        for section in sections
    )
    pillar = Pillar(
        plugin="privacy",
        label="Privacy",
        summary="The attack reaches 0.541.",
        claims=(Claim(label="Membership attack", state="measured", finding="privacy.membership_auc"),),
    )
    small = SmallCells(below=10, groups={"ethnicity": ("East Asian", "South Asian")})
    data = run.data.model_copy(update={"small_cells": small, "skipped": 3})
    return run.model_copy(update={"sections": sections, "data": data, "pillars": (pillar,)})


def finding(id: str, **fields: object) -> Finding:
    content = {"title": "Share", "status": "info", "value": 0.25, "description": "A share.", "n": 400, **fields}
    return Finding.model_validate({"id": id, **content})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of the declared run, and its public one."""
    place = tmp_path_factory.mktemp("public")
    run = declared_run()
    saved = save(run, place / "run", example_artifacts())
    return saved, write_made_from(make_public(run), saved, place / "run-public")


@pytest.fixture(scope="module")
def public() -> AuditRun:
    return make_public(declared_run())


# --- what a plugin does not declare is left out ---


def test_what_nobody_declared_is_left_out() -> None:
    section = Section(plugin="demo", findings=(finding("demo.a"),), tables={"rows": [{"x": 0.5}]}, notes=("Of 7.",))
    part = select_public_part(section, NOBODY, by_group=True)
    assert part.section is None
    assert part.left_out == {REASONS[None]: ("Share", "table rows")}


@pytest.mark.parametrize(("source", "named"), [("test", "demo.a"), ("examples", None)])
def test_a_finding_that_is_left_out_is_not_pointed_at(source: Source, named: str | None) -> None:
    section = Section(
        plugin="demo",
        findings=(finding("demo.a"), finding("demo.b")),
        computed_from={"demo.a": source, "demo.b": "facts"},
        unanswered="demo.a",
    )
    part = select_public_part(section, NOBODY, by_group=True)
    assert part.section is not None
    assert part.section.unanswered == named


@pytest.mark.parametrize(
    ("source", "shown"), [("facts", True), ("test", True), ("train", False), ("examples", False), (None, False)]
)
def test_facts_and_test_are_shown_and_nothing_else(source: Source | None, shown: bool) -> None:
    chapter = Chapter(title="One", text=("It is 0.25.",), findings=("demo.a",), computed_from=source)
    section = Section(plugin="demo", findings=(finding("demo.a"),), chapters=(chapter,), notes=("A note.",))
    if source is not None:
        section = section.model_copy(update={"computed_from": {"demo.a": source}})
    part = select_public_part(section, NOBODY, by_group=True)
    assert (part.section is not None) == shown
    if part.section is not None:
        assert part.section.chapters[0].text == ("It is 0.25.",)
        assert part.section.notes == ("A note.",)


def test_a_table_by_split_keeps_the_rows_of_test() -> None:
    rows = [{"split": split, "value": value} for split, value in (("train", 0.9), ("test", 0.8), ("validation", 0.7))]
    section = Section(plugin="demo", tables={"metrics": rows}, computed_from={"metrics": "by_split"})
    part = select_public_part(section, NOBODY, by_group=True)
    assert part.section is not None
    assert part.section.tables["metrics"] == [{"split": "test", "value": 0.8}]


def test_a_table_that_names_an_image_is_left_out_whatever_it_says() -> None:
    rows = [{"asset": asset_name(encode_png()), "value": 0.9}]
    section = Section(plugin="demo", tables={"shown": rows}, computed_from={"shown": "test"})
    assert select_public_part(section, NOBODY, by_group=True).section is None


def test_broken_integrity_is_never_left_out() -> None:
    section = Section(plugin="demo", findings=(finding("demo.broken", status="fail"),))
    part = select_public_part(section, NOBODY, by_group=True)
    assert part.section is not None
    assert part.section.findings[0].status == "fail"


def test_small_groups_are_named_nowhere() -> None:
    section = Section(
        plugin="demo",
        findings=(
            finding("demo.a", caveats="Not part of this: Dd.", withheld=("Dd",)),
            finding("demo.b", title="Share in Dd"),
        ),
        tables={"rows": [{"who": "Cc", "value": 1}, {"who": "Dd", "value": 2}], "wide": [{"Cc": 1, "Dd": 2}]},
        chapters=(Chapter(title="Dd", findings=("demo.a",), computed_from="test"),),
        notes=("Dd is small.",),
    )
    part = select_public_part(declare(section, "test"), HiddenNames(frozenset({"Dd"})), by_group=True)
    assert part.section is not None
    assert "Dd" not in part.section.model_dump_json() + repr(part.left_out)
    assert [finding.id for finding in part.section.findings] == ["demo.a"]
    assert part.section.tables == {"rows": [{"who": "Cc", "value": 1}]}


def test_chapters_say_for_their_content_what_it_was_computed_from() -> None:
    inner = ChapterContent(
        "A", [finding("demo.a")], {"rows": [{"x": 1}]}, computed_from="facts", exceptions={"rows": "train"}
    )
    section = merge_chapters("demo", "Demo", [inner, ChapterContent("B", [finding("demo.b")])])
    assert section.computed_from == {"demo.a": "facts", "rows": "train"}
    assert [chapter.computed_from for chapter in section.chapters] == ["facts", None]


# --- the run ---


def test_the_public_run_is_one_and_says_what_it_lacks(public: AuditRun) -> None:
    assert AuditRun.from_json(public.to_json()) == public
    page, card = render(public), model_card(public)
    assert "What this public version leaves out" in page
    assert "What this public version leaves out" in card
    assert any(REASONS["examples"] in sentence for sentence in public.left_out)
    assert any(REASONS["train"] in sentence for sentence in public.left_out)
    assert "What this public version leaves out" not in render(declared_run())


def test_a_public_version_of_a_public_version_is_the_same(public: AuditRun) -> None:
    assert make_public(public) == public
    assert make_public(AuditRun.from_json(public.to_json())).to_json() == public.to_json()


def test_frame_and_config_recognise_nobody(public: AuditRun) -> None:
    assert public.run.volatile.salt == public.run.config_sha256 == ""
    assert set(public.run.config) <= {"report", "card"}
    assert public.data.skipped is None
    train = public.data.splits["train"]
    assert set(train.labels.values()) == {None}
    assert {count for counts in train.groups.values() for count in counts.values()} <= {None}
    assert public.model.training.class_weights is None
    assert UNIT not in public.model_dump_json(exclude={"left_out"})


def test_outcomes_stay_and_numbers_of_what_is_left_out_go(public: AuditRun) -> None:
    run = declared_run()
    assert [rule.outcome for rule in public.verdict.rules] == [rule.outcome for rule in run.verdict.rules]
    shown = {finding.id for section in public.sections for finding in section.findings}
    gone = [rule for rule in public.verdict.rules if rule.finding not in shown]
    assert gone
    assert {(rule.reason, rule.explanation, rule.value, rule.interval) for rule in gone} == {
        (NOT_SHOWN, NOT_SHOWN, None, None)
    }


def test_an_answer_that_rests_on_what_is_left_out_is_said_anew(public: AuditRun) -> None:
    (pillar,) = public.pillars
    assert "0.541" not in pillar.summary
    assert "Membership attack" in pillar.summary
    assert [claim.finding for claim in pillar.claims] == [None]


@pytest.mark.parametrize(("group", "kept"), [("East Asian", 0), ("White", 1)])
def test_both_groups_of_a_gap_are_shown_to_strangers_unless_one_is_small(group: str, kept: int) -> None:
    """And only where all that the answer rests on is shown."""
    run = declared_run()
    ends = GroupRate(group="Black", value=0.7), GroupRate(group=group, value=0.9)
    contrast = Contrast(
        finding="performance.accuracy", attribute="ethnicity", metric="Accuracy", lowest=ends[0], highest=ends[1]
    )
    shown = Pillar(plugin="performance", label="Works", summary="It does.", contrasts=(contrast,))
    partly = shown.model_copy(update={"plugin": "privacy"})
    public = make_public(run.model_copy(update={"pillars": (shown, partly)}))
    assert [len(pillar.contrasts) for pillar in public.pillars] == [kept, 0]


def test_without_a_decision_on_small_groups_nothing_by_group_is_shown() -> None:
    run = declared_run()
    public = make_public(run.model_copy(update={"data": run.data.model_copy(update={"small_cells": None})}))
    assert not [
        name
        for section in public.sections
        for name in section.tables
        if {"attribute", "group"} & {column.role for column in section.describe_table(name).values()}
    ]
    assert any("All numbers by group" in sentence for sentence in public.left_out)
    assert public.data.splits["test"].groups == {}


def test_hostile_texts_pass() -> None:
    public = make_public(run_with(lambda text: HOSTILE + text))
    for text in (render(public), model_card(public)):
        assert [ascii(character) for character in HIDDEN.findall(text)] == []
    assert make_public(AuditRun.from_json(public.to_json())) == public


# --- the folder, and an attacker who reads it ---


def test_an_attacker_finds_nothing_of_training_images_or_inputs(folders: tuple[Path, Path]) -> None:
    saved, shown = folders
    run = declared_run()
    secret = list_numbers([run.section(name).model_dump(mode="json") for name in ("training", "attribution")])
    keyed = evidence.read(saved).keyed
    sha256 = {
        *(hashlib.sha256(file.read_bytes()).hexdigest() for file in (saved / "assets").iterdir()),
        *(value for digests in (keyed.files, keyed.inputs) for pair in digests.items() for value in pair),
        *(file.sha256 for file in example_artifacts().inputs if isinstance(file, InputFile)),
        *(run.run.volatile.salt, run.run.config_sha256, keyed.key),
    }
    names = {"East Asian", "South Asian", UNIT}
    assert find_numbers(saved, secret)
    assert find_fingerprints(saved, sha256)
    assert find_images(saved)
    assert find_words(saved, names) == names
    assert find_numbers(shown, secret) == set()
    assert find_fingerprints(shown, sha256) == set()
    assert find_images(shown) == []
    assert find_words(shown, names) == set()


def audited_unset(folder: Path, counts: pd.DataFrame) -> Path:
    """Return a run whose config does not say which counts are withheld."""
    audit_table(folder, counts, 0, name="unset")
    config = folder / "unset.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("suppress_below = 0", ""), encoding="utf-8")
    rft.audit(config, folder / "run")
    return folder / "run"


def test_an_attacker_recovers_no_withheld_group(tmp_path: Path) -> None:
    told = audit_table(tmp_path, SUP, 0, name="told")
    assert Attack(Release.of(told), "g", tuple(TRUE)).run()
    withheld = audit_table(tmp_path, SUP, 10, name="withheld")
    for place in (told, withheld, audited_unset(tmp_path, SUP)):
        shown = write_made_from(make_public(open_run(place)), place, tmp_path / f"{place.name}-public")
        release = Release.of(shown)
        assert Attack(release, "g", tuple(TRUE)).run() == {}
        assert find_words(shown, TRUE) == set()
        groups = {row["group"] for row in release.rows("by_group")}
        assert groups == ({None, "Aa", "Bb"} if place == withheld else set())


def test_the_command_writes_a_folder_that_can_be_checked(folders: tuple[Path, Path], tmp_path: Path) -> None:
    saved, _ = folders
    done = CliRunner().invoke(app, ["report", str(saved), "--public", "--out", str(tmp_path / "shown")])
    assert done.exit_code == 1, done.output  # the verdict of the run
    assert sorted(file.name for file in (tmp_path / "shown").iterdir()) == [
        *("audit.json", "evidence.json", "model-card.md", "report.html")
    ]
    assert evidence.verify(tmp_path / "shown").problems == ()
    recorded = json.loads((tmp_path / "shown" / "evidence.json").read_text(encoding="utf-8"))
    assert recorded["made_from"] == {
        "run": declared_run().run.volatile.id,
        "evidence_sha256": hashlib.sha256((saved / "evidence.json").read_bytes()).hexdigest(),
    }
    assert recorded["config"]["sha256"] == ""
    assert recorded["plugins"] == {}
    again = CliRunner().invoke(app, ["report", str(tmp_path / "shown"), "--public", "--out", str(tmp_path / "again")])
    assert again.exit_code == 1, again.output
    for name in ("audit.json", "report.html", "model-card.md", "evidence.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "shown" / name).read_bytes()
