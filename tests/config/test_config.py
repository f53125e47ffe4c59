from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from rft.config import loader
from rft.config.path_keys import PATH
from rft.config.stored import stored_backbone
from rft.errors import ConfigError
from rft.plugins import Options
from tests.conftest import CONFIG


class Fairness(Options):
    min_group_size: int = 10


OPTIONS = {"fairness": Fairness}


MANIFEST = 'manifest = "data/images.csv"'


def load(folder: Path, text: str, *overrides: str) -> loader.LoadedConfig:
    (folder / "audit.toml").write_text(text, encoding="utf-8")
    return loader.load_config(folder / "audit.toml", list(overrides), OPTIONS)


def test_a_plain_config_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, CONFIG + "[fairness]\nmin_group_size = 5\n")
    assert loaded.core.data.groups == ["camera"]
    assert loaded.core.train.learning_rate == 0.01
    assert loaded.plugins["fairness"].model_dump()["min_group_size"] == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 5", "epoch = 5", "train.epoch: unknown key\nDid you mean 'epochs'?"),
        ("[train]", "[trian]", "unknown key 'trian'\nDid you mean 'train'?"),
        (
            "epochs = 5",
            'epochs = "5"',
            "train.epochs: expected a whole number, not the text '5'\nLeave out the quotes: epochs = 5.",
        ),
        ("epochs = 5", "epochs = 0", "train.epochs: expected 1 or more, not 0"),
        ("learning_rate = 0.01", "learning_rate = nan", "train.learning_rate"),
        (
            'optimizer = "adamw"',
            'optimizer = "adam"',
            "train.optimizer: expected 'sgd' or 'adamw', not the text 'adam'\nDid you mean 'adamw'?",
        ),
        ('name = "tiny"', 'name = "../tiny"', "name: expected letters, digits, blanks, dots"),
        ('name = "tiny"', 'name = "a"\nname = "b"', "line 2 is not valid TOML: Cannot overwrite a value"),
        ('image = "file"\n', "", "data: a manifest needs one of image, text and audio"),
        ('split = "split"\n', "", "data: give either split (a column) or test"),
        ('split = "split"\n', 'split = "split"\ntest = 0.5\n', "data: give either split (a column) or test"),
        (
            'manifest = "data/images.csv"\nimage = "file"',
            'folder = "photos"\ntext = "file"',
            "data: a folder holds images or recordings: remove text",
        ),
        ('manifest = "data/images.csv"', 'metadata = "data/images.csv"', "data: metadata is a table about the files"),
        ('manifest = "data/images.csv"\n', "", "data: give one of manifest"),
        (
            "[train]",
            "[fairness]\nmin_grop = 3\n[train]",
            "fairness.min_grop: unknown key\nDid you mean 'min_group_size'?",
        ),
        ("[train]", '[[policy]]\nfinding = "a.b"\n[train]', "policy.1: a rule needs max or min"),
        (
            "[train]",
            '[[policy]]\nfinding = "a.b"\nmaxx = 1\n[train]',
            "policy.1.maxx: unknown key\nDid you mean 'max'?",
        ),
        (
            "[model]",
            "[model]\nfreeze = 3",
            'model.freeze: expected a text in quotes, not 3\nPut it in quotes: freeze = "3".',
        ),
        (
            "[model]",
            '[model]\ntune = "bias"\nfreeze = "all"',
            'model: tune = "bias" trains nothing when freeze is "all"',
        ),
        ("[model]", "[model]\nlora = { rank = 4 }", 'model: [model.lora] needs tune = "lora"'),
        (
            "[model]",
            '[model]\nmemory = "2 gigs"',
            "model.memory: expected a size such as 2GB or 500MB, not the text '2 gigs'",
        ),
        ("[model]", '[model]\ncheckpoint = "x"', "model: give one of backbone, checkpoint and factory"),
        (
            "[model]",
            "[model]\ntrust_remote_code = true",
            "trust_remote_code: code that a model brings along is never run",
        ),
        (
            'backbone = "torchvision/resnet18"',
            'checkpoint = "x"',
            "model: a checkpoint is audited as it is: remove weights",
        ),
        ("[model]", '[model]\noutputs = "probabilities"', "classes and outputs describe a checkpoint or factory"),
        ('image = "file"', 'image = "file"\ntext = "file"', "data: a manifest needs one of image, text and audio"),
        ("epochs = 5", "EPOCHS = 5", "train.EPOCHS: unknown key\nDid you mean 'epochs'?"),
        ("[model]", "[model]\nepochs = 3", "model.epochs: unknown key\nIt is a key of [train]."),
        ("[model]", "[model]\nmin_group_size = 3", "model.min_group_size: unknown key\nIt is a key of [fairness]."),
        ("epochs = 5", "train.epochs = 5", "train.train: unknown key\nBelow [train] its keys stand alone"),
        ("[train]", '[[policy]]\nfinding = "a.b"\nmin = 1\nmax = 0.5\n[train]', "policy.1: min = 1 is above max = 0.5"),
        ('name = "tiny"', 'name = "tiny"\nepochs = 3', "unknown key 'epochs'\nIt is a key of [train]."),
        ("[train]", "[train.fairness]\n[train]", "train.fairness: unknown key\n[fairness] is a table of its own"),
        ("[train]", "[[train]]", "train: expected a table of keys and values, not a list of tables\nWrite [train], in"),
        (
            "[train]",
            '[policy]\nfinding = "a.b"\n[train]',
            "policy: expected a list in brackets, not a table\nWrite [[p",
        ),
        ("[train]", "[[policy]]\nmax = 1\n[train]", 'policy.1.finding: is missing\nAdd finding = "...".'),
        (
            'groups = ["camera"]',
            'groups = "camera"',
            "not the text 'camera'\nPut it in brackets: groups = [\"camera\"].",
        ),
        (
            "image_size = 32",
            'row_norm = "true"',
            "true or false, not the text 'true'\nLeave out the quotes: row_norm = t",
        ),
        ("epochs = 5", "class_weights = {red = -1}", "train.class_weights.red: expected a number above 0, not -1"),
        ("seed = 0", "seed = " + "9" * 5000, "is not valid TOML: Exceeds the limit"),
        ("epochs = 5", "epochs = 5\nviews = 1e308", "train.views: expected a whole number, not 1e+308"),
        ('unit = "person"', "unit = 2026-01-31", "data.unit: expected a text in quotes, not the time 2026-01-31"),
        (MANIFEST, 'train = "a.csv"', "data: train is one of two tables, and test is missing"),
        (MANIFEST, 'train = "a.csv"\ntest = 0.5', "data: test = 0.5 is a share, where train needs a second table"),
        (
            MANIFEST,
            'train = "a.csv"\ntest = "b.csv"',
            "data: train and test are the tables of the examples",
        ),
        (MANIFEST, f'{MANIFEST}\ntrain = "a.csv"\ntest = "b.csv"', "of their splits: remove manifest and split"),
        (MANIFEST, 'test = "b.csv"', "data: test names a table, and train, the other one, is missing"),
        (MANIFEST, 'validation = "b.csv"', "data: validation is a table beside train and test"),
        (
            MANIFEST,
            f"{MANIFEST}\ntest = 2.0",
            "data.test: expected a share of the examples between 0 and 1",
        ),
        (MANIFEST, f"{MANIFEST}\nseparator = ';;'", "data.separator: expected"),
        (MANIFEST, f"{MANIFEST}\nseparator = 'a'", "data.separator: expected a character that parts cells"),
        (MANIFEST, f"{MANIFEST}\nencoding = 'hex'", "data.encoding: expected an encoding of texts such as"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CONFIG
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG.replace(old, new, 1))
    assert str(caught.value).startswith("audit.toml: ")
    assert message in str(caught.value)
    assert str(caught.value).count("\n") <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('name = "a"\n[data]\nmanifest = C:\\x.csv\n', "line 3 is not valid TOML: Invalid value in 'manifest = "),
        ('[data]\nfolder = "C:\\Users"\n', "line 2 is not valid TOML: Invalid hex value in 'folder = \"C:"),
        ("[train]\nepochs = 1\nepochs = 2\n", "value in 'epochs = 2'\nEach key is given once in its table"),
        ("[train]\nepochs = 1\n[train]\n", "in '[train]'\nEach table is given once"),
        ("[train]\nepochs\n", "in 'epochs'\nEach line is key = value"),
        ("[train\n", "in '[train'\nA heading ends with ]"),
        ('[train]\nepochs = 1\nfreeze = "all\n', "in 'freeze = \"all'\nA text ends in the line that it begins in"),
        ("[train]\nviews = True\n", "in 'views = True'\nTexts stand in quotes"),
    ],
)
def test_what_is_no_toml_is_shown_with_its_line_and_what_to_do(tmp_path: Path, content: str, message: str) -> None:
    for line_end in ("\n", "\r\n"):
        (tmp_path / "audit.toml").write_bytes(content.replace("\n", line_end).encode())
        with pytest.raises(ConfigError) as caught:
            loader.load_config(tmp_path / "audit.toml", [], OPTIONS)
        assert message in str(caught.value)
        assert str(caught.value).count("\n") <= 1


