"""The table ``[data]``: where examples are, which column says what, and what contradicts what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rft.config.applicability import IMAGES, Applies
from rft.config.base import Fraction, Table
from rft.config.spellings import GroupName, PopulationName

SOURCES = "give either manifest (a table of examples) or folder (class sub-folders of images)"


class DataConfig(Table):
    """``[data]``: where the examples are and which column says what."""

    manifest: str | None = None
    """A table of examples, one row each: csv, tsv, jsonl or parquet. Give this or `folder`."""
    folder: str | None = None
    """A folder of images in class folders (`<class>/<image>` or `<split>/<class>/<image>`), or with a metadata table.
    """
    image: str | None = None
    """Column of the image files, by paths relative to the manifest, or of the bytes of images in parquet."""
    text: str | None = None
    """Column of the texts, in the place of `image`."""
    label: str | None = None
    """Column of the class of each example; each has exactly one."""
    id: str | None = None
    """Column that names each row in tables of results; by default the number of its row, or the path of an image."""
    classes: Annotated[list[str], Field(min_length=2)] | None = None
    """All classes there are; by default the labels that occur. Needed where `privacy.epsilon` is given: the model shows
    its classes, and one person's label must not add one."""
    positive: str | None = None
    """The favourable class; asked for, never guessed, where rates of groups need one."""
    groups: list[GroupName] = Field(default=[])
    """Columns of attributes, such as gender, whose groups are compared."""
    unit: str | None = None
    """Column of the person, or whatever else counts as one: whose privacy is protected, who is kept on one side of the
    split that rft draws, and what intervals count as one case."""
    population: Annotated[
        PopulationName | None,
        Applies(lambda run, _: run.private, "its ledger adds up what private training spends"),
    ] = None
    """Whose data it is: one name for the same people in every run, so that their ledger adds up what all runs spend.
    Needs `unit` or `id`."""
    split: str | None = None
    """Column of train, test and perhaps validation, by their usual names in any case. Validation is kept out of
    training and results."""
    test: Fraction | None = None
    """Share of the examples that rft draws for test; 0.25 for a folder without train/ and test/. For a model that
    others trained everything is test without it."""
    on_error: Literal["stop", "skip"] = "stop"
    """What an example that cannot be read does: stop the run, or be left out, counted and named."""
    # Pillow warns above the one, stops at the other.
    max_pixels: Annotated[int, Field(gt=0, le=178_956_970), IMAGES] = 89_478_485
    """Images with more pixels are not decoded: they count as unreadable."""

    @property
    def modality(self) -> Literal["image", "text"]:
        """What an example is."""
        return "text" if self.text is not None else "image"

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if self.manifest is not None and self.folder is not None:
            raise ValueError(SOURCES)
        if self.manifest is not None:
            if (self.image is None) == (self.text is None):
                raise ValueError("a manifest needs either image or text: the name of the column that holds the items")
            if self.label is None:
                raise ValueError("a manifest needs label: the name of its column")
            if self.split is not None and self.test is not None:
                raise ValueError("give either split (a column) or test (a fraction such as 0.25)")
        # Columns of metadata tables in a folder may be named; whether there are any, reading it will show.
        elif self.folder is not None and (named := [key for key in ("image", "text", "split") if getattr(self, key)]):
            raise ValueError(
                f"a folder has no such columns: remove {', '.join(named)}, or read its table as a manifest "
                '(manifest = "FOLDER/metadata.csv", image = "file_name")'
            )
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names a class twice")
        if self.population is not None and self.unit is None and self.id is None:
            raise ValueError("population needs unit or id: the column that says whose an example is, in every run")
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("groups names a column twice")
        if self.label is not None and self.label in self.groups:
            raise ValueError(f"{self.label!r} is both label and group: every group would have one class only")
        return self
