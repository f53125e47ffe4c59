"""The page: its structure, its escaping, and that it asks the network for nothing."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from rft.records import AuditRun, Figure, Finding, Section, Verdict, asset_name, images_figure
from rft.report import render, summary_html
from rft.report.render import html
from rft.report.render.embedded import read_images
from rft.report.views.findings import view_finding
from tests.support.example_run import HOSTILE, HOSTILE_ATTRIBUTE, example_run

VOID = {"meta", "link", "img", "br"}
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "style", "body", "div", "nav", "ol", "ul", "li", "a", "main", "header"),
    *("p", "span", "section", "h1", "h2", "h3", "h4", "b", "dl", "dt", "dd", "code", "pre", "table", "thead", "tbody"),
    *("tr", "th", "td", "small", "details", "summary", "figure", "footer", "script", "img", "audio", "bdi"),
    *("svg", "g", "path", "circle", "rect", "use", "defs", "clippath", "text", "tspan", "desc"),
}


class Page(HTMLParser):
    """All elements in order with their attributes, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.setdefault(tag, [])
        if tag not in VOID:
            self._open.append(tag)
            self.texts[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def plain() -> str:
    return render(example_run())


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(example_run(with_hostile=True))


def test_the_embedded_json_gives_the_run_back(hostile: str) -> None:
    run = example_run(with_hostile=True)
    (embedded,) = (text for text in Page(hostile).texts["script"])
    assert json.loads(embedded) == json.loads(run.to_json())
    assert AuditRun.from_json(embedded) == AuditRun.from_json(run.to_json())
    assert "<" not in embedded


def test_hostile_text_becomes_no_element_and_no_attribute(hostile: str) -> None:
    page = Page(hostile)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert len(page.of("script")) == 1
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert not attributes.get("href", "").startswith("javascript:")
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.of("img"))


def test_hostile_text_is_shown_as_it_stands(hostile: str) -> None:
    page = Page(hostile)
    assert page.texts["h1"] == [HOSTILE]
    assert any(HOSTILE + HOSTILE_ATTRIBUTE in title for title in page.texts["h4"])
    assert any("$x_1$" in text for text in page.texts["text"]), "matplotlib read a name as a formula"
    assert any("${7*7} {{ 7*7 }}" in title for title in page.texts["h4"]), "a template read a name as its own language"


def test_only_images_of_the_run_are_embedded(hostile: str) -> None:
    assert hostile.count("image not kept") == 2, "the hostile section names images that no asset_name made"