def test_a_byte_order_mark_and_windows_line_ends_are_read_and_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CONFIG.replace("\n", "\r\n").encode())
    assert loader.load_config(path, [], OPTIONS).core.train.epochs == 5
    path.write_bytes(CONFIG.replace('"red"', '"caf\u00e9"').encode("latin-1"))
    with pytest.raises(ConfigError, match="line 8 is no UTF-8\nSave the file as UTF-8"):
        loader.load_config(path, [], OPTIONS)


def test_an_override_without_a_value_takes_a_key_out(tmp_path: Path) -> None:
    loaded = load(tmp_path, CONFIG + "[fairness]\nmin_group_size = 5\n", "data.unit=", "train.epochs=", "fairness=")
    assert (loaded.core.data.unit, loaded.core.train.epochs, loaded.plugins) == (None, None, {})
    assert "unit" not in loaded.public()["data"]
    assert load(tmp_path, CONFIG, "train.views=").core.train.views == 1  # it was not there


def test_a_key_without_effect_can_be_taken_out_for_one_run_as_its_error_says(tmp_path: Path) -> None:
    text = CONFIG.replace('unit = "person"', 'unit = "person"\npopulation = "people"')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert "data.population: has no effect here" in str(caught.value)
    override = str(caught.value).partition("--set ")[2].split()[0]
    assert override == "data.population="
    assert load(tmp_path, text, override).core.data.population is None


