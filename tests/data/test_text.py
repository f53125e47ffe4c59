"""Texts: what is refused and counted, and how they become tokens."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from rft.config.schema import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.text import TextInputs, TextPreprocessing, text_digest
from rft.errors import DataError, ModelError
from rft.records import Split

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]


def letter_tokenizer(*, lower: bool = True, ends: bool = True, unknown: bool = True) -> Any:
    """Return a tokenizer with one token for each word of one letter."""
    words = [word for word in WORDS if unknown or word != "[UNK]"]
    model = models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]")
    word_tokenizer = Tokenizer(model)
    word_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if lower:
        word_tokenizer.normalizer = normalizers.Lowercase()
    if ends:
        marks = [("[CLS]", 2), ("[SEP]", 3)]
        word_tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return hf.PreTrainedTokenizerFast(tokenizer_object=word_tokenizer, pad_token="[PAD]")


def byte_tokenizer() -> Any:
    """Return a tokenizer of bytes, which merges some: a long word is one piece of work for it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "b"), ("ab", "ab"), ("abab", "abab")]
    words = ["[PAD]", *alphabet, *("".join(pair) for pair in merges)]
    word_tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    word_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return hf.PreTrainedTokenizerFast(tokenizer_object=word_tokenizer, pad_token="[PAD]")


def text_inputs(texts: list[str], tokenizer: Any | None = None, max_length: int = 8) -> TextInputs:
    ids = np.arange(len(texts)).astype(str).astype(object)
    split = Split("train", ids, texts, np.zeros(len(texts), np.int64))
    return TextInputs({"train": split}, TextPreprocessing(tokenizer or letter_tokenizer(), max_length))


# ---------------------------------------------------------------- texts in a manifest


def text_rows(changed: object = "w", at: int = 3) -> list[dict[str, object]]:
    records: list[dict[str, object]] = [
        {"body": f"words {number}", "mood": ("good", "poor")[number % 2], "part": "train" if number < 6 else "test"}
        for number in range(10)
    ]
    records[at]["body"] = changed
    return records


def write_manifest(path: Path, content: list[dict[str, object]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    elif path.suffix == ".parquet":
        pd.DataFrame(content).to_parquet(path)
    else:
        pd.DataFrame(content).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def texts_of(path: Path, **changes: object) -> Dataset:
    return read_dataset(
        DataConfig(manifest=path.name, text="body", label="mood", split="part", **changes), path.parent, 0
    )


KINDS = ("csv", "tsv", "jsonl", "parquet")
ODD = 'He said: "it\'s, well\n ok"\t– \u2028 naïve 日本 👍🏽 \x85'  # quotes, commas, and all that may end a line


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_read_as_they_stand(tmp_path: Path, kind: str) -> None:
    dataset = texts_of(write_manifest(tmp_path / f"t.{kind}", text_rows(ODD)))
    assert dataset.splits["train"].items[3] == ODD
    assert dataset.classes == ("good", "poor")
    (manifest,) = dataset.inputs  # the manifest holds the texts: its hash covers them
    assert manifest.path == f"t.{kind}"
    assert len(set(dataset.splits["train"].digests)) == 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \t\n ", "(line|row) [45]: the text is empty"),
        ("\u2003\u00a0", "(line|row) [45]: the text is empty"),
        ("abc\0def", r"(line|row) [45]: holds the character U\+0000: this looks like binary data"),
        ("\x89PNG\r\n\x1a\n", r"(line|row) [45]: holds the character U\+001A: this looks like binary data"),
    ],
)
def test_empty_and_binary_texts_stop_the_run_or_are_counted(tmp_path: Path, kind: str, text: str, message: str) -> None:
    path = write_manifest(tmp_path / f"t.{kind}", text_rows(text))
    with pytest.raises(DataError, match=message) as caught:
        texts_of(path)
    assert str(caught.value).startswith(f"t.{kind}")
    assert 'data.on_error = "skip"' in str(caught.value)
    dataset = texts_of(path, on_error="skip")
    assert dataset.skipped == dataset.facts().skipped == 1
    assert len(dataset.splits["train"]) == 5
    assert text not in dataset.splits["train"].items


def test_half_a_pair_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in text_rows("ab\ud83d")), encoding="utf-8")  # escaped
    with pytest.raises(DataError, match=r"t\.jsonl, line 4: holds the character half of a surrogate pair"):
        texts_of(path)
    assert texts_of(path, on_error="skip").skipped == 1


def test_classes_that_lose_all_their_texts_are_named(tmp_path: Path) -> None:
    content = [row | {"body": ""} if row["mood"] == "poor" else row for row in text_rows()]
    with pytest.raises(DataError, match="training has one class only"):
        texts_of(write_manifest(tmp_path / "t.csv", content), on_error="skip")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "body,mood,part\ncafé,good,train\n".encode("latin-1"), "Save it as UTF-8"),
        ("t.csv", "body,mood,part\nw,good,train\n".encode("utf-16-le"), "Save it as UTF-8"),
        ("t.csv", bytes(range(256)) * 9, "Save it as UTF-8"),
        ("t.jsonl", b"\xff\xfe\x00", "Save it as UTF-8"),
        ("t.jsonl", b'{"body": "w"\n', "line 1 is no JSON"),
        ("t.jsonl", b"[" * 100_000, "cannot be read"),
        ("t.jsonl", b"5\n", "holds int; expected an object"),
        ("t.parquet", b"PAR1" * 9, "cannot be read"),
        ("t.csv", b'body,mood,part\n"w",good,train\n"w,good,bad,train\n', "line 3 is never closed"),
    ],
)
def test_files_that_are_no_table_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        texts_of(tmp_path / name)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(("value", "kind"), [(["a", "b"], "list"), ({"a": 1}, "dict")])
def test_cells_that_are_no_texts_are_refused(tmp_path: Path, value: object, kind: str) -> None:
    path = write_manifest(tmp_path / "t.jsonl", text_rows(value))
    with pytest.raises(DataError, match=rf"t\.jsonl, line 4: column 'body' holds {kind}; expected a text or a number"):
        texts_of(path)
    elsewhere = [row | {"other": value} for row in text_rows()]
    assert len(texts_of(write_manifest(tmp_path / "u.jsonl", elsewhere)).splits["train"]) == 6


