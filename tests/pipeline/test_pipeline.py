"""The whole path on tiny images, from audit.toml to the run folder and back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.errors import IntegrityError, Unavailable
from rft.features import Features, pipeline
from rft.features.extract import extract_features
from rft.pipeline import stages
from rft.pipeline.plan import read_plan
from rft.plugins import AuditedModel, Options, Plugin, registry
from rft.records import AuditRun, Section
from tests.support import ROOT

CHECKOUT = ROOT


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def extend_config(config: Path, text: str) -> None:
    config.write_text(config.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_one_command_writes_every_output(tiny: Path) -> None:
    out = tiny.parent / "run"
    code, stdout, stderr = invoke_rft("audit", tiny, "--out", out)
    assert code == 0, stderr
    assert "Verdict: no rules" in stdout
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {
        "audit.json",
        "report.html",
        "model-card.md",
        "predictions.parquet",
        "evidence.json",
        "model/model.safetensors",
        "model/model.json",
    }
    assert out.stat().st_mode & 0o077 == 0
    assert invoke_rft("verify", out)[0] == 0
    assert str(tiny.parent) not in "".join(
        (out / name).read_text() for name in names if "parquet" not in name and "safetensors" not in name
    )


def test_audit_json_says_what_was_done(tiny: Path) -> None:
    run = rft.audit(tiny, tiny.parent / "run")
    stored = json.loads((tiny.parent / "run" / "audit.json").read_text())
    assert AuditRun.from_json(json.dumps(stored)) == AuditRun.from_json(run.to_json())
    audited = stored["model"]
    assert audited["classes"] == ["blue", "red"]
    assert audited["training"] | {"mode": "standard", "epochs": 5, "optimizer": "adamw"} == audited["training"]
    assert audited["backbone"]["frozen_sha256_before"] == audited["backbone"]["frozen_sha256_after"]
    assert audited["backbone"]["trainable_parameters"] == 512 * 2 + 2
    assert stored["data"]["splits"]["train"] == {
        "n": 20,
        "n_units": 10,
        "labels": {"blue": 10, "red": 10},
        "groups": {"camera": {"left": 10, "right": 10}},
    }
    assert [section["plugin"] for section in stored["sections"]] == ["dataset", "backbone", "training", "performance"]
    assert run.finding("training.trained_unmoved").value == 0
    assert run.finding("performance.accuracy").value > 0.9  # red or blue: a linear head sees it on random features


def test_predictions_are_the_models_own(tiny: Path) -> None:
    run = rft.audit(tiny, tiny.parent / "run")
    table = pd.read_parquet(tiny.parent / "run" / "predictions.parquet")
    assert list(table.columns) == [
        "split",
        "id",
        "unit",
        "label",
        "prediction",
        "score_blue",
        "score_red",
        "group_camera",
    ]
    assert len(table) == 40
    saved = rft.load(tiny.parent / "run")
    paths = sorted((tiny.parent / "data").glob("*.png"))
    fresh = saved.predict([*paths[:39], Image.open(paths[39])], batch_size=7)
    assert list(fresh["prediction"]) == list(table["prediction"])
    assert (fresh["score_red"] - table["score_red"]).abs().max() < 1e-5
    pd.testing.assert_frame_equal(saved.predict(paths[0]), fresh.head(1), atol=1e-5)
    assert run.artifacts is not None
    with pytest.raises(KeyError, match=r"Did you mean 'performance\.accuracy'"):
        run.finding("performance.acuracy")


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(tiny: Path) -> None:
    first, again = rft.audit(tiny), rft.audit(tiny)
    section = rft.audit(tiny, overrides=["seed=1"])
    assert first.artifacts.predictions.equals(again.artifacts.predictions)
    assert first.model.model_sha256 == again.model.model_sha256 != section.model.model_sha256


def test_cached_features_carry_over_to_another_head(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rft.audit(tiny)

    def refuse_extraction(*_arguments: object) -> None:
        raise AssertionError("the prefix ran again")

    monkeypatch.setattr("rft.backbones.partition.replay.Prefix.forward", refuse_extraction)
    rft.audit(tiny, overrides=["train.learning_rate=0.1", "model.row_norm=true"])


def test_policy_decides_the_exit_code_and_can_be_applied_again(tiny: Path) -> None:
    extend_config(tiny, '[[policy]]\nfinding = "performance.accuracy"\nmin = 0.2\nbecause = "R-1"\n')
    out = tiny.parent / "run"
    assert invoke_rft("audit", tiny, "--out", out)[0] == 0
    for bound, expected in (("min = 0.999", 3), ("max = 0.3", 1), ("min = 0.3", 0)):
        rules = tiny.parent / "new.toml"
        rules.write_text(f'[[policy]]\nfinding = "performance.accuracy"\n{bound}\nbecause = "R-2"\n', encoding="utf-8")
        before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
        code, stdout, stderr = invoke_rft("report", out, "--policy", rules, "--force")
        assert code == expected, stdout + stderr
        assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
        page = (tiny.parent / "run-new" / "report.html").read_text(encoding="utf-8")
        assert "R-2" in page
        assert "By the rules in new.toml (sha256 " in page
        assert invoke_rft("verify", out)[0] == invoke_rft("verify", tiny.parent / "run-new")[0] == 0
    misspelt = '[[policy]]\nfinding = "performanse.accuracy"\nmin = 0.2\n'
    tiny.write_text(tiny.read_text() + misspelt, encoding="utf-8")
    code, _, stderr = invoke_rft("audit", tiny)
    assert code == 2
    assert "belongs to no plugin" in stderr


def test_a_run_is_never_mixed_with_another(tiny: Path) -> None:
    out = tiny.parent / "run"
    assert invoke_rft("audit", tiny, "--out", out)[0] == 0
    before = (out / "audit.json").read_bytes()
    code, _, stderr = invoke_rft("audit", tiny, "--out", out)
    assert code == 2
    assert "already holds a run" in stderr
    assert "--force" in stderr
    assert (out / "audit.json").read_bytes() == before
    assert invoke_rft("audit", tiny, "--out", out, "--force")[0] == 0
    assert (out / "audit.json").read_bytes() != before


def test_a_changed_file_is_found(tiny: Path) -> None:
    out = tiny.parent / "run"
    assert invoke_rft("verify", out)[0] == 2  # no run yet: wrong input, not a broken one
    invoke_rft("audit", tiny, "--out", out)
    with (out / "model-card.md").open("a") as card:
        card.write("This model is wonderful.\n")
    code, _, stderr = invoke_rft("verify", out)
    assert code == 4
    assert "model-card.md" in stderr
    weights = out / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(rft.RftError, match="not the ones that the audit wrote"):
        rft.load(out)


class Broken(Plugin[Options]):
    name, always_on, options = "broken", True, Options

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        raise ZeroDivisionError("of no group")


class Miscounts(Broken):
    name = "miscounts"

    def count_cases(self, audited: AuditedModel, options: Options) -> NoReturn:
        raise ZeroDivisionError("of no group")

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        return Section(plugin="miscounts")


class Refuses(Broken):
    name = "refuses"

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        raise Unavailable("no audio in images")


class Meddles(Broken):
    name = "meddles"

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        with torch.no_grad():
            next(audited.model.backbone.parameters()).add_(1)
        return Section(plugin="meddles")


def with_plugins(monkeypatch: pytest.MonkeyPatch, *plugins: type) -> None:
    """Put plugins of this file before the built-in ones."""
    names = (f"{__name__}:{plugin.__name__}" for plugin in plugins)
    monkeypatch.setattr(registry, "BUILTIN", (*names, *registry.BUILTIN))


def test_plugins_that_fail_or_refuse_are_never_silent(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_plugins(monkeypatch, Broken, Miscounts, Refuses)
    run = rft.audit(tiny)
    for name, reason in {
        "broken": "the plugin failed (ZeroDivisionError)",
        "miscounts": "the plugin failed (ZeroDivisionError)",
        "refuses": "no audio in images",
    }.items():
        assert reason in (run.finding(f"{name}.audit").reason or "")
        assert any(rule.finding == f"{name}.audit" and rule.outcome == "uncertain" for rule in run.verdict.rules), name
    assert run.verdict.status == "uncertain"
    assert run.finding("training.trained_unmoved").status == "info"  # the others stand


def test_a_plugin_that_meddles_fails_the_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_plugins(monkeypatch, Meddles)
    run = rft.audit(tiny)
    assert "changed the model" in run.finding("meddles.model_untouched").description
    assert run.verdict.status == "fail"
    assert run.finding("training.trained_unmoved").status == "info"


class FindsItBroken(Broken):
    name = "finds"

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        raise IntegrityError("the noise is too small", where="[privacy]")


def test_a_promise_that_does_not_hold_stops_the_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_plugins(monkeypatch, FindsItBroken)
    code, _, stderr = invoke_rft("audit", tiny, "--out", tiny.parent / "run")
    assert code == 1
    assert "[privacy]: the noise is too small" in stderr
    assert not (tiny.parent / "run").exists()


def test_a_loss_above_guessing_is_worth_a_look(tiny: Path) -> None:
    diverged = rft.audit(tiny, overrides=["train.learning_rate=10", "train.epochs=1"])
    assert diverged.finding("training.final_loss").status == "warn"
    assert "row_norm" in diverged.finding("training.final_loss").description
    assert rft.audit(tiny).finding("training.final_loss").status == "info"


def test_a_moved_frozen_tensor_fails_the_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = extract_features

    def extract_and_move(prefix: torch.nn.Module, *arguments: object, **options: object) -> Features:
        features = extract(prefix, *arguments, **options)
        prefix.get_submodule("classifier.backbone.network.bn1").running_mean.add_(0.1)
        return features

    monkeypatch.setattr(pipeline, "extract_features", extract_and_move)
    run = rft.audit(tiny)
    assert run.finding("training.frozen_changed").status == "fail"
    assert run.verdict.status == "fail"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "Did you mean 'epochs'?"),
        ("data.manifest=gone.csv", "gone.csv: no such file"),
        ("data.label=colr", "has no column 'colr'"),
        ("model.backbone=torchvision/resnet81", "Did you mean 'resnet18'"),
        ("model.weights=gone.pth", "no such file: gone.pth"),
        ("model.image_size=7", "model.image_size"),
        ("fairness.min_group_size=five", "fairness.min_group_size"),
    ],
)
def test_bad_input_is_one_or_two_lines_and_writes_nothing(tiny: Path, override: str, message: str) -> None:
    before = sorted(tiny.parent.rglob("*"))
    code, stdout, stderr = invoke_rft("audit", tiny, "--out", tiny.parent / "run", "--set", override)
    assert code == 2
    assert message in stderr
    said = [line for line in stderr.strip().splitlines() if not line.startswith("rft: data, ")]  # a stage that is over
    assert len(said) <= 2
    assert "Traceback" not in stderr + stdout
    assert sorted(tiny.parent.rglob("*")) == before


def test_fairness_asks_for_the_favourable_outcome_and_for_groups(tiny: Path) -> None:
    text = tiny.read_text()
    extend_config(tiny, "[fairness]\n")
    tiny.write_text(tiny.read_text().replace('positive = "red"\n', ""), encoding="utf-8")
    assert "[fairness]: needs data.positive" in invoke_rft("audit", tiny)[2]
    tiny.write_text(text.replace('groups = ["camera"]\n', "") + "[fairness]\n", encoding="utf-8")
    assert "[fairness]: needs data.groups" in invoke_rft("audit", tiny)[2]


def test_a_truncated_image_is_named_or_skipped(tiny: Path) -> None:
    path = tiny.parent / "data" / "005.png"
    path.write_bytes(path.read_bytes()[:300])
    code, _, stderr = invoke_rft("audit", tiny, "--out", tiny.parent / "run")
    assert code == 2
    assert "005.png" in stderr
    assert not (tiny.parent / "run").exists()
    code, _, _ = invoke_rft("audit", tiny, "--out", tiny.parent / "run", "--set", "data.on_error=skip")
    assert code == 0
    assert json.loads((tiny.parent / "run" / "audit.json").read_text())["data"]["skipped"] == 1


def test_a_disk_that_fills_up_under_the_model_is_no_bug(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def fail_on_model(path: Path, content: bytes) -> int:
        if path.name == "model.safetensors":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_on_model)
    code, _, stderr = invoke_rft("audit", tiny, "--out", tiny.parent / "run")
    assert code == 2
    assert "the disk is full" in stderr
    assert {path.name for path in tiny.parent.iterdir()} == {"data", "audit.toml"}


def test_a_bug_is_told_from_a_mistake(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_bug(*_arguments: object, **_options: object) -> None:
        raise AssertionError("impossible")

    monkeypatch.setattr(stages, "fine_tune", raise_bug)
    code, _, stderr = invoke_rft("audit", tiny)
    assert code == 70
    assert "a bug in rft: AssertionError: impossible" in stderr


def test_memory_that_runs_out_is_no_bug(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_memory(*_arguments: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nsecond line")

    monkeypatch.setattr(stages, "fine_tune", fill_memory)
    code, _, stderr = invoke_rft("audit", tiny)
    assert code == 2
    assert "memory ran out: CUDA out of memory. Tried to allocate 2 GiB" in stderr
    assert "train.batch_size" in stderr
    assert {path.name for path in tiny.parent.iterdir()} == {"data", "audit.toml"}


def test_a_notebook_shows_a_summary(tiny: Path) -> None:
    run = rft.audit(tiny)
    html = run._repr_html_()
    assert len(str(run)) < 100
    assert "tiny" in html
    assert "<script" not in html


def test_a_folder_of_classes_is_audited(tiny: Path) -> None:
    data = tiny.parent / "data"
    for row in pd.read_csv(data / "images.csv", dtype=str).itertuples():
        target = tiny.parent / "photos" / row.split / row.colour / row.file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(data / row.file, target)
    text = tiny.read_text().split("[model]")[1]
    tiny.write_text(f'name = "folder"\n[data]\nfolder = "photos"\n[model]{text}', encoding="utf-8")
    run = rft.audit(tiny, tiny.parent / "run")
    assert run.data.splits["train"].n == 20
    assert run.finding("performance.accuracy").value > 0.9


def test_ctrl_c_leaves_nothing_half_written(tiny: Path, own_cache: Path) -> None:
    """Interrupt a real process while it works; then the run must be absent and a second one must succeed."""
    command = [sys.executable, "-m", "rft", "audit", str(tiny), "--out", str(tiny.parent / "run")]
    slow = [*command, "--set", "train.epochs=100000"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    # A shell starts background jobs, such as these tests may be, with this signal ignored; their children inherit it.
    heeding = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(slow, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heeding) as process:
        try:
            waited = time.monotonic()
            while not list(own_cache.rglob("*.safetensors")) and time.monotonic() - waited < 120:
                time.sleep(0.2)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert {path.name for path in tiny.parent.iterdir()} == {"data", "audit.toml"}
    assert invoke_rft(*command[3:])[0] == 0


def test_a_plugin_may_refuse_options_that_do_not_go_with_the_data_before_any_work(tiny: Path, monkeypatch) -> None:
    from rft.errors import ConfigError
    from rft.plugins.performance import Performance

    def check(_self: object, options: Options, data: object) -> None:
        raise ConfigError(f"wants more than {data.groups}", where="performance")  # type: ignore[attr-defined]

    monkeypatch.setattr(Performance, "check", check, raising=False)
    with pytest.raises(ConfigError, match=r"performance: wants more than \['camera'\]"):
        stages.check_plan(read_plan(tiny))
