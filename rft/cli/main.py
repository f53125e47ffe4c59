"""The command ``rft``: parse, call, and turn what happened into an exit code.

0 pass (or no rules and integrity holds), 1 fail, 3 uncertain, 2 the input or config is wrong, 4 a file of a run is not
the one that was written, 70 a bug in rft, 130 interrupted.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import rft
from rft.cli.terminal import LogFormatter, Terminal
from rft.errors import EvidenceError, RftError
from rft.records import AuditRun, Section
from rft.records import Table as RowTable

if TYPE_CHECKING:
    from rft.report.run_folder.evidence import Verification

EXIT = {"pass": 0, "no_rules": 0, "fail": 1, "uncertain": 3}
BUG, INTERRUPTED = 70, 130
FEW = 5  # names of files that are shown
NOT_CHECKED = "The ledger of population {!r} is not in {} and was not checked: name its folder with --ledger."
HEADLINES = (
    *("performance.accuracy", "privacy.epsilon", "privacy.ledger_epsilon", "privacy.ledger_remaining"),
    *("fairness.mitigation.gap", "fairness.mitigation.accuracy", "dataset.validation"),
)

app = typer.Typer(
    help="Responsible fine-tuning: fine-tune a pretrained model and audit it in the same run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Terminal()
err = Terminal(stderr=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; chosen by itself otherwise.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what a former run left in the folder.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]


def main() -> None:
    """Run the command line."""
    # Read by OpenMP when torch is first imported. Its threads spin while they wait for each other, so that with any
    # other process on one of the cores, a forward pass took up to 25 times longer; waiting passively costs 15 %.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()


@contextmanager
def _reported(debug: bool) -> Iterator[None]:
    """Turn errors into one or two lines on stderr and an exit code."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # remarks of torchao's import, for its developers
    logging.getLogger("rft").setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    except RftError as error:
        if debug:
            err.say_traceback()
        where = f"{error.where}: " if error.where else ""
        err.say(f"rft: {where}{error.what}", *([error.remedy] if error.remedy else []), style="red")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        err.say("rft: interrupted; nothing half-written was left", style="red")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, SystemExit):
        raise
    except Exception as error:  # a bug: the one place where an unknown error becomes an exit code
        if debug:
            err.say_traceback()
        err.say(f"rft: a bug in rft: {type(error).__name__}: {error}", style="red")
        err.say("Run again with --debug and report what it shows.")
        raise typer.Exit(BUG) from None


@app.command()
def audit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml to run.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Run folder; runs/<name>-<utc time> otherwise.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    device: Device = None,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid downloads of weights.")] = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Fine-tune, audit, and write the report."""
    with _reported(debug):
        from rft.pipeline import preflight

        preflight.require(config, overrides or [], offline=offline)  # before torch is imported, which takes seconds
        from rft.pipeline.stages import audit as run_audit
        from rft.report import check_storable, check_writable, place_of

        check_storable()
        if folder is not None:
            check_writable(folder, force=force)
        run = run_audit(config, overrides=overrides or [], device=device, offline=offline)
        saved = run.save(folder or default_folder(run), force=force)
        _show(run)
        out.say(f"Report: {saved / 'report.html'}", f"Key, to keep: {place_of(run.run.id)}")
        raise typer.Exit(EXIT[run.verdict.status])


def default_folder(run: AuditRun) -> Path:
    """Return ``runs/<name>-<utc time>``."""
    created = datetime.fromisoformat(run.run.created).astimezone(UTC)
    return Path("runs") / f"{run.run.name}-{created:%Y%m%dT%H%M%SZ}"


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where the demo puts its data, config and run.")] = Path(
        "rft-demo"
    ),
    private: Annotated[bool, typer.Option("--private", help="Train with differential privacy.")] = False,
    device: Device = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Audit a model with planted problems and check that the audit finds them."""
    with _reported(debug):
        from rft.demo import run_demo
        from rft.report import check_storable

        check_storable()
        result = run_demo(folder, private=private, device=device, force=force)
        out.say(*result.lines())
        out.say(f"Report: {result.report}", f"Config: {result.config}")
        raise typer.Exit(0 if result.as_expected else 1)


@app.command()
def report(
    folder: RunFolder,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Judge the findings by the rules of this TOML file.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Render a finished run again; with --policy, replace its verdict. Needs neither the model nor the data."""
    with _reported(debug):
        from rft.config.loader import load_policy
        from rft.report import load, rerender
        from rft.verdict import policy

        run = load(folder)
        if policy_file is not None:
            sha256 = hashlib.sha256(policy_file.read_bytes()).hexdigest() if policy_file.is_file() else ""
            source = f"{policy_file.name} (sha256 {sha256}), applied on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            verdict = policy.judge(load_policy(policy_file), run.sections, source=source)
            run = run.model_copy(update={"verdict": verdict})
        rerender(folder, run)
        _show(run)
        out.say(f"Report: {folder / 'report.html'}")
        raise typer.Exit(EXIT[run.verdict.status])


