"""Rules of the project that its own code must keep."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from rft import references
from tests.support import ROOT, draw_rooms, house_counts
from tests.support.sources import parse_file

SOURCE = ROOT / "rft"

# Imports point down: a room may import from those of a lower number, and from its own.
LEVELS = {
    "__main__": 14,
    "cli": 13,
    "callback": 12,
    "demo": 12,
    "export": 8,
    "starter": 8,
    "__init__": 11,  # the public names
    "api": 10,
    "pipeline": 9,
    "run": 8,
    "signing": 8,
    "plugins": 7,
    "report": 7,
    "training": 6,
    "features": 5,
    "models": 5,
    "backbones": 4,
    "data": 3,
    "predictions": 3,
    "verdict": 3,
    "config": 2,
    "disclosure": 2,
    "stats": 2,
    "records": 1,
    "runtime": 1,
    "errors": 0,
    "expectations": 0,
    "number_format": 0,
    "references": 0,
    "version": 0,
    "visible": 0,
}
MOST_FILES, MOST_LINES = 13, 450
BUILT = ("Finding", "Figure", "not_measured")  # what has a builder, outside of which nobody calls it
EXTRAS = {
    "opacus",
    "dp_accounting",
    "fairlearn",
    "captum",
    "timm",
    "transformers",
    "huggingface_hub",
    "peft",
    "torchao",
    "securesystemslib",
    "cryptography",
    "weasyprint",
    "openpyxl",
    "soundfile",
    "soxr",
    "av",
    "rapidfuzz",
    "whisper_normalizer",
    "fsspec",
    "ray",
}
AT_HOME = {
    "opacus": ("rft/plugins/privacy/",),
    "dp_accounting": ("rft/plugins/privacy/",),
    "fairlearn": ("rft/plugins/fairness/",),
    "captum": ("rft/plugins/attribution/",),
    "timm": ("rft/backbones/sources/timm.py",),
    "transformers": ("rft/backbones/sources/transformers.py", "rft/models/checkpoint.py", "rft/callback.py"),
    "huggingface_hub": (
        "rft/backbones/sources/hub.py",
        "rft/backbones/sources/timm.py",
        "rft/backbones/sources/snapshot.py",
    ),
    "peft": ("rft/backbones/partition/lora.py",),
    "openpyxl": ("rft/data/tables/kinds/excel.py",),
    "soundfile": ("rft/data/audio/decoding.py",),
    "soxr": ("rft/data/audio/preprocessing.py",),
    "av": ("rft/data/audio/foreign.py",),
    "weasyprint": ("rft/report/render/pdf.py",),
    "rapidfuzz": ("rft/data/transcripts/alignment.py",),
    "whisper_normalizer": ("rft/data/transcripts/normalizers.py",),
    "torchao": ("rft/backbones/partition/quantization.py",),
    "securesystemslib": ("rft/signing/",),
    "cryptography": ("rft/signing/",),
    "fsspec": ("rft/runtime/remote/files.py",),
    "ray": ("rft/features/cluster/",),
}


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Return (module, whether it is imported for types only) of each import, deferred ones included."""
    tree = parse_file(path)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported += [(node.module, id(node) in typing_only)]
            imported += [(f"{node.module}.{name.name}", id(node) in typing_only) for name in node.names]
        elif isinstance(node, ast.Import):
            imported += [(name.name, id(node) in typing_only) for name in node.names]
    return imported


def imports_of_rooms(path: Path) -> list[tuple[str, str]]:
    """Return (room, module) of each import of another room of rft."""
    crossing = []
    for module, _ in imports_of(path):
        parts = module.split(".")
        if parts[0] == "rft" and len(parts) > 1:
            named = parts[1] if parts[1] in LEVELS else "__init__"
            crossing += [(named, module)] if named != room_of(path) else []
    return crossing


def test_imports_point_down() -> None:
    offenders = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files()
        for named, module in imports_of_rooms(path)
        if LEVELS[named] >= LEVELS[room_of(path)]
    ]
    assert offenders == []


# Public places that hold a dictionary of anything, each with its reason.
UNTYPED = {
    "rft/backbones/batch.py: Kwargs",  # the arguments of a call, as torch's hooks see them
}
_ANYTHING = re.compile(r"\b(?:dict|Dict|Mapping|MutableMapping)\[str, Any\]")


