"""Build the wheel, unpack it elsewhere, and use it there without the checkout and without any extra.

Needs ``pip``, and the libraries of the core in the environment that runs this.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = (
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
)
TRIED = """
import importlib.abc, sys
from pathlib import Path

class WithoutExtras(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {extras!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutExtras())
import rft
from rft.records import AuditRun
from rft.report import render

assert Path(rft.__file__).is_relative_to({installed!r}), rft.__file__
assert (Path(rft.__file__).parent / "py.typed").is_file()
run = AuditRun.from_json(Path("audit.json").read_text(encoding="utf-8"))
page = render(run)
from rft.config.json_schema import build_config_schema
assert "fairness" in build_config_schema({{}})["properties"]
assert "<svg" in page and run.run.name in page
print(f"rft {{rft.__version__}} from the wheel rendered {{len(page):,}} characters")
"""


def example_json() -> str:
    """Return the audit.json of the example run, made by the checkout."""
    sys.path.insert(0, str(ROOT))
    from tests.support.example_run import example_run

    return example_run().to_json()


def check_wheel(folder: Path) -> None:
    """Build, unpack and use the wheel below a folder; raises ``CalledProcessError`` where that fails."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder / "dist"), str(ROOT)], check=True)
    (wheel,) = (folder / "dist").glob("rft-*.whl")
    installed = folder / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "audit.json").write_text(example_json(), encoding="utf-8")
    script = TRIED.format(extras=EXTRAS, installed=str(installed))
    # First on the path: the checkout may be installed in this environment too, as an editable one.
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{script}"]
    subprocess.run(command, cwd=elsewhere, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        check_wheel(Path(name))
