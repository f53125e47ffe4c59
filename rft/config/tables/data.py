"""The table ``[data]``: where examples are, which column says what, and what contradicts what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from rft.config.applicability import FILES, IMAGES, RECOGNITION, RECORDINGS, TRANSCRIPTS, Applies
from rft.config.item_files import find_folder_kind
from rft.config.path_keys import PATH, PATH_OR_URL
from rft.config.tables.base import Fraction, Table
from rft.config.tables.spellings import GroupName, NormalizerName, PopulationName
from rft.expectations import show_value

SOURCES = (
    "give one of manifest (a table of examples), train and test (two tables), and folder (images or recordings in "
    "class folders)"
)
SPLITTING = "give either split (a column) or test (a fraction such as 0.25)"
WHO_SPEAKS = (
    "the column that says who speaks. Utterances of one speaker are not independent, so that without it no interval "
    "holds"
)
NORMALIZERS = '"none", "simple" or "whisper_english". Error rates depend on it, so it is never guessed'
# What says where examples are and how they are read; predictions alone have none.
EXAMPLES_ALONE = {
    *(
        "manifest",
        "train",
        "validation",
        "test",
        "folder",
        "metadata",
        "root",
        "image",
        "text",
        "audio",
        "transcript",
        "normalizer",
        "vocabulary",
        "characters",
        "max_pixels",
        "max_seconds",
    ),
    "population",
}


class DataConfig(Table):
    """``[data]``: where the examples are and which column says what."""

    manifest: Annotated[str | None, PATH_OR_URL] = None
    """A table of examples, one row each; a pattern of tables (`part-*.parquet`, `shard-{000..009}.tar`); a folder of
    Parquet files, whose folders `column=value` are columns, or of shards of WebDataset; a URL of any of these on S3 or
    Google's store; or a folder that the library datasets saved. Give this, `train` and `test`, or `folder`."""
    train: Annotated[str | None, PATH_OR_URL] = None
    """A table of the training examples, beside `test`; as for `manifest`."""
    validation: Annotated[str | None, PATH_OR_URL] = None
    """A table of validation examples beside `train` and `test`: kept out of training and results."""
    test: Annotated[Fraction | str | None, PATH_OR_URL] = None
    """Beside `train`: a table of the test examples. Otherwise the share of the examples that rft draws for test; 0.25
    for a folder without train/ and test/. For a model that others trained everything is test without it."""
    folder: Annotated[str | None, PATH] = None
    """A folder of images, or of recordings, in class folders (`<class>/<file>` or `<split>/<class>/<file>`), or with a
    metadata table; or a zip file of one."""
    metadata: Annotated[str | None, PATH] = None
    """A table that says more of the files of `folder`, such as who is in them: one row a file, which the column `image`
    or `audio` names. Without it, tables called `metadata` in the folder are read."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What parts the cells of tables of text, such as `";"`, where the file itself does not show it."""
    encoding: str | None = None
    """Of tables of text, such as `"cp1252"`, where it is not UTF-8 and the file itself does not show it."""
    image: str | None = None
    """Column of the image files, by paths relative to the table, or of the bytes of images. In the metadata of a folder
    also by the ends of their paths, such as the bare file name; `file_name` there unless it is given."""
    text: str | None = None
    """Column of the texts, in the place of `image`."""
    audio: str | None = None
    """Column of the recordings, in the place of `image`: paths or bytes, as there."""
    root: Annotated[str | None, PATH_OR_URL, FILES] = None
    """A folder, or its URL, that paths in the column of images or recordings are relative to; by default that of the
    table. Files are read from a URL only where this, or the table, is on that store."""
    label: str | None = None
    """Column of the class of each example; each has exactly one."""
    transcript: str | None = None
    """Column of what is said in each recording, in the place of `label`: a model learns to write it, or, where
    others trained it (`model.checkpoint`), what it writes is held against it."""
    normalizer: Annotated[NormalizerName | None, RECOGNITION] = None
    """What is made alike in transcripts before they are learned and compared: `none`, `simple` or `whisper_english`."""
    vocabulary: Annotated[Literal["transcripts", "tokenizer"], TRANSCRIPTS] = "transcripts"
    """What the model writes with: the characters of the training transcripts, or the tokens of the tokenizer in the
    folder of the backbone, which may be characters, pieces of words or words."""
    characters: Annotated[Annotated[str, Field(min_length=1)] | None, TRANSCRIPTS] = None
    """All characters that the model writes with, blanks included, such as `" 'abcdefghijklmnopqrstuvwxyz"`. This or
    `vocabulary = "tokenizer"` is needed where `privacy.epsilon` is given: one person's transcript must not add one."""
    id: str | None = None
    """Column that names each row in tables of results; by default the number of its row, or the path of a file."""
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
    on_error: Literal["stop", "skip"] = "stop"
    """What an example that cannot be read does: stop the run, or be left out, counted and named."""
    # Pillow warns above the one, stops at the other.
    max_pixels: Annotated[int, Field(gt=0, le=178_956_970), IMAGES] = 89_478_485
    """Images with more pixels are not decoded: they count as unreadable."""
    # Twice the 30 s that speech models are trained on; what is longer is seldom one utterance, and attention over it
    # takes memory with the square of its length.
    max_seconds: Annotated[float, Field(gt=0, le=3600), RECORDINGS] = 60.0
    """Longer recordings are not decoded: they count as unreadable. Nothing is cut."""
    _holds_audio: bool | None = PrivateAttr(default=None)  # whether ``folder`` does; None: nobody has looked

    @property
    def modality(self) -> Literal["image", "text", "audio"]:
        """What an example is; of a folder only ``in_folder`` knows it, where no column is named."""
        if self.audio is not None or self.transcript is not None or self._holds_audio:
            return "audio"
        return "text" if self.text is not None else "image"

    @property
    def item_column(self) -> str | None:
        """The column of the items, where one is named."""
        return next(iter(self._item_columns), None)

    @property
    def _item_columns(self) -> list[str]:
        return [column for column in (self.image, self.text, self.audio) if column is not None]

    def in_folder(self, place: Path) -> DataConfig:
        """Return this table with the modality of ``folder``, which is looked into where no column says it.

        Args:
            place: what the paths of the table are relative to.
        """
        if self.folder is None or self.item_column is not None or self._holds_audio is not None:
            return self
        settled = self.model_copy()
        settled._holds_audio = find_folder_kind(place / self.folder).modality == "audio"
        return settled

    @property
    def tables(self) -> dict[str, str]:
        """The keys that name tables of examples, with what they say: ``manifest``, or one for each split."""
        named = {key: getattr(self, key) for key in ("manifest", "train", "validation", "test")}
        return {key: table for key, table in named.items() if isinstance(table, str)}

    @property
    def test_share(self) -> float | None:
        """The share of all examples that is to become test, where ``test`` says one."""
        return None if isinstance(self.test, str) else self.test

    @field_validator("test", mode="wrap")
    @classmethod
    def _check_test(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            expected = "a share of the examples between 0 and 1, or, beside data.train, a table"
            raise ValueError(f"expected {expected}, not {show_value(value)}") from None

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, separator: str | None) -> str | None:
        if separator is not None and (separator in '"\r\n' or separator.isalnum()):
            raise ValueError(
                f"expected a character that parts cells, such as ';' or a tab, not {show_value(separator)}"
            )
        return separator

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str | None) -> str | None:
        if encoding is not None and not is_text_encoding(encoding):
            raise ValueError(
                f"expected an encoding of texts such as utf-8, cp1252 or utf-16, not {show_value(encoding)}"
            )
        return encoding

    @model_validator(mode="after")
    def _check_source(self) -> DataConfig:
        self._check_splits()
        if tables := self.tables:
            source = "a manifest needs" if self.manifest is not None else f"{' and '.join(tables)} need"
            if len(self._item_columns) != 1:
                raise ValueError(f"{source} one of image, text and audio: the name of the column that holds the items")
            if self.label is None and self.transcript is None:
                raise ValueError(f"{source} label: the name of its column")
        # Columns of metadata tables in a folder may be named; whether there are any, reading it will show.
        elif self.folder is not None and self.text is not None:
            raise ValueError(
                "a folder holds images or recordings: remove text, or name the table of the texts with manifest"
            )
        elif len(self._item_columns) > 1:
            raise ValueError("a folder holds images or recordings: give image or audio, not both")
        if self.root is not None and self.folder is not None:
            raise ValueError("root is what paths in a table of examples are relative to: remove it beside folder")
        if self.transcript is not None:
            self._check_transcript()
        if self.metadata is not None and self.folder is None:
            raise ValueError(
                "metadata is a table about the files of a folder: give folder, too; or, where the table holds the "
                "examples themselves, name it with manifest and remove metadata"
            )
        return self

    def _check_transcript(self) -> None:
        """Refuse transcripts without what error rates depend on, and beside classes."""
        if (self.folder is None and (not self.tables or self.audio is None)) or self.image is not None:
            raise ValueError(
                "transcript is a column of a table of recordings: give manifest (or train and test) and audio; or "
                "folder, whose metadata has it"
            )
        if named := sorted({"label", "classes", "positive"} & self.model_fields_set):
            raise ValueError(f"transcripts have no classes: remove {', '.join(named)}")
        if self.unit is None:
            raise ValueError(f"unit is missing: {WHO_SPEAKS}")
        if self.normalizer is None:
            raise ValueError(f"normalizer is missing: {NORMALIZERS}")
        if self.transcript in self.groups:
            raise ValueError(f"{self.transcript!r} is both transcript and group")
        if self.characters is not None and self.vocabulary == "tokenizer":
            raise ValueError('characters and vocabulary = "tokenizer" both say what the model writes with: remove one')
        if self.characters is not None and len(set(self.characters)) < len(self.characters):
            raise ValueError("characters names a character twice")

    def _check_splits(self) -> None:
        """Refuse examples from two sources, and two ways to tell training from test."""
        if self.train is None:
            if self.validation is not None:
                raise ValueError("validation is a table beside train and test: give these too, or remove it")
            if isinstance(self.test, str):
                raise ValueError(
                    "test names a table, and train, the other one, is missing: give it; or name a single one with "
                    'manifest = "...", and split (a column) or test (such as 0.25)'
                )
            if self.manifest is not None and self.folder is not None:
                raise ValueError(SOURCES)
            if self.split is not None and self.test is not None:
                raise ValueError(SPLITTING)
            return
        if self.test is None:
            raise ValueError(
                "train is one of two tables, and test is missing: give the table of results; or name "
                'a single one with manifest = "...", and split (a column) or test (such as 0.25)'
            )
        if self.test_share is not None:
            raise ValueError(
                f"test = {self.test:g} is a share, where train needs a second table; to have a share of one table "
                "become test, name it with manifest instead of train"
            )
        if needless := [key for key in ("manifest", "folder", "split") if getattr(self, key) is not None]:
            raise ValueError(
                f"train and test are the tables of the examples and of their splits: remove {' and '.join(needless)}"
            )

    @model_validator(mode="after")
    def _check_columns(self) -> DataConfig:
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names a class twice")
        if self.population is not None and self.unit is None and self.id is None:
            raise ValueError("population needs unit or id: the column that says whose an example is, in every run")
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("groups names a column twice")
        if self.label is not None and self.label in self.groups:
            raise ValueError(f"{self.label!r} is both label and group: every group would have one class only")
        return self


def is_text_encoding(name: str) -> bool:
    """Tell whether a name is that of an encoding of texts, which Python knows."""
    try:
        "a".encode(name)
    except (LookupError, UnicodeError):
        return False
    return True
