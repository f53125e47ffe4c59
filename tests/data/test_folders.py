"""What is an example in a folder, and what is counted and named for not being one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from rft.cli.main import app
from rft.config.schema import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.splits import split_named
from rft.errors import DataError


def fill_folder(folder: Path, n: int = 3, suffix: str = "png") -> Path:
    """Write ``n`` small images, no two alike, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n):
        colour = tuple(os.urandom(3))
        Image.new("RGB", (8, 8), colour).save(folder / f"{number:03}.{suffix}")
    return folder


def write_photos(root: Path, *places: str, n: int = 3) -> Path:
    for place in places:
        fill_folder(root / "photos" / place, n)
    return root / "photos"


def read_photos(root: Path, **changes: object) -> Dataset:
    return read_dataset(DataConfig(folder="photos", **changes), root, 0)


def split_sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def remark_values(dataset: Dataset) -> dict[str, int]:
    return {remark.id: remark.value for remark in dataset.remarks}


def remark_text(dataset: Dataset, name: str) -> str:
    (remark,) = (remark for remark in dataset.remarks if remark.id == name)
    return remark.description


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "training_set", "trainset", "train2017")),
        *((name, "validation") for name in ("validation", "VAL", "valid", "Dev", "val2017", "dev-set", "valid images")),
        *((name, "test") for name in ("test", "Testing", "EVAL", "holdout", "hold-out", "Held Out", "test_set")),
        *((name, None) for name in ("trains", "contest", "cat", "set", "", "devil", "intest", "train test", "fold1")),
    ],
)
def test_splits_are_known_by_their_usual_names(name: str, split: str | None) -> None:
    assert split_named(name) == split


class TestSplitFolders:
    @pytest.mark.parametrize(
        ("train", "validation", "test"),
        [("train", "valid", "test"), ("Train", "VAL", "Testing"), ("training_set", "dev", "holdout")],
    )
    def test_validation_is_kept_apart(self, tmp_path: Path, train: str, validation: str, test: str) -> None:
        for split, n in ((train, 5), (validation, 4), (test, 3)):
            write_photos(tmp_path, f"{split}/circle", f"{split}/square", n=n)
        dataset = read_photos(tmp_path)
        assert dataset.classes == ("circle", "square")
        assert split_sizes(dataset) == {"train": 10, "validation": 8, "test": 6}
        assert f"{validation}/circle/000.png" in dataset.splits["validation"].ids
        assert f"{validation!r} as validation" in remark_text(dataset, "split_names")

    def test_two_folders_of_one_split_are_joined_with_a_warning(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "train/a", "train/b", "val/a", "valid/b", "test/a", "test/b")
        dataset = read_photos(tmp_path)
        assert split_sizes(dataset)["validation"] == 6
        (remark,) = dataset.remarks
        assert remark.status == "warn"
        assert "'val' and 'valid' as validation" in remark.description

    def test_system_folders_beside_splits_are_ignored(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "train/a", "train/b", "test/a", "test/b")
        for place in ("__MACOSX/train/a", ".git/objects", "@eaDir/a", "train/@eaDir", "train/a/.ipynb_checkpoints"):
            fill_folder(tmp_path / "photos" / place, 2)
        for name in (".DS_Store", "Thumbs.db", "train/desktop.ini", "train/a/Thumbs.db", "test/b/.DS_Store"):
            (tmp_path / "photos" / name).write_bytes(b"\0")
        dataset = read_photos(tmp_path)
        assert dataset.classes == ("a", "b")
        assert split_sizes(dataset) == {"train": 6, "test": 6}
        assert remark_values(dataset) == {"hidden_images": 10}
        assert ".git, .ipynb_checkpoints, @eaDir and __MACOSX" in remark_text(dataset, "hidden_images")

    @pytest.mark.parametrize(
        ("places", "said"),
        [
            (["train/a", "train/b", "valid/a", "valid/b"], "no folder for test"),
            (["test/a", "test/b", "val/a"], "no folder for train"),
            (["train/a", "train/b"], "no folder for test"),
            (["train/a", "train/b", "test/a", "test/b", "extra/a"], "holds extra/ beside the splits"),
            (["train/a", "train/b", "test/a", "test/b", "samples"], "holds samples/ beside the splits"),
            (["train", "test"], "test/ and train/ are called after splits, but"),
            (["train/a", "train/b", "test"], "test/ holds images without class sub-folders"),
            (["siteA/a", "siteA/b", "siteB/a", "siteB/b"], "siteA/ and siteB/ hold only the same folders, a/ and b/"),
            (["siteA/a", "siteA/b", "siteB/A"], "hold only the same folders"),
            (["a/train", "a/test", "b/train", "b/test"], "Expected the splits outside and the classes within"),
            (["train/images/a", "train/images/b", "test/images/a", "test/images/b"], "nothing but the folder images/"),
            (["data/a", "data/b"], 'set data.folder = "photos/data"'),
            (["train/a", "train/b", "test/a", "test/c"], "the label 'c' is in no training example"),
            (["train/Circle", "train/b", "test/circle", "test/b"], "Did you mean 'Circle'?"),
        ],
    )
    def test_what_is_no_clear_layout_is_refused(self, tmp_path: Path, places: list[str], said: str) -> None:
        write_photos(tmp_path, *places)
        with pytest.raises(DataError) as refused:
            read_photos(tmp_path)
        assert said in str(refused.value)

    def test_a_fraction_beside_splits_is_refused(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "train/a", "train/b", "Test/a", "Test/b")
        with pytest.raises(DataError, match=r"has Test/ and train/ folders, so data\.test has nothing to say"):
            read_photos(tmp_path, test=0.5)

    def test_a_class_that_only_train_has_is_a_class(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "train/a", "train/b", "train/c", "test/a", "test/b")
        (tmp_path / "photos" / "test" / "c").mkdir()
        dataset = read_photos(tmp_path)
        assert dataset.classes == ("a", "b", "c")
        assert "from test/c: there is no image" in remark_text(dataset, "empty_folders")

    def test_images_beside_the_classes_of_a_split_are_counted(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path, "train/a", "train/b", "test/a", "test/b", "train", n=2)
        (root / "val").mkdir()
        (root / "annotations").mkdir()
        (root / "annotations" / "a.xml").write_text("<x/>")
        dataset = read_photos(tmp_path)
        assert split_sizes(dataset) == {"train": 4, "test": 4}
        assert remark_values(dataset) == {"loose_images": 2, "empty_folders": 2}
        assert "annotations and val" in remark_text(dataset, "empty_folders")

    def test_a_model_of_others_needs_no_train(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "Testing/a", "Testing/b")
        dataset = read_dataset(DataConfig(folder="photos"), tmp_path, 0, external=True)
        assert split_sizes(dataset) == {"test": 6}
        assert dataset.classes == ("a", "b")


