"""Whatever a user's texts hold, the page, the card and the terminal show all of it, and no number is turned around."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.records import AuditRun, Figure, Finding, Section
from rft.report import render, save, summary_html
from rft.report.render.comparison_page import comparison_html
from rft.report.render.model_card import model_card
from tests.report.test_render import Page
from tests.support.hostile_text import ARABIC, HEBREW, HIDDEN, HOSTILE, RIGHT_TO_LEFT, run_with

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VISIBLE = "ab<U+202E>632<U+2066><U+2069><U+200B><U+200C><U+200D><U+2060><U+FEFF><U+00AD><U+061C><U+200F><U+001B>[31m"


def compared_page(run: AuditRun) -> str:
    return comparison_html(run.sections[-1:], name=run.run.name, byline=(run.run.name,), rft_version="1")


@pytest.fixture(scope="module")
def hostile() -> AuditRun:
    return run_with(lambda text: HOSTILE + text)


@pytest.fixture(scope="module")
def mirrored() -> AuditRun:
    """A run with a Hebrew name in front of every text, and an Arabic one with a number within it behind."""
    return run_with(lambda text: f"{HEBREW} {text} {ARABIC} 12")


@pytest.mark.parametrize("write_text", [render, model_card, summary_html, compared_page])
def test_nothing_hidden_is_left_in_what_is_shown(hostile: AuditRun, write_text) -> None:
    text = write_text(hostile)
    assert [ascii(character) for character in HIDDEN.findall(text)] == []
    assert text.count("&lt;U+202E") > 5


def test_every_text_of_a_user_is_there_with_its_codes(hostile: AuditRun) -> None:
    page = Page(render(hostile))
    for tag in ("h1", "h2", "h3", "p", "th", "td", "dd", "li", "span", "text"):
        assert any(VISIBLE in text for text in page.texts[tag]), tag
    shown = "".join("".join(page.texts[tag]) for tag in ("p", "th", "td"))
    assert "cd<U+000A>[red]" in shown, "a line break in a name is shown too"
    attributes = "".join(" ".join(values.values()) for _, values in page.elements)
    assert VISIBLE in attributes


def test_the_data_itself_is_as_it_was(hostile: AuditRun, tmp_path: Path) -> None:
    page = Page(render(hostile))
    (embedded,) = page.texts["script"]
    assert AuditRun.from_json(embedded).to_json() == hostile.to_json()
    saved = save(hostile, tmp_path / "run")
    assert (saved / "audit.json").read_text(encoding="utf-8") == hostile.to_json()
    assert HOSTILE[:8] in hostile.to_json()


def test_the_config_can_still_be_copied(hostile: AuditRun) -> None:
    (shown,) = Page(render(hostile)).texts["pre"]
    assert tomllib.loads(shown) == json.loads(json.dumps(hostile.run.config))
    assert "\\u202e" in shown


def test_the_terminal_shows_one_line_a_rule_and_obeys_no_name(hostile: AuditRun, tmp_path: Path) -> None:
    saved = save(hostile, tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(saved)])
    assert [ascii(character) for character in HIDDEN.findall(done.output)] == []
    rules = [line for line in done.output.splitlines() if re.match(r"  (fail|uncertain) ", line)]
    assert len(rules) == sum(rule.outcome != "pass" for rule in hostile.verdict.rules) > 0
    assert all(VISIBLE in rule and "[red]" in rule for rule in rules)


@pytest.mark.parametrize("name", ["a\u202eb", "a\nb", "a\x1b[2Jb", "[bold]a[/bold]", ":warning:", "a\\", "\\[red]a"])
def test_an_error_names_a_file_as_it_is_called(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["verify", str(tmp_path / name)])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 2
    assert HIDDEN.search(done.stderr) is None
    code = re.sub(r"[\u202e\n\x1b]", lambda match: f"<U+{ord(match[0]):04X}>", name)
    assert f"/{code}: holds no run" in done.stderr


@pytest.mark.parametrize("command", ["compare", "report", "audit"])
def test_other_commands_show_names_the_same_way(tmp_path: Path, command: str) -> None:
    paths = [str(tmp_path / "a\u202e[red]\nb")] * (2 if command == "compare" else 1)
    done = CliRunner().invoke(app, [command, *paths])
    assert done.exit_code == 2
    assert "a<U+202E>[red]<U+000A>b" in done.stderr


class Names(HTMLParser):
    """Collects right-to-left letters that stand in no isolated element, and their surroundings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.isolated = 0
        self.loose: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        directed = any(name == "dir" for name, _ in attrs)
        if tag not in ("meta", "link", "img", "br"):
            self.open.append("directed" if directed else tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if {"script", "title", "desc", "style"} & {*self.open} or not RIGHT_TO_LEFT.search(data):
            return
        if {"bdi", "tspan", "directed"} & {*self.open}:
            self.isolated += 1
        else:
            self.loose.append(data)


@pytest.mark.parametrize("write_text", [render, summary_html, compared_page])
def test_every_right_to_left_name_is_isolated(mirrored: AuditRun, write_text) -> None:
    names = Names(write_text(mirrored))
    assert names.loose == []
    assert names.isolated > 10


def test_names_are_isolated_in_a_card_of_any_renderer(mirrored: AuditRun) -> None:
    body = model_card(mirrored).split("---\n", 2)[2]
    assert f"&#x2068;{HEBREW}&#x2069;" in body
    assert RIGHT_TO_LEFT.search(re.sub("&#x2068;[^&]*&#x2069;", "", body)) is None


def read_in_a_browser(page: str, folder: Path) -> list[dict]:
    """Return the texts of a page in the order in which a reader meets their characters."""
    script = (Path(__file__).parent / "reading_order.js").read_text(encoding="utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    file = folder / "page.html"
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom")
    done = subprocess.run([CHROMIUM, *options, file.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    (dumped,) = re.findall(r'<pre id="read">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(dumped))


needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser to order the characters of a line")


@needs_a_browser
def test_no_number_changes_places_with_a_right_to_left_name(mirrored: AuditRun, tmp_path: Path) -> None:
    page = render(mirrored)
    read = read_in_a_browser(page, tmp_path)
    assert sum(RIGHT_TO_LEFT.search(record["written"]) is not None for record in read) > 150
    assert [record for record in read if record["wrong"]] == []
    bare = page.replace("<bdi>", '<i class="tokens">').replace("</bdi>", "</i>")  # names still, but not isolated
    bare = bare.replace('<tspan style="unicode-bidi: isolate">', "<tspan>")
    turned = [text for text in read_in_a_browser(bare, tmp_path) if text["wrong"]]
    assert {"p", "dd", "th"} <= {record["tag"] for record in turned}, "this test would see it"


def one_group(name: str) -> AuditRun:
    """Return a run with a group of this name and of 632 cases: in a sentence, a table and a figure."""
    description = f"The group {name}, n = 632, is right in 0.25 of 1 632 cases."
    finding = Finding(
        id="own.share",
        title=f"Share of {name}",
        status="info",
        value=0.25,
        deterministic=True,
        n=632,
        description=description,
    )
    rows = [{"group": name, "said": f"{name}: 632 of 700, n = 632", "n": 632, "value": 0.25, "low": 0.2, "high": 0.3}]
    rows.append(rows[0] | {"said": f"{name} (none)", "value": None, "low": None, "high": None})
    encode = {"x": "value", "y": "group", "low": "low", "high": "high", "label": "n"}
    words = {"title": f"{name}: n = 632", "alt": name, "x_label": f"{name}: 632 of 700"}
    figure = Figure(id="f", kind="dots", table="t", encode=encode, **words)
    section = Section(plugin="own", findings=(finding,), tables={"t": rows}, figures=(figure,))
    return run_with(str).model_copy(update={"sections": (section,)})


@needs_a_browser
@pytest.mark.parametrize(
    "name",
    [
        "evil\u202e\u2067",
        f"{HEBREW} (ב) 3",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("evil\u202e", "\u2067evil", HEBREW, ARABIC)),
    ],
)
def test_n_632_reads_632(tmp_path: Path, name: str) -> None:
    page = render(one_group(name))
    read = read_in_a_browser(page, tmp_path)
    for tags, words in (({"p", "h4", "th"}, "n=632"), ({"th", "text"}, ":632of700")):
        said = [record for record in read if words in record["written"]]
        assert tags <= {sentence["tag"] for sentence in said}
        assert all(words in record["met"] for record in said), said


@needs_a_browser
@pytest.mark.parametrize(("name", "words"), [("evil\u202e", "007fo236"), (HEBREW, "632:")])
def test_it_would_not_without_what_is_done_here(tmp_path: Path, name: str, words: str) -> None:
    page = render(one_group(name)).replace("&lt;U+202E&gt;", "\u202e")
    bare = re.sub(r"</?(bdi|tspan)[^>]*>", "", page)
    turned = {text["tag"] for text in read_in_a_browser(bare, tmp_path) if words in text["met"]}
    assert {"th", "text"} <= turned
