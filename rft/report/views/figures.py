"""From a figure of a section to what its template shows: a drawing or images, and the numbers beside them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from rft.records import ASSET_NAME, Cell, Column, Figure, Row, Section, find_column
from rft.report.views import tables, tokens
from rft.report.views.group_table import GroupTables, can_be_turned, view_group_tables
from rft.report.views.tables import TableView

MAX_ROWS_BESIDE = 8
_TYPES = {".png": "image/png", ".wav": "audio/wav"}


@dataclass(frozen=True)
class ImageView:
    """An image as a data URI, and what is played beside it.

    Attributes:
        source: of the image; empty when the run folder does not hold it.
        caption: below it.
        clip: the data URI of a sound; None where none belongs to it, empty when the run folder does not hold it.
    """

    source: str
    caption: str
    clip: str | None = None


@dataclass(frozen=True)
class Gallery:
    """The images of a group; its title is empty when the figure has no groups."""

    title: str
    images: tuple[ImageView, ...]


@dataclass(frozen=True)
class FigureView:
    """A figure with its numbers.

    Attributes:
        id: unique in the page.
        drawing: the SVG; empty for images and texts, and for a figure that could not be drawn, which has a
            ``problem``; ``note`` says which groups it leaves out.
        galleries, texts: what a figure of images or of tokens shows; ``omitted_texts`` counts those it does not.
        table: the numbers to show beside it; None when the figure titled ``same_as`` has them already.
    """

    id: str
    title: str
    drawing: Markup = field(default=Markup(""))
    problem: str = ""
    note: str = ""
    galleries: tuple[Gallery, ...] = ()
    texts: tuple[tokens.Text, ...] = ()
    omitted_texts: int = 0
    table: TableView | None = None
    same_as: str = ""

    @property
    def numbers_folded(self) -> bool:
        """Whether its numbers are too many to be read beside it."""
        return self.table is not None and (self.table.wide or self.table.total > MAX_ROWS_BESIDE)

    @property
    def wide(self) -> bool:
        """Whether there is no room for the numbers beside the figure."""
        return bool(self.galleries or self.texts) or (self.table is not None and self.table.wide)


@dataclass(frozen=True)
class RunImages:
    """The images and clips of a run, by their names in ``audit.json``."""

    held: Mapping[str, bytes]

    def data_uri(self, name: Cell) -> str:
        """Return an image or clip by its name; nothing where it is not held, or the name is none of ``asset_name``."""
        if not isinstance(name, str) or not ASSET_NAME.fullmatch(name):
            return ""
        content = self.held.get(name, b"")
        return f"data:{_TYPES[name[-4:]]};base64,{base64.b64encode(content).decode()}" if content else ""


def view_figures(section: Section, images: RunImages, ids: Iterator[str]) -> list[FigureView]:
    """Return the figures of a section; of several figures of the same rows only the first has them beside it."""
    shown: dict[tuple[str, str], str] = {}
    views = []
    for figure in section.figures:
        key = (figure.table, repr(sorted(figure.where.items())))
        if figure.kind == "images":
            views.append(_view_images(section, figure, images, next(ids)))
        elif figure.kind == "tokens":
            views.append(_view_tokens(section, figure, next(ids)))
        else:
            views.append(_view_chart(section, figure, next(ids), shown.get(key, "")))
            shown.setdefault(key, figure.title)
    return views


def list_other_tables(section: Section) -> list[tuple[str, TableView | GroupTables]]:
    """Return the tables that do not stand beside a figure with all their rows, by name."""
    whole = {
        figure.table for figure in section.figures if not figure.where and not can_be_turned(section, figure.table)
    }
    names = [name for name in section.tables if name not in whole and section.tables[name]]
    return [(name, view_section_table(section, name)) for name in names]


def view_section_table(section: Section, name: str) -> TableView | GroupTables:
    """Return a table of a section as it is shown by itself."""
    if can_be_turned(section, name):
        return view_group_tables(section, name)
    caption = section.captions.get(name, tables.words_of_name(name))
    return tables.view_table(section.tables[name], section.describe_table(name), caption=caption)


def _view_chart(section: Section, figure: Figure, id: str, same_as: str) -> FigureView:
    from rft.report.charts import draw  # brings matplotlib, which nothing needs before the report is drawn
    from rft.report.charts.extremes import select_extremes

    table, columns = section.tables[figure.table], section.describe_table(figure.table)
    rows = tables.matching_rows(table, figure.where)
    drawn = {*figure.encode.values(), *figure.where, find_column(columns, "count") or ""}
    only = drawn if figure.where else None  # of a part, what is drawn
    caption = section.captions.get(figure.table, "")
    turned = can_be_turned(section, figure.table)  # stands by itself, whole
    beside = None if same_as or turned else tables.view_table(rows, columns, caption=caption, only=only)
    try:
        drawn_rows = select_extremes(figure, rows)
        drawing = Markup(draw.draw_figure(figure, drawn_rows.rows, columns, id=id))
    except draw.ChartError as error:
        return FigureView(id, figure.title, problem=str(error), table=beside if rows else None, same_as=same_as)
    return FigureView(id, figure.title, drawing, note=drawn_rows.note, table=beside, same_as="" if turned else same_as)


def _view_images(section: Section, figure: Figure, run_images: RunImages, id: str) -> FigureView:
    asset, caption, group, clip = (figure.encode.get(name, "") for name in ("asset", "caption", "group", "clip"))
    columns = section.describe_table(figure.table)
    rows = tables.matching_rows(section.tables[figure.table], figure.where)
    galleries: dict[str, list[ImageView]] = {}
    for row in rows:
        sound = run_images.data_uri(row.get(clip)) if clip else None
        image = ImageView(run_images.data_uri(row.get(asset)), _cell_text(row, caption, columns), sound)
        galleries.setdefault(_cell_text(row, group, columns), []).append(image)
    rest = columns.keys() - {asset, caption, group, clip}
    return FigureView(
        id,
        figure.title,
        galleries=tuple(Gallery(title, tuple(images)) for title, images in galleries.items()),
        table=tables.view_table(rows, columns, caption=section.captions.get(figure.table, ""), only=rest)
        if rows and rest
        else None,
    )


def _view_tokens(section: Section, figure: Figure, id: str) -> FigureView:
    columns = section.describe_table(figure.table)
    rows = tables.matching_rows(section.tables[figure.table], figure.where)
    caption = section.captions.get(figure.table, "")
    try:
        texts = tokens.view_texts(figure, rows)
    except ValueError as error:
        table = tables.view_table(rows, columns, caption=caption)
        return FigureView(id, figure.title, problem=str(error), table=table)
    shown = {name: column for name, column in columns.items() if name != figure.encode.get("caption")}
    return FigureView(
        id,
        figure.title,
        texts=texts,
        omitted_texts=tokens.omitted_texts(figure, rows),
        table=tables.view_table(tokens.list_readable_rows(figure, rows), shown, caption=caption),
    )


def _cell_text(row: Row, name: str, columns: Mapping[str, Column]) -> str:
    cell = row.get(name)
    return "" if cell is None else tables.cell_text(cell, columns[name])