def untyped_dictionaries(source: str) -> list[str]:
    """Return the public names of a module whose parameters, result, field or alias is a dictionary of anything."""
    annotated = []
    scopes: list[tuple[str, list[ast.stmt]]] = [("", ast.parse(source).body)]
    while scopes:
        prefix, body = scopes.pop()
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                scopes.append((f"{prefix}{node.name}.", node.body))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                annotations = [node.returns, *(argument.annotation for argument in arguments)]
                annotated += [(f"{prefix}{node.name}", annotation) for annotation in annotations if annotation]
            elif isinstance(node, ast.AnnAssign):
                annotated.append((f"{prefix}{ast.unparse(node.target)}", node.annotation))
            elif isinstance(node, ast.Assign):
                annotated += [(f"{prefix}{ast.unparse(target)}", node.value) for target in node.targets]
    public = [(name, kind) for name, kind in annotated if not re.search(r"(?:^|\.)_(?!_init__$|_call__$)", name)]
    return [name for name, kind in public if _ANYTHING.search(ast.unparse(kind))]


def test_no_dictionary_of_anything_is_public() -> None:
    offenders = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files()
        for name in untyped_dictionaries(path.read_text(encoding="utf-8"))
    }
    assert offenders == UNTYPED


def test_a_dictionary_of_anything_is_found() -> None:
    assert untyped_dictionaries(
        """
Record = dict[str, Any]
class Model:
    facts: Mapping[str, Any] | None = None
    _held: dict[str, Any]
    def __init__(self, options: dict[str, Any]) -> None: ...
    def describe(self) -> list[dict[str, Any]]: ...
    def read(self, text: str) -> dict[str, int]: ...
def _edge(raw: dict[str, Any]) -> None: ...
class _Hidden:
    facts: dict[str, Any]
"""
    ) == ["Record", "Model.facts", "Model.__init__", "Model.describe"]


def test_plugins_do_not_import_each_other() -> None:
    root = SOURCE / "plugins"
    names = {entry.name for entry in root.iterdir() if entry.is_dir()} - {"__pycache__"}
    offenders = []
    for path in sorted(root.rglob("*.py")):
        plugin = path.relative_to(root).parts[0]
        for module, _ in imports_of(path):
            parts = module.split(".")
            if plugin in names and parts[:2] == ["rft", "plugins"] and len(parts) > 2 and parts[2] in names - {plugin}:
                offenders.append(f"{path.relative_to(ROOT)} imports {module}")
            if module == "rft.training.loop":
                offenders.append(f"{path.relative_to(ROOT)}: a plugin gets its trainer from what it audits")
    assert offenders == []


def test_the_core_names_no_plugin() -> None:
    """What only one plugin needs is a hook of ``rft.plugins.Plugin``; the registry alone lists the built-in ones."""
    built_in = {entry.name for entry in (SOURCE / "plugins").iterdir() if entry.is_dir()} - {"__pycache__"}
    offenders = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files()
        if path.parent == SOURCE / "plugins" or room_of(path) != "plugins"
        for module, _ in imports_of(path)
        if module.startswith("rft.plugins.") and module.split(".")[2] in built_in
    ]
    assert offenders == []


def test_the_drawn_rooms_are_those_of_the_imports() -> None:
    page = draw_rooms.PAGE.read_text(encoding="utf-8")
    assert draw_rooms.with_rooms(page) == page, "python tests/support/draw_rooms.py"


def test_extras_stay_at_home() -> None:
    offenders = [
        f"{place} imports {module}"
        for path in files()
        for place in [path.relative_to(ROOT).as_posix()]
        for module, _ in imports_of(path)
        if module.split(".")[0] in EXTRAS and not place.startswith(AT_HOME[module.split(".")[0]])
    ]
    assert offenders == []


def test_no_folder_is_crowded_and_no_file_long() -> None:
    folders = {path.parent for path in files()}
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in folders
        if (count := len([*folder.glob("*.py")]) - 1) > MOST_FILES
    }
    assert crowded == {}
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


@cache
def count_folder(folder: str) -> house_counts.HouseCounts:
    return house_counts.count_house([ROOT / folder])


@pytest.mark.parametrize("folder", ["rft", "tests", "examples", "benchmarks"])
def test_the_code_reads_as_it_is_meant_to(folder: str) -> None:
    counts = count_folder(folder)
    assert counts.one_word_names <= 0.06
    assert counts.placeholders <= 1
    assert counts.body_lines[1] <= 25


def test_docstrings_say_the_shapes_of_arrays() -> None:
    assert count_folder("rft").shapes >= 0.6