def test_bytes_in_parquet_are_refused(tmp_path: Path) -> None:
    content = [row | {"body": str(row["body"]).encode()} for row in text_rows()]
    with pytest.raises(DataError, match="column 'body' holds bytes"):
        texts_of(write_manifest(tmp_path / "t.parquet", content))


def test_a_text_of_a_megabyte_is_data_like_any_other(tmp_path: Path) -> None:
    long = "many words " * 95_000
    dataset = texts_of(write_manifest(tmp_path / "t.csv", text_rows(long)))
    assert len(dataset.splits["train"].items[3]) > 10**6
    assert text_digest(long) == dataset.splits["train"].digests[3]


# ---------------------------------------------------------------- tokens


def test_batches_are_padded_on_the_right_to_their_longest_text() -> None:
    reader = text_inputs(["a b c", "A", "z y x w v"])
    first, second = reader.batches(reader.splits["train"].items, [[1, 0], [2]])
    assert first["input_ids"].tolist() == [[2, 4, 3, 0, 0], [2, 4, 5, 6, 3]]
    assert first["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert second["input_ids"].tolist() == [[2, 29, 28, 27, 26, 25, 3]]
    assert reader.batch("train", [1])["input_ids"].tolist() == [[2, 4, 3]]
    assert reader.lengths(["a b c", "A"]).tolist() == [5, 3]
    assert list(reader.batches(reader.splits["train"].items, [])) == []


def test_long_texts_are_cut_and_counted() -> None:
    reader = text_inputs(["a b c d e f", "a b c d e f g", "g f e d c b a " * 3])
    assert reader.truncated == {"train": 2}
    assert reader.lengths(reader.splits["train"].items).tolist() == [8, 8, 8]
    ids = reader.batch("train", [1])["input_ids"][0].tolist()
    assert ids == [2, 4, 5, 6, 7, 8, 9, 3]  # the end of the text is lost, its mark is not


@pytest.mark.parametrize("tokenizer", [letter_tokenizer(), byte_tokenizer()], ids=["words", "bytes"])
@pytest.mark.parametrize(
    "text", [pytest.param("a b " * 250_000, marks=pytest.mark.slow), "ab" * 500_000], ids=["words", "one word"]
)
def test_a_text_of_a_megabyte_is_cut_quickly(tokenizer: Any, text: str) -> None:
    start = time.monotonic()
    reader = text_inputs(["a", text], tokenizer)
    batch = reader.batch("train", [0, 1])
    cut = reader.truncated["train"]
    assert time.monotonic() - start < 10
    assert batch["input_ids"].shape[1] <= 8
    single = len(tokenizer(text)["input_ids"]) <= 8  # a word that is not known is one token, however long
    assert cut == (0 if single else 1)


def test_texts_without_any_token_are_refused() -> None:
    tokenizer = letter_tokenizer(ends=False)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("0", "")
    with pytest.raises(DataError, match="1 texts have no tokens in this backbone's tokenizer"):
        text_inputs(["a", "00"], tokenizer).lengths(["a"])


def test_a_tokenizer_that_fails_on_a_text_is_an_error_for_the_user() -> None:
    reader = text_inputs(["a", "é"], letter_tokenizer(unknown=False))  # it has no token for what it does not know
    for use in (lambda: reader.lengths(["a"]), lambda: reader.batch("train", [1])):
        with pytest.raises(ModelError, match=r"model\.backbone: the tokenizer fails on a text: .*\[UNK\]"):
            use()


def test_facts_follow_the_tokenizer_and_not_its_use() -> None:
    first = TextPreprocessing(letter_tokenizer(), 8)
    facts = first.facts()
    assert facts.vocabulary == 30
    used = letter_tokenizer()
    used(["a b c", "d"], padding=True, truncation=True, max_length=2)  # which the tokenizer remembers
    assert TextPreprocessing(used, 8).facts() == facts
    extended = letter_tokenizer()
    extended.add_tokens(["new"])
    others = [
        TextPreprocessing(letter_tokenizer(lower=False), 8),
        TextPreprocessing(letter_tokenizer(ends=False), 8),
        TextPreprocessing(byte_tokenizer(), 8),
        TextPreprocessing(extended, 8),
        TextPreprocessing(letter_tokenizer(), 9),
    ]
    assert len({preprocessing.facts().model_dump_json() for preprocessing in (first, *others)}) == 6
    assert len({preprocessing.facts().tokenizer_sha256 for preprocessing in (first, *others)}) == 5