class TestClassFolders:
    def test_a_class_may_be_called_like_a_split(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "train", "bus", "tram", n=8)
        dataset = read_photos(tmp_path, test=0.5)
        assert dataset.classes == ("bus", "train", "tram")
        assert sum(split_sizes(dataset).values()) == 24

    def test_a_class_may_have_folders_of_its_own(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "dog/beagle", "dog/poodle/young", "cat/siamese", n=8)
        dataset = read_photos(tmp_path, test=0.5)
        assert dataset.classes == ("cat", "dog")
        assert sum(split_sizes(dataset).values()) == 24

    def test_one_folder_in_each_class_is_part_of_it(self, tmp_path: Path) -> None:
        write_photos(tmp_path, "a/images", "b/images", n=8)
        assert read_photos(tmp_path, test=0.5).classes == ("a", "b")

    def test_what_is_left_out_is_counted_and_named(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        root = write_photos(tmp_path, "a", "b", n=8)
        for name in ("a/notes.txt", "a/labels.json", "b/IMG_1", "b/more.txt"):
            (root / name).write_text("no image")
        (root / "c").mkdir()
        (root / "README.md").write_text("about")
        Image.new("RGB", (8, 8)).save(root / "loose.png")
        dataset = read_photos(tmp_path, test=0.5)
        assert dataset.classes == ("a", "b")
        assert remark_values(dataset) == {"left_out_files": 4, "empty_folders": 1, "loose_images": 1}
        assert "1 .json in a" in remark_text(dataset, "left_out_files")
        assert "1 without a suffix in b" in remark_text(dataset, "left_out_files")
        assert remark_text(dataset, "empty_folders") == "Nothing was read from c: there is no image."
        for name in ("b/IMG_1", "a/notes.txt", "photos/loose.png"):
            assert name in caplog.text

    def test_suffixes_count_in_any_case(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path, "a", "b", n=8)
        for path in list((root / "a").iterdir()):
            path.rename(path.with_suffix(".PNG"))
        fill_folder(root / "b" / "more", 4, "jpeg")
        dataset = read_photos(tmp_path, test=0.5)
        assert sum(split_sizes(dataset).values()) == 20
        assert not dataset.remarks

    def test_heic_stops_the_run_with_the_way_to_convert(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path, "a", "b", n=8)
        (root / "c").mkdir()
        for number in range(5):
            (root / "c" / f"x{number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + os.urandom(40))
        with pytest.raises(DataError, match=r"c/x0\.heic: is of the kind HEIC, which is not read\nConvert it to JPEG"):
            read_photos(tmp_path, test=0.5)

    def test_heic_is_counted_with_its_class_where_it_may_be_left_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.test_heic_stops_the_run_with_the_way_to_convert(tmp_path)
        dataset = read_photos(tmp_path, test=0.5, on_error="skip")
        assert dataset.skipped == 5
        assert remark_values(dataset) == {"unreadable_items": 5, "lost_classes": 1}
        assert "5 of 21 examples were left out because their item cannot be read: 5 of c." in remark_text(
            dataset, "unreadable_items"
        )
        assert "No example of c can be read" in remark_text(dataset, "lost_classes")
        assert "c/x4.heic: is of the kind HEIC" in caplog.text

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"\0\0\0\x18ftypheic0000", "is of the kind HEIC"),
            (b"<!DOCTYPE html><p>404", "is of the kind HTML"),
            (b"%PDF-1.7", "is of the kind PDF"),
            (b"", "it is empty"),
            (b"hello", "it is of no kind that is read"),
        ],
    )
    def test_a_file_that_is_called_jpg_says_what_it_is(self, tmp_path: Path, content: bytes, said: str) -> None:
        root = write_photos(tmp_path, "a", "b", n=8)
        (root / "a" / "x.jpg").write_bytes(content)
        with pytest.raises(DataError) as refused:
            read_photos(tmp_path, test=0.5)
        assert "a/x.jpg" in str(refused.value)
        assert said in str(refused.value)
        assert str(tmp_path) not in str(refused.value)

    def test_links_are_followed_but_not_in_circles(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path, "a", "b", n=8)
        elsewhere = fill_folder(tmp_path / "elsewhere", 4)
        (root / "a" / "linked").symlink_to(elsewhere)
        (root / "c").symlink_to(fill_folder(tmp_path / "other", 8))
        (root / "a" / "circle").symlink_to(root / "a")
        dataset = read_photos(tmp_path, test=0.5)
        assert dataset.classes == ("a", "b", "c")
        assert sum(split_sizes(dataset).values()) == 28
        (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        with pytest.raises(DataError, match=r"b/gone\.png: no such image"):
            read_photos(tmp_path, test=0.5)

    def test_a_folder_that_may_not_be_opened_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_photos(tmp_path, "a", "b")
        scan = os.scandir

        def scan_or_refuse(path: Path) -> object:
            if Path(path).name == "b":
                raise PermissionError(13, "Permission denied")
            return scan(path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", scan_or_refuse)
            with pytest.raises(DataError, match=r"photos/b: cannot be opened: Permission denied"):
                read_photos(tmp_path)

    def test_a_folder_without_images_says_what_it_holds(self, tmp_path: Path) -> None:
        (tmp_path / "photos" / "a").mkdir(parents=True)
        for name in ("a/x.npy", "a/y.npy", "notes.txt"):
            (tmp_path / "photos" / name).write_bytes(b"\0")
        with pytest.raises(DataError, match=r"holds no images in class sub-folders; it holds 2 \.npy and 1 \.txt"):
            read_photos(tmp_path)

    @pytest.mark.parametrize("name", [b"a\xff.png"])
    def test_a_name_that_is_no_text_is_refused(self, tmp_path: Path, name: bytes) -> None:
        root = write_photos(tmp_path, "a", "b")
        os.rename(root / "a" / "000.png", os.fsencode(root / "a") + b"/" + name)
        with pytest.raises(DataError, match=r"the name of a/a\\udcff\.png is no UTF-8"):
            read_photos(tmp_path)


def test_a_run_says_what_was_kept_apart_and_left_out(tmp_path: Path) -> None:
    for split, n in (("train", 12), ("valid", 3), ("test", 6)):
        write_photos(tmp_path, f"{split}/circle", f"{split}/square", n=n)
    (tmp_path / "photos" / "train" / "circle" / "secret-name.txt").write_text("no image")
    (tmp_path / "audit.toml").write_text(
        'name = "t"\n[data]\nfolder = "photos"\n[model]\nbackbone = "torchvision/resnet18"\nweights = "random"\n'
        'image_size = 32\nprecision = "float32"\n[train]\nepochs = 1\n',
        encoding="utf-8",
    )
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "audit.toml"), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert re.search(r"Data +Examples in validation: 6\n", result.stdout)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "6 of 42 examples are in validation" in report
    assert "that are no images by their suffix were left out: 1 .txt in train/circle." in report
    assert "secret-name" not in report  # names are for the terminal