def test_nothing_is_requested(plain: str) -> None:
    page = Page(plain)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "xlink:href"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:")), (tag, name, target)
    style = "".join(page.texts["style"])
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [meta for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")
    assert "media-src data:" in policy["content"]


def test_a_clip_is_played_from_the_page_itself_and_missed_where_it_is_not_kept() -> None:
    clip = b"RIFF" + bytes(40)
    assert asset_name(clip).endswith(".wav")
    row = {"asset": asset_name(b"png"), "clip": asset_name(clip), "caption": "label <yes>"}
    figure = images_figure(id="f", table="t", asset="asset", clip="clip", caption="caption", title="Examples", alt="x")
    section = Section(
        plugin="attribution",
        title="Attribution",
        tables={"t": [row]},
        figures=(figure,),
        assets={asset_name(clip): clip, asset_name(b"png"): b"png"},
    )
    run = example_run()
    run = run.model_copy(update={"sections": (*run.sections, section)})
    text = render(run)
    (audio,) = Page(text).of("audio")
    assert audio["src"] == f"data:audio/wav;base64,{base64.b64encode(clip).decode()}"
    assert audio["aria-label"] == "label <yes>"
    assert "autoplay" not in audio
    assert read_images(text)[asset_name(clip)] == clip
    assert render(AuditRun.from_json(run.to_json()), read_images(text)) == text
    assert "clip not kept" in render(AuditRun.from_json(run.to_json()))


def test_every_link_has_its_target_and_ids_are_unique(hostile: str) -> None:
    page = Page(hostile)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not [anchor for anchor in ids if re.search(r"\s", anchor)]
    for _, attributes in page.elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        for reference in re.findall(r"url\(#([^)]*)\)", attributes.get("clip-path", "")):
            assert reference in ids
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids


def test_tables_have_headers_and_headings_are_in_order(plain: str) -> None:
    page = Page(plain)
    assert plain.count("<table") == plain.count("<thead>") > 5
    assert all(header.get("scope") in ("col", "row") for header in page.of("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_images_have_words(plain: str) -> None:
    page = Page(plain)
    charts = [attributes for attributes in page.of("svg") if attributes.get("class") == "chart"]
    assert len(charts) == 9
    assert all(chart["role"] == "img" for chart in charts)
    assert all(image["alt"] for image in page.of("img"))
    assert len(page.of("img")) == 4


def test_nothing_undefined_looks_like_a_number(plain: str) -> None:
    words = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", plain)
    assert not re.search(r"\b(nan|NaN|inf|Infinity|None|undefined)\b", words)
    assert "South Asian has 2 positive examples; at least 5 are needed" in words
    assert "too few (n = 4)" in words


def test_the_same_run_gives_the_same_page(plain: str) -> None:
    assert render(example_run()) == plain


def test_the_page_makes_no_claim_beyond_the_rules(plain: str) -> None:
    page = re.sub(r"<script.*?</script>", "", plain, flags=re.DOTALL)
    assert not re.search(r"complian|\bsafe\b|anonymous|overall score", page, re.IGNORECASE)
    assert "Of 4 rules: 1 broken" in page
    assert "release criterion R-7" in page


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("no_rules", "This run has no rules, so nothing was judged: this is neither a pass nor a fail."),
        ("pass", "All 4 rules are met."),
    ],
)
def test_the_verdict_in_words(status: str, words: str) -> None:
    run = example_run()
    rules = () if status == "no_rules" else run.verdict.rules
    page = render(run.model_copy(update={"verdict": Verdict(status=status, rules=rules)}))
    assert words in page


def test_changed_frozen_tensors_are_seen() -> None:
    run = example_run()
    backbone = run.model.backbone.model_copy(update={"frozen_sha256_after": "2e" * 32})
    page = render(run.model_copy(update={"model": run.model.model_copy(update={"backbone": backbone})}))
    assert "Unchanged" not in page
    assert "1d" * 32 in page
    assert "2e" * 32 in page


def test_a_run_of_predictions_alone_and_without_findings() -> None:
    run = example_run()
    audited = run.model.model_copy(update={"modality": "predictions", "backbone": None, "model_sha256": None})
    empty = Section(plugin="quiet", title="Quiet")
    page = render(run.model_copy(update={"model": audited, "sections": (empty,)}))
    assert "Audit of a table of predictions; the model was not looked at" in page
    assert '<h2 id="section-quiet-heading">Quiet</h2>' in page


def test_a_figure_that_cannot_be_drawn_says_why() -> None:
    figure = Figure(id="f", kind="dots", table="t", encode={"x": "gone"}, title="A figure", alt="")
    section = Section(plugin="odd", tables={"t": [{"a": 1}]}, figures=(figure,))
    page = render(example_run().model_copy(update={"sections": (section,)}))
    assert "Not drawn: table t or the figure lacks y, gone." in page


def one_section(template: str | None) -> AuditRun:
    finding = Finding(
        id="own.share", title="Own finding", status="info", value=0.5, deterministic=True, description="Half of it."
    )
    section = Section(plugin="own", findings=(finding,), template=template)
    return example_run().model_copy(update={"sections": (section,)})


@pytest.fixture
def announced(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package ``rft_own`` that announces a plugin and brings two templates."""
    package = tmp_path / "rft_own"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "own.html").write_text(
        "<p class='own'>{{ section.findings[0].title }} {{ record.plugin }}{{ remark }}</p>"
    )
    (package / "broken.html").write_text("{{ nothing.of_this_name }}")
    (tmp_path / "outside.html").write_text("<p>OUTSIDE</p>")
    monkeypatch.syspath_prepend(str(tmp_path))

    class Entry:
        value = "rft_own:Plugin"

    monkeypatch.setattr(html, "entry_points", lambda group: [Entry()] if group == "rft.plugins" else [])
    html.template_environment.cache_clear()


@pytest.mark.usefixtures("announced")
def test_a_plugin_brings_its_own_template() -> None:
    assert "<p class='own'>Own finding own</p>" in render(one_section("rft_own:own.html"))


@pytest.mark.usefixtures("announced")
@pytest.mark.parametrize(
    "template",
    ["rft_own:broken.html", "rft_own:gone.html", "rft_own:../outside.html", "json:own.html", "/etc/hosts", "../x"],
)
def test_without_a_usable_template_the_generic_one_shows_the_section(template: str) -> None:
    page = render(one_section(template))
    assert "Half of it." in page
    assert "own template was not used" in page
    assert "OUTSIDE" not in page


def test_a_plugin_name_does_not_choose_a_file() -> None:
    section = Section(plugin="../audit", title="Odd")
    assert "Odd" in render(example_run().model_copy(update={"sections": (section,)}))


def test_the_summary_for_notebooks_is_short_and_escaped() -> None:
    text = summary_html(example_run(with_hostile=True))
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert 3 <= len(page.of("tr")) - 1 <= 6
    assert HOSTILE in page.texts["strong"]
    assert "Fail. 1 of 4 rules" not in text, "the hostile run has five rules"


@pytest.mark.parametrize(
    ("status", "rules", "said"), [("info", {}, ""), ("info", {"a.b": True}, ""), ("warn", {}, "x")]
)
def test_what_to_do_is_said_only_where_something_is_to_be_done(status: Any, rules: dict[str, bool], said: str) -> None:
    finding = Finding(id="a.b", title="A", value=1.0, status=status, description="A.", remedy="x", deterministic=True)
    assert view_finding(finding, rules).remedy == said
    assert view_finding(finding, {"a.b": False}).remedy == "x"
