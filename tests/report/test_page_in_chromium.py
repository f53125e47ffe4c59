"""The page in a browser: nothing is loaded, no script runs, nothing overflows, links open what they lead to.

Needs Chromium and the extra ``browser``; skipped where either is missing.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rft.records import AuditRun
from rft.report.render import pdf
from rft.report.render.html import render
from tests.support.example_run import example_run
from tests.support.hostile_text import HOSTILE, MARKUP, run_with

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next((path for name in pdf.CHROMIUM_NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

WIDTHS = {1280: 800, 768: 1024, 390: 844, 360: 740}  # pixels of a screen -> its height
SCHEMES = ("light", "dark")
CSP = "Content-Security-Policy"
SMALLEST_CHART_TEXT = 11.0  # pixels
ACTIVE = (*(text for text in MARKUP if "<" in text), "<script>alert(1)</script>", '"><svg onload=alert(1)>')
LONG = "a_name_of_a_column_without_any_place_to_break_it_" * 4
OPEN_ALL = "for (const fold of document.querySelectorAll('details')) fold.open = true"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CHART_TEXTS = """[...document.querySelectorAll('svg.chart')].filter(chart => chart.checkVisibility()).flatMap(chart =>
  [...chart.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize)
    * chart.getBoundingClientRect().width / chart.viewBox.baseVal.width))"""


# The label of a cell is generated, and so has no box of its own: it is measured in a copy.
ROOM_FOR_LABELS = """[...document.querySelectorAll('.rules td')].map(cell => {
  const label = document.createElement('span');
  label.textContent = cell.dataset.label;
  cell.append(label);
  const width = label.getBoundingClientRect().width;
  label.remove();
  return parseFloat(getComputedStyle(cell).paddingLeft) - width;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def runs() -> dict[str, AuditRun]:
    return {
        "example": example_run(with_hostile=True),
        "hostile": run_with(lambda text: HOSTILE + text),
        "markup": run_with(lambda text: "".join(ACTIVE) + text),
        "long": run_with(lambda text: LONG + text),
    }


@pytest.fixture(scope="module")
def pages(runs: dict[str, AuditRun], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of all runs as files."""
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    for name, run in runs.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(render(run), encoding="utf-8")
    return files


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", ["example", "hostile", "markup"])
@pytest.mark.parametrize("with_policy", [True, False], ids=["policy", "no policy"])
def test_the_page_asks_for_nothing_and_runs_nothing(
    page: Any, pages: dict[str, Path], tmp_path: Path, name: str, with_policy: bool
) -> None:
    """Also without its policy: nothing in it would load or run anything."""
    text = pages[name].read_text(encoding="utf-8")
    policy = next(line for line in text.splitlines() if CSP in line)
    file = tmp_path / "page.html"
    # a script of this test, to show that scripts would run where the policy is taken out
    file.write_text(text if with_policy else text.replace(policy, "<script>window.ran = 1</script>"), encoding="utf-8")
    asked: list[str] = []
    dialogs: list[str] = []
    errors: list[str] = []

    def refuse_request(route: Any) -> None:
        if route.request.url == file.as_uri():
            route.continue_()
            return
        asked.append(route.request.url)
        route.abort()

    page.route("**/*", refuse_request)

    def dismiss_dialog(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss_dialog)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.evaluate(OPEN_ALL)
    page.wait_for_load_state("networkidle")
    assert ([url for url in asked if not url.startswith("data:")], dialogs, errors) == ([], [], [])
    assert page.evaluate("window.ran === 1") is not with_policy
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.evaluate(handlers) == []
    scripts = page.evaluate("[...document.scripts].map(script => script.type)")
    assert scripts == (["application/json"] if with_policy else ["", "application/json"])


@pytest.mark.parametrize("name", ["example", "hostile", "long"])
def test_nothing_overflows_and_charts_can_be_read_on_a_phone(page: Any, pages: dict[str, Path], name: str) -> None:
    page.goto(pages[name].as_uri())
    for opened in (False, True):
        if opened:
            page.evaluate(OPEN_ALL)
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(OVERFLOW) == 0, (width, opened)
            sizes = page.evaluate(CHART_TEXTS)
            assert sizes or not opened
            assert min(sizes, default=SMALLEST_CHART_TEXT) >= SMALLEST_CHART_TEXT - 0.05, (width, opened)


@pytest.mark.parametrize("width", [390, 360])
def test_labels_of_rules_stand_beside_their_values_on_a_phone(page: Any, pages: dict[str, Path], width: int) -> None:
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    page.goto(pages["example"].as_uri())
    rooms = page.evaluate(ROOM_FOR_LABELS)
    assert rooms
    assert min(rooms) >= 4, "pixels between a label and its value"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_and_marks_stand_out_from_the_paper(page: Any, pages: dict[str, Path], scheme: str) -> None:
    """WCAG 2.2: 4.5 for text, 3 for the marks of charts."""
    page.emulate_media(color_scheme=scheme)
    page.goto(pages["example"].as_uri())
    names = ["ink", "muted", "accent", "pass", "fail", "uncertain", *(f"series-{number}" for number in range(1, 7))]
    read = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()"
    papers = [page.evaluate(read, name) for name in ("paper", "wash")]
    for name in names:
        least = 3 if name.startswith("series") else 4.5
        for paper in papers[:1] if name.startswith("series") else papers:
            assert contrast_ratio(page.evaluate(read, name), paper) >= least, (name, paper)
    faint = """[...document.querySelectorAll('svg.chart [style*="stroke: var(--series"]')]
      .map(mark => parseFloat(getComputedStyle(mark).strokeOpacity) * parseFloat(getComputedStyle(mark).opacity))"""
    opacities = page.evaluate(faint)
    assert opacities
    assert min(opacities) == 1, "a line or an interval is paler than its colour"


def contrast_ratio(colour: str, paper: str) -> float:
    """Return the ratio of WCAG 2.2 between two colours ``#rrggbb``."""
    bright, dark = sorted(map(relative_luminance, (colour, paper)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def relative_luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        pytest.param(1280, "light", marks=pytest.mark.slow),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_axe_has_no_complaint(page: Any, pages: dict[str, Path], width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    page.emulate_media(color_scheme=scheme)
    page.goto(pages["example"].as_uri())
    page.evaluate(OPEN_ALL)
    asked = {} if scheme == "light" else {"runOnly": ["color-contrast"]}  # all else is the same in both
    complaints = axe.Axe().run(page, options=asked).response["violations"]
    told = [(rule["id"], [node["html"][:160] for node in rule["nodes"][:3]]) for rule in complaints]
    assert told == []


def test_links_lead_to_what_is_then_shown(page: Any, pages: dict[str, Path]) -> None:
    """Folds open by themselves where a link leads into them."""
    page.goto(pages["example"].as_uri())
    hrefs = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))")
    inner = page.evaluate("[...document.querySelectorAll('.rules a, .answers a')].map(a => a.hash.slice(1))")
    assert len(inner) > 3
    assert page.evaluate("ids => ids.filter(id => !document.getElementById(id))", hrefs) == []
    for anchor in dict.fromkeys(inner):
        page.goto("about:blank")
        page.goto(f"{pages['example'].as_uri()}#{anchor}")
        page.wait_for_function("id => document.getElementById(id).checkVisibility()", arg=anchor, timeout=2000)
        shown = (
            "id => { const box = document.getElementById(id).getBoundingClientRect(); return [box.top, box.height] }"
        )
        top, height = page.evaluate(shown, anchor)
        assert height > 0, anchor
        assert -1 <= top < 800, anchor


def test_a_keyboard_reaches_the_report_first(page: Any, pages: dict[str, Path]) -> None:
    page.goto(pages["example"].as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "it is not seen"
    names = page.evaluate("[...document.querySelectorAll('summary')].map(summary => summary.textContent.trim())")
    assert all(names)


@pytest.mark.parametrize("name", ["example"])
def test_it_prints_without_empty_pages(page: Any, pages: dict[str, Path], name: str) -> None:
    pypdf = pytest.importorskip("pypdf")
    page.goto(pages[name].as_uri())
    printed = pypdf.PdfReader(io.BytesIO(page.pdf(format="A4", prefer_css_page_size=True)))
    words = [len(sheet.extract_text().split()) for sheet in printed.pages]
    images = [len(sheet.images) for sheet in printed.pages]
    assert len(words) > 3
    assert [
        number for number, (n, shown) in enumerate(zip(words, images, strict=True), 1) if n < 12 and not shown
    ] == []