@app.command()
def verify(
    folder: RunFolder,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", metavar="DIR", help="The folder of ledgers; the user's own otherwise.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The key of the run; in the user's own folder otherwise."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where the inputs are; as the config said otherwise.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Check every file of a run, what it read, and the ledger of its population, against its evidence.json."""
    with _reported(debug):
        from rft.report import ledger as stand_of
        from rft.report import verify as check

        found = check(folder, key=key, data=data)
        if found.problems:
            raise EvidenceError("; ".join(found.problems), where=str(folder))
        whole = not found.unchecked
        out.say(*(["Every file is the one that was written."] if whole else _checked_in_part(found)))
        if found.inputs:
            one = found.inputs == 1
            out.say(
                f"{found.inputs:,} {'input is the file that was' if one else 'inputs are the files that were'} read."
            )
        if stand := stand_of(folder):
            whole = _show_ledger(stand, ledger) and whole
        raise typer.Exit(0 if whole else EXIT["uncertain"])


def _checked_in_part(found: Verification) -> list[str]:
    """Return what was checked and what was not, and how to have it checked, in lines."""
    named, rest = found.unchecked[:FEW], found.unchecked[FEW:]
    more = f", and {len(rest):,} more" if rest else ""
    return [
        f"{found.checked:,} files of the run are the ones that were written. Not checked: {', '.join(named)}{more}.",
        "Inputs, and files that are not for others, are checked with the key of the run, which stays with the owner of "
        "the data: name it with --key, and the folder of the inputs with --data.",
    ]


def _show_ledger(stand: Any, ledger: Path | None) -> bool:
    """Say whether the ledger still holds what the run saw in it; return whether it was found."""
    from rft.plugins.privacy.ledger.ledger_anchor import check_anchor, ledger_folder

    place = ledger or ledger_folder(None, Path.cwd())
    said = check_anchor(stand, place)
    if said is None and ledger is not None:
        remedy = "Give the folder of ledgers, as privacy.ledger does: the one that holds a folder a population."
        raise EvidenceError(f"holds no ledger of {stand['population']!r}", where=str(ledger), remedy=remedy)
    out.say(said or NOT_CHECKED.format(stand["population"], place))
    return said is not None


@app.command()
def plugins(debug: Debug = False) -> None:
    """List the plugins with version and origin."""
    with _reported(debug):
        from rft.plugins import discover

        rows = []
        for name, each in discover().items():
            missing = each.missing()
            state = f"needs {', '.join(missing)}: {each.install_hint()}" if missing else "ready"
            switch = "always on" if each.plugin.always_on else f"[{name}]"
            rows.append([name, each.distribution, each.version, switch, state])
        out.table(["plugin", "from", "version", "switched on by", "state"], rows, numeric=[False] * 5)


@app.command()
def backbones(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml that describes the data.")],
    candidates: Annotated[
        list[str], typer.Argument(metavar="BACKBONE...", help="library/name, or library/name=weights.")
    ],
    _try: Annotated[bool, typer.Option("--try", help="Stands before the backbones to try.")] = False,
    page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("backbones.html"),
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    device: Device = None,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid downloads of weights.")] = False,
    debug: Debug = False,
) -> None:
    """Compare backbones on the training examples before anything is trained: rft backbones audit.toml --try A B C."""
    with _reported(debug):
        from rft.pipeline.compare_backbones import try_backbones
        from rft.report.render.comparison_page import comparison_html

        made = try_backbones(config, candidates, overrides=overrides or [], device=device, offline=offline)
        _show_table(made.section.tables["backbones"])
        byline = [f"{made.n:,} training examples", f"{len(candidates)} backbones"]
        content = comparison_html(made.section, name=made.name, byline=byline, rft_version=rft.__version__)
        page.write_text(content, encoding="utf-8")
        out.say(f"Page: {page}")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run to compare with.")],
    after: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the other run, on the same data.")],
    page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("compare.html"),
    debug: Debug = False,
) -> None:
    """Compare two models on the same people: plain and private, or before and after a change."""
    with _reported(debug):
        from rft.pipeline.compare_runs import compare_runs
        from rft.report.render.comparison_page import comparison_html

        made = compare_runs(before, after)
        out.say(f"Gaps of {made.names[1]} minus those of {made.names[0]}, with 95 % intervals")
        _show_findings(made.section)
        byline = [f"{made.n:,} test examples that both predicted"]
        name = f"{made.names[0]} and {made.names[1]}"
        page.write_text(comparison_html(made.section, name=name, byline=byline, rft_version=rft.__version__), "utf-8")
        out.say(f"Page: {page}")