def test_tables_of_splits_are_stored_without_what_their_paths_tell(tmp_path: Path) -> None:
    config = CONFIG.replace(MANIFEST, 'train = "/home/ann/a.csv"\ntest = "b/*.csv"').replace('split = "split"\n', "")
    data: Any = load(tmp_path, config).public()["data"]
    assert (data["train"], data["test"]) == ("a.csv", "b/*.csv")


def test_overrides_are_read_as_toml_or_as_a_bare_word(tmp_path: Path) -> None:
    loaded = load(tmp_path, CONFIG, "train.epochs=7", "model.weights=pretrained", 'data.groups=["person"]', "seed=3")
    assert (loaded.core.train.epochs, loaded.core.model.weights, loaded.core.seed) == (7, "pretrained", 3)
    assert loaded.core.data.groups == ["person"]
    with pytest.raises(ConfigError, match="expected table"):
        load(tmp_path, CONFIG, "train.epochs")
    with pytest.raises(ConfigError, match="is not a table"):
        load(tmp_path, CONFIG, "name.first=x")


def test_the_hash_follows_the_content_and_not_the_layout(tmp_path: Path) -> None:
    plain = load(tmp_path, CONFIG).sha256
    assert load(tmp_path, "# a comment\n" + CONFIG).sha256 == plain
    assert load(tmp_path, CONFIG, "seed=1").sha256 != plain


def test_an_override_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set: 'data.positive=caf\\udce9' is no UTF-8"):
        load(tmp_path, CONFIG, "data.positive=caf\udce9")


def test_the_hash_tells_nothing_of_what_is_cut_from_paths(tmp_path: Path) -> None:
    first, second = (load(tmp_path, CONFIG, f'data.manifest="/home/{name}/images.csv"') for name in ("ann", "bea"))
    assert first.sha256 == second.sha256
    assert load(tmp_path, CONFIG, 'data.manifest="/home/ann/others.csv"').sha256 != first.sha256


def test_stored_paths_never_leave_the_folder_of_the_config(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "images.csv"
    loaded = load(tmp_path, CONFIG, f'data.manifest="{outside}"', 'model.weights="../up/w.safetensors"')
    public: Any = loaded.public()
    assert public["data"]["manifest"] == "elsewhere/images.csv"
    assert public["model"]["weights"] == "w.safetensors"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        loader.load_config(tmp_path / "none.toml", [], OPTIONS)
    with pytest.raises(ConfigError, match="is a folder"):
        loader.load_config(tmp_path, [], OPTIONS)


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("my faces", "audit.toml", "my faces"),
        ("faces", "pilot 2.toml", "pilot 2"),
        ("Räume (1)", "audit.toml", "Räume -1"),
    ],
)
def test_a_config_without_a_name_is_called_after_its_file_or_folder(
    tmp_path: Path, folder: str, file: str, name: str
) -> None:
    path = tmp_path / folder / file
    path.parent.mkdir()
    path.write_text(CONFIG.replace('name = "tiny"\n', ""), encoding="utf-8")
    loaded = loader.load_config(path, [], {})
    assert loaded.core.name == loaded.public()["name"] == name