def test_columns_are_declared_of_tables_that_there_are() -> None:
    """A table that is renamed takes its declared columns along: roles decide what is withheld."""
    offenders = []
    for path in (SOURCE / "plugins").rglob("*.py"):
        plugin = SOURCE / "plugins" / path.relative_to(SOURCE / "plugins").parts[0]
        for node in ast.walk(parse_file(path)):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Dict):
                continue
            if ast.unparse(node.target) not in ("COLUMNS", "_COLUMNS"):
                continue
            source = "".join(file.read_text(encoding="utf-8") for file in plugin.rglob("*.py"))
            source = source.replace(ast.get_source_segment(path.read_text(encoding="utf-8"), node) or "", "")
            names = [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
            offenders += [f"{path.relative_to(ROOT)}: {name}" for name in names if f'"{name}"' not in source]
    assert offenders == []


def test_findings_and_figures_are_stated_by_their_builders() -> None:
    """A ``FindingDefinition`` and the functions of ``rft/records/figures.py`` take only what goes together."""
    extension = sorted((ROOT / "tests/support/extension_package").rglob("*.py"))
    offenders = []
    for path in (*files(), *extension):
        if SOURCE / "records" in path.parents:
            continue
        imported = {module for module, _ in imports_of(path)}
        built = {name for name in BUILT if {f"rft.{name}", f"rft.records.{name}"} & imported}
        for node in ast.walk(parse_file(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in built | {f"records.{name}" for name in BUILT}:
                offenders.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node.func)}")
    assert offenders == []


def test_every_reference_is_cited() -> None:
    source = {path: path.read_text(encoding="utf-8") for path in files() if path.name != "references.py"}
    uncited = [
        name for name in vars(references) if name.isupper() and not any(name in text for text in source.values())
    ]
    assert uncited == []


def test_every_room_has_its_level() -> None:
    assert {room_of(path) for path in files()} <= set(LEVELS)


def run_fresh(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_importing_is_light() -> None:
    heavy = "{'torch', 'opacus', 'fairlearn', 'captum', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)"
    done = run_fresh(
        f"import sys, rft, rft.plugins, rft.cli; rft.plugins.discover_plugins(); print({heavy}); assert not {heavy}"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rendering_needs_no_torch() -> None:
    done = run_fresh("import sys, rft.report, rft.verdict.policy; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_help_needs_nothing_heavy() -> None:
    """Import none of what takes longer than the help itself, and yet offer the classes of records."""
    heavy = {"numpy", "pandas", "pydantic", "pyarrow", "torch"}
    done = run_fresh(
        "import sys\n"
        "from rft.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        f"print('loaded', sorted({heavy!r} & sys.modules.keys()))\n"
        "import rft\n"
        "print(rft.Finding.__name__, 'Finding' in dir(rft), hasattr(rft, 'Findings'))\n"
    )
    assert "compare-backbones" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["loaded []", "Finding True False"]


def test_the_core_works_without_extras(tiny: Path) -> None:
    """Hide every extra from a fresh process: the audit runs, and its plugins are refused with the pip line."""
    hide = (
        "import sys, importlib.abc, importlib.metadata as metadata\n"
        f"extras = {EXTRAS!r}\n"
        "class Hide(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in extras: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "real = metadata.version\n"
        "def version(name):\n"
        "    if name.replace('-', '_') in extras: raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = version\n"
        "import rft\n"
    )
    config = tiny.read_text(encoding="utf-8")
    mitigation = 'mitigation = {attribute = "camera", metric = "accuracy"}\n'
    tables = {
        "core": "",
        "privacy": "[privacy]\n",
        "mitigation": f"[fairness]\n{mitigation}",
        "attribution": "[attribution]\n",
        "fairness": "[fairness]\n",  # without mitigation Fairlearn is not used
    }
    for name, table in tables.items():
        (tiny.parent / f"{name}.toml").write_text(f"{config}\n{table}", encoding="utf-8")
    audit_all = (
        f"for name in {list(tables)!r}:\n"
        "    try:\n"
        f"        print(name, rft.audit(f'{tiny.parent}/{{name}}.toml', f'{tiny.parent}/{{name}}').verdict.status)\n"
        "    except rft.errors.RftError as error:\n"
        "        print(name, ' '.join(str(error).split()))\n"
    )
    done = run_fresh(hide + audit_all)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(said) == list(tables), done.stderr
    assert said["core"] == "no_rules"
    assert said["fairness"] == "uncertain"  # its groups are too small to be compared
    for name, extra in (("privacy", "privacy"), ("mitigation", "fairness"), ("attribution", "attribution")):
        assert f'pip install "rft[{extra}]"' in said[name]


def test_the_tested_set_covers_the_dependencies_and_names_no_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[\[<>=]", line)[0].lower() for line in wanted} - {"rft"}
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9_.-]+==[\w.]+", line) for line in pinned)
    assert names <= {line.split("==")[0] for line in pinned}


def test_ci_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^pip install -e \"\.\[test\]\" && pytest$", readme, re.M)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command
    assert script.index('eval "$command"') < script.index(".ci/gates")


def test_every_public_docstring_is_there() -> None:
    missing = []
    for path in files():
        tree = parse_file(path)
        nodes = [tree, *[node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]]
        nodes += [n for c in tree.body if isinstance(c, ast.ClassDef) for n in c.body if isinstance(n, ast.FunctionDef)]
        for node in nodes:
            name = getattr(node, "name", "module")
            simple = name.startswith("_") or (isinstance(node, ast.FunctionDef) and node.decorator_list)
            if not simple and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert not missing, missing