def _show_findings(section: Section) -> None:
    for finding in section.findings:
        if finding.value is None:
            out.say(f"  missing    {finding.id}: {finding.reason}")
        else:
            ends = f" [{finding.interval.low:+.3f}, {finding.interval.high:+.3f}]" if finding.interval else ""
            out.say(f"  {finding.value:+.3f}{ends}  {finding.meaning}")


def _show_table(rows: RowTable) -> None:
    shown = [
        ["" if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        for row in rows
    ]
    out.table(list(rows[0]), shown, numeric=[not isinstance(cell, str) for cell in rows[0].values()])


@app.command()
def layers(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="library/name, as in model.backbone.")],
    image_size: Annotated[int | None, typer.Option("--image-size", help="Side of the pictures in pixels.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Forbid downloads.")] = False,
    debug: Debug = False,
) -> None:
    """List where a backbone can be cut (model.freeze), and what each cut costs in time and storage."""
    with _reported(debug):
        from rft.backbones.load import load_untrained
        from rft.backbones.partition.cut_points import places, tokens_of

        loaded = load_untrained(backbone, Path.cwd(), image_size=image_size, offline=offline)
        rows = []
        for place in places(loaded):
            cached = "nothing cached" if place.cached is None else f"{place.cached / 1000:,.1f}"
            rows.append([place.freeze, f"{place.trained:,}", f"{place.epoch:.1%}", cached])
        headings = ["freeze", "trained parameters", "time of an epoch", "cache, MB for 1,000 examples"]
        out.table(headings, rows, numeric=[False, True, True, True])
        tokens = f"; texts of {tokens_of(loaded)} tokens" if loaded.modality == "text" else ""
        out.say(
            "freeze = the first layer that is trained. Time: of a training step, measured here, as a share of one",
            f"through the whole model. Parameters: with a head for two classes. Cache: float32{tokens}.",
        )


@app.callback(invoke_without_command=True)
def version(
    ctx: typer.Context, show: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False
) -> None:
    """Responsible fine-tuning: fine-tune a pretrained model and audit it in the same run."""
    if show:
        out.say(f"rft {rft.__version__}")
        raise typer.Exit


def _show(run: AuditRun) -> None:
    """Print the verdict, its rules, and what needs a look."""
    out.say(f"Verdict: {run.verdict.status.replace('_', ' ')}", style="bold")
    for rule in run.verdict.rules:
        out.say(f"  {rule.outcome:9}  {rule.rule}: {rule.explanation}")
    for section in run.sections:
        for finding in section.findings:
            if finding.id in HEADLINES and finding.status == "info":
                out.say(f"  measured   {finding.id} = {finding.value:.3g}  {finding.title}")
            elif finding.status == "warn":
                ends = f" [{finding.interval.low:.3g}, {finding.interval.high:.3g}]" if finding.interval else ""
                out.say(f"  look at    {finding.id} = {finding.value:.3g}{ends}  {finding.title}")
            elif finding.status == "not_measured" and section.plugin in run.run.config:  # asked for with a table
                out.say(f"  missing    {finding.id}: {finding.reason}")
