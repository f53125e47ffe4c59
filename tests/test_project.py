"""Rules of the project that its own code must keep."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "rft"

# Imports point down: a room may import those of a lower number, and its own.
LEVELS = {
    "__main__": 10,
    "cli": 9,
    "demo": 8,
    "__init__": 7,  # the public names; what it imports on demand stands higher
    "pipeline": 7,
    "at_hand": 7,
    "callback": 8,
    "selection": 7,
    "compare": 7,
    "subjects": 6,
    "extraction": 5,
    "report": 6,
    "policy": 6,
    "plugins": 6,
    "environment": 6,
    "training": 5,
    "features": 4,
    "backbones": 3,
    "data": 2,
    "predictions": 3,
    "stats": 2,
    "disclosure": 2,
    "progress": 1,
    "hub": 1,
    "config": 1,
    "config_file": 2,
    "records": 1,
    "allocator": 0,
    "applicability": 1,
    "state": 0,
    "terminal": 1,
    "visible": 0,
    "errors": 0,
}
MAY_MEET = {
    ("selection", "subjects"),
    ("subjects", "plugins"),
    ("config", "records"),
    ("config", "applicability"),
    ("policy", "plugins"),
    ("cli", "report"),
}
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
}
AT_HOME = {
    "opacus": ("rft/plugins/privacy/",),
    "dp_accounting": ("rft/plugins/privacy/",),
    "fairlearn": ("rft/plugins/fairness/",),
    "captum": ("rft/plugins/attribution/",),
    "timm": ("rft/backbones/timm.py",),
    "transformers": ("rft/backbones/transformers.py", "rft/backbones/checkpoint.py", "rft/callback.py"),
    "huggingface_hub": ("rft/hub.py", "rft/backbones/timm.py", "rft/backbones/pretrained_folder.py"),
    "peft": ("rft/backbones/adapters.py",),
    "torchao": ("rft/backbones/quantised.py",),
}


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return (module, whether it is imported for types only) of each import, deferred ones included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, id(node) in typing_only)]
            found += [(f"{node.module}.{name.name}", id(node) in typing_only) for name in node.names]
        elif isinstance(node, ast.Import):
            found += [(name.name, id(node) in typing_only) for name in node.names]
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = room(path)
    if own in ("__init__", "records"):
        return  # their methods reach up on purpose, when called: rft.audit, AuditRun.save
    for module, typing_only in imports(path):
        parts = module.split(".")
        if parts[0] != "rft" or typing_only or len(parts) < 2 or parts[1] not in LEVELS or parts[1] == own:
            continue
        below = LEVELS[parts[1]] < LEVELS[own] or (own, parts[1]) in MAY_MEET
        assert below, f"{path.name} ({own}) imports {module}"


@pytest.mark.parametrize("path", sorted((SOURCE / "plugins").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_do_not_import_each_other(path: Path) -> None:
    own = path.relative_to(SOURCE / "plugins").parts[0].removesuffix(".py")
    names = {entry.name.removesuffix(".py") for entry in (SOURCE / "plugins").iterdir()} - {"__init__", own}
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[:2] == ["rft", "plugins"] and len(parts) > 2 and own != "__init__":
            assert parts[2] not in names, f"{path.name} imports {module}"
        assert module != "rft.training.loop", "a plugin gets its trainer from the subject"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_extras_stay_at_home(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    for module, _ in imports(path):
        name = module.split(".")[0]
        if name in EXTRAS:
            assert place.startswith(AT_HOME[name]), f"{place} imports {module}"


def test_every_room_has_its_level() -> None:
    assert {room(path) for path in files()} <= set(LEVELS)


def fresh(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_importing_is_light() -> None:
    heavy = "{'torch', 'opacus', 'fairlearn', 'captum', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)"
    done = fresh(f"import sys, rft, rft.plugins, rft.cli; rft.plugins.discover(); print({heavy}); assert not {heavy}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rendering_needs_no_torch() -> None:
    done = fresh("import sys, rft.report, rft.policy; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


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
    done = fresh(hide + f"run = rft.audit({str(tiny)!r}, {str(tiny.parent / 'run')!r}); print(run.verdict.status)")
    assert done.stdout.strip() == "no_rules", done.stderr
    for plugin in ("privacy", "fairness", "attribution"):
        tiny.write_text(tiny.read_text().split("\n[zz")[0] + "\n[zz]\n".replace("zz", plugin), encoding="utf-8")
        done = fresh(hide + f"rft.audit({str(tiny)!r})")
        assert f'pip install "rft[{plugin}]"' in done.stderr
        tiny.write_text(tiny.read_text().replace(f"\n[{plugin}]\n", ""), encoding="utf-8")


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
    assert "grep" in (ROOT / ".ci" / "run").read_text()
    assert command


def test_every_public_docstring_is_there() -> None:
    missing = []
    for path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [tree, *[node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]]
        nodes += [n for c in tree.body if isinstance(c, ast.ClassDef) for n in c.body if isinstance(n, ast.FunctionDef)]
        for node in nodes:
            name = getattr(node, "name", "module")
            simple = name.startswith("_") or (isinstance(node, ast.FunctionDef) and node.decorator_list)
            if not simple and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert not missing, missing