def test_a_policy_can_stand_alone_or_in_a_whole_config(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[policy]]\nfinding = "performance.accuracy"\nmin = 0.8\n', encoding="utf-8")
    assert loader.load_policy(path)[0].bounds == {"min": 0.8}
    path.write_text(CONFIG, encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no"):
        loader.load_policy(path)


def test_what_is_frozen_follows_from_what_is_tuned(tmp_path: Path) -> None:
    assert load(tmp_path, CONFIG).core.model.frozen == "all"
    assert load(tmp_path, CONFIG, "model.tune=bias").core.model.frozen == "none"
    assert load(tmp_path, CONFIG, "model.tune=lora", "model.freeze=layer4").core.model.frozen == "layer4"


@pytest.mark.parametrize(("size", "bytes_"), [("2GB", 2 * 10**9), ("500MB", 5 * 10**8), ("1.5GiB", 3 * 2**29)])
def test_sizes_are_read_with_their_units(tmp_path: Path, size: str, bytes_: int) -> None:
    assert load(tmp_path, CONFIG, f"model.memory={size}").core.model.memory_bytes == bytes_


def test_views_are_of_images_only(tmp_path: Path) -> None:
    texts = CONFIG.replace('image = "file"', 'text = "file"')
    with pytest.raises(ConfigError, match=r"model\.image_size: has no effect here"):
        load(tmp_path, texts)
    texts = texts.replace("image_size = 32\n", "")
    assert load(tmp_path, texts).core.data.modality == "text"
    with pytest.raises(ConfigError, match=r"train\.views: has no effect here: it is about images"):
        load(tmp_path, texts, "train.views=2")


def test_a_model_of_others_is_not_trained(tmp_path: Path) -> None:
    external = CONFIG.split("[model]")[0] + '[model]\nfactory = "models:build"\nclasses = ["a", "b"]\n'
    assert load(tmp_path, external).core.model.external
    with pytest.raises(ConfigError, match=r"remove \[train\]"):
        load(tmp_path, external + "[train]\nepochs = 3\n")
    with pytest.raises(ConfigError, match=r"model\.factory: expected \"package\.module:function\""):
        load(tmp_path, external, "model.factory=models")


def test_a_backbone_that_is_a_folder_of_this_machine_is_stored_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "outside" / "bert").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    backbone = f"transformers/{tmp_path / 'outside' / 'bert'}"
    loaded = load(tmp_path / "project", CONFIG, f"model.backbone={backbone}")
    public: Any = loaded.public()
    assert public["model"]["backbone"] == "transformers/bert"
    assert stored_backbone("transformers/google/vit", tmp_path) == "transformers/google/vit"


class _Mark(Options):
    picture: Annotated[str | None, PATH] = None
    name: str = ""


class _Marks(Options):
    picture: Annotated[str | None, PATH] = None
    mark: list[_Mark] = Field(default=[])


def test_paths_of_plugins_are_absolute_for_them_and_cut_in_records_in_lists_of_tables_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    tables = '[marks]\npicture = "a.png"\n[[marks.mark]]\nname = "a"\npicture = "b/c.png"\n[[marks.mark]]\n'
    path.write_text(CONFIG + tables + 'name = "/home/ann"\npicture = "/home/ann/d.png"\n', encoding="utf-8")
    loaded = loader.load_config(path, [], {"marks": _Marks})
    marks: Any = loaded.plugins["marks"]
    assert (marks.picture, marks.mark[0].picture) == (str(tmp_path / "a.png"), str(tmp_path / "b/c.png"))
    assert (marks.mark[1].name, marks.mark[1].picture) == ("/home/ann", "/home/ann/d.png")
    public: Any = loaded.public()["marks"]
    assert (public["picture"], public["mark"][0]) == ("a.png", {"name": "a", "picture": "b/c.png"})
    assert public["mark"][1] == {"name": "/home/ann", "picture": "d.png"}
