"""What a reviewer needs to judge and convert a claim of differential privacy (NIST SP 800-226): tables and notes.

Only restates facts of the run; measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Cell, Grade, Table, TaskName

if TYPE_CHECKING:
    from rft.training.privacy_facts import PrivacyFacts

OUTPUTS: Mapping[TaskName, tuple[str, str]] = {
    "classification": ("class list", "data.classes"),
    "recognition": ("characters", "data.characters or data.vocabulary"),
}
UNDER_DP, DERIVED, NOT_COVERED = "under DP", "post-processing of DP", "un-noised"
VOID = "void"
PAGES = "report.html, audit.json, model-card.md"
UNNOISED = (  # artefact, the files that hold it, why epsilon does not cover it
    ("heads without privacy beside a frontier", "not kept", "trained without noise"),
    ("shadow models of attacks", "not kept", "trained on test examples too"),
    ("this report and the model card", PAGES, "show tables, figures and attack results, which are un-noised"),
    ("evaluation on test", PAGES, "counts over the test examples without noise"),
    ("group tables", PAGES, "counts over labels and groups without noise"),
    ("attributions, images of examples", f"{PAGES}, assets/", "computed from examples, which they may show"),
    ("attack results", PAGES, "compare training examples with others, without noise"),
    ("fit of the backbone", PAGES, "probes on the training examples without noise"),
    ("counts in this report", PAGES, "numbers of examples, of units and of labels and groups, un-noised"),
    (
        "config as used",
        "report.html, audit.json",
        "names of files, columns, classes and groups, as the operator wrote them",
    ),
    ("predictions table", "predictions.parquet", "holds ids, labels and groups, and scores computed from the examples"),
    ("other ways to decide", "mitigated/", "fitted without noise, with predictions of the same examples"),
    ("hashes of the other files", "evidence.json", "plain sha256: they tell nothing that these files do not"),
    (
        "digests of inputs and of predictions",
        "evidence.json",
        "HMAC-SHA256 with a key that is not in the run folder: without the key no input can be recognised by them",
    ),
    (
        "key of these digests, names of the inputs",
        "state folder",
        "whoever has it can tell which files were inputs: it stays with the owner of the data",
    ),
    ("where the ledger stood", "evidence.json", "the number of its entries and the hash of the last one"),
    ("ledger", "state folder", "keyed hashes of the units of all recorded trainings"),
    ("feature cache", "cache folder", "embeddings of all examples: personal data"),
    ("comparisons of runs or backbones", "the pages that they write", "computed from the examples without noise"),
    ("choice of settings", "in no file", "whatever was chosen by looking at the data or at results"),
    ("pretrained backbone", "model/", "what it kept of its own training data"),
)

SECRET = (
    "Samples and noise were made in float64 from bytes of the operating system's cryptographic generator, each used "
    "once; torch's generator, for dropout, was seeded from it. Attacks on the floating-point form of noise (Mironov "
    "2012) are not covered."
)
SEEDED = (
    'Samples and noise followed from the run\'s seed (randomness = "seeded"), which stands in this report: whoever '
    "knows it can subtract the noise, and the guarantee is void."
)
GRADIENT_ERROR = (
    "Largest relative error of an example's gradient in the self-test: the network that is trained, on made-up "
    "examples, against a backward pass for each example alone."
)
BATCH_CHANGE = (
    "By how much the features of a made-up example change, relative to their length, when others run with it."
)
TUNING = (
    "Differential privacy covers one training run. Each choice made by looking at the data or at results is a further "
    "access that no epsilon here covers: epochs, learning rate, the class list, the split, another run with other "
    "settings, the evaluation in this report."
)
GRADIENTS = {
    "least squares": "nowhere, since the head follows from noised sums over the data",
    "closed form": "in closed form, from the residual and the features of a linear head",
    "hooks": "by the hooks of Opacus, one rule for each kind of layer",
    "functorch": "by torch.func, the gradient of one example mapped over the batch",
    "one by one": "by a backward pass for each example alone, the slowest way",
}


def parameters_table(
    facts: PrivacyFacts, unit: str, void: str | None = None, *, task: TaskName = "classification"
) -> Table:
    """Return the table of everything that is needed to check epsilon, or to convert it to other terms.

    Args:
        facts: of a private fit.
        unit: whose contribution is bounded: ``example``, or ``unit (face_id)``.
        void: why nothing is promised, so that no epsilon is given; None where the promise stands.
        task: what the model does.
    """
    versions = ", ".join(f"{name} {version}" for name, version in facts.accountant_versions.items())
    secret = facts.randomness == "secret"
    rows: list[tuple[str, Cell, Grade, str]] = [
        (
            "released",
            f"{facts.engine.trained_parameters:,} trained weights",
            "declared",
            "What the guarantee speaks of.",
        ),
        ("unit of privacy", unit, "declared", "Whose whole contribution to a step is clipped and hidden by noise."),
        ("examples of the largest unit", facts.rows_per_unit_max, "measured", "They count together as one."),
        ("neighbouring relation", facts.neighbouring, "declared", "Which two data sets are hard to tell apart."),
        ("units n", facts.n, "declared", "Treated as public; not protected."),
        *_epsilon_rows(facts, void),
        ("target epsilon", facts.target_epsilon, "declared", "What the noise was calibrated to."),
        (
            "delta",
            facts.delta,
            "measured" if facts.delta_by_rule else "declared",
            "Probability with which the bound may fail; compare with 1 / n.",
        ),
        ("1 / n", 1 / facts.n, "declared", "A delta near this would allow one unit to be published outright."),
        *_mechanism_rows(facts),
        ("features", "never standardised by the data", "declared", "At most each row by its own length (row_norm)."),
        _batch_independence_row(facts),
        (*OUTPUTS[task], "declared", "Fixed before the data was read; so is the number of outputs."),
        ("accountants", versions, "measured", "Libraries and versions."),
        ("randomness", facts.randomness, "declared", SECRET if secret else SEEDED),
        ("pretraining data", "unknown", "unverified", "The same people may be in the backbone's own training data."),
        (
            "precision",
            facts.engine.precision,
            "declared",
            "A lower one would hide errors from the self-test by its rounding.",
        ),
        ("gradients of single examples", facts.engine.name, "measured", _why_this_engine(facts)),
        ("error of these gradients", facts.engine.error, "measured", GRADIENT_ERROR),
        ("self-tests", len(facts.self_test), "measured", "Checks before the first step; see their table."),
    ]
    names = ("parameter", "value", "grade", "description")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _epsilon_rows(facts: PrivacyFacts, void: str | None) -> list[tuple[str, Cell, Grade, str]]:
    if void is not None:
        return [("epsilon", VOID, "measured", f"Nothing is promised: {void}.")]
    return [
        ("epsilon", facts.epsilon, "measured", f"Spent by this training, accountant {facts.accountant}."),
        ("epsilon, second accountant", facts.epsilon_rdp, "measured", "Renyi accountant of Opacus; looser."),
    ]


def _mechanism_rows(facts: PrivacyFacts) -> list[tuple[str, Cell, Grade, str]]:
    """Return the rows from which epsilon can be computed again."""
    if facts.engine.name == "least squares":
        bound = "Largest length that one unit's part of the sums can have: sqrt(1 + 4 (1 - 1 / K)) for K classes."
        return [
            ("bound C on a unit's part", facts.max_grad_norm, "declared", bound),
            ("noise multiplier sigma", facts.noise_multiplier, "measured", "Noise deviation over C, of the sums."),
            ("noised sums", 1, "declared", "Of all units, once: nothing is sampled, and there are no gradients."),
        ]
    return [
        ("clipping norm C", facts.max_grad_norm, "declared", "Largest gradient norm of one unit in one step."),
        ("noise multiplier sigma", facts.noise_multiplier, "measured", "Noise deviation over C, added to the sum."),
        ("sampling rate q", facts.sample_rate, "declared", "Probability that a unit takes part in a step."),
        ("steps T", facts.steps, "declared", "All of them counted, those with an empty sample too."),
        ("when training stops", "after T steps", "declared", "Fixed beforehand: no early stopping, no validation."),
        ("divisor q n", facts.divisor, "declared", "Public constant that the noised sum is divided by."),
        ("sampling used", "Poisson, by unit", "declared", "Each unit drawn by itself in each step."),
        ("sampling accounted", "Poisson, by unit", "declared", "What the accountants assume."),
    ]


def _batch_independence_row(facts: PrivacyFacts) -> tuple[str, Cell, Grade, str]:
    name, dependence = "features of an example", facts.batch_dependence
    if dependence is None:
        return (name, "in no cache", "declared", "What is before the trained part, if anything, runs in every step.")
    if dependence.alone:
        change = f"by {dependence.change:.2g}" if math.isfinite(dependence.change) else "beyond measure"
        why = f"In batches, other examples would change them {change} (relative, on made-up examples)."
        return (name, "each computed alone", "measured", why)
    return (name, "computed in batches", "measured", f"{BATCH_CHANGE} Here: by {dependence.change:.2g} at most.")


def _why_this_engine(facts: PrivacyFacts) -> str:
    passed_over = "".join(f" Not by {name}: {reason}." for name, reason in facts.engine.rejected.items())
    return f"Computed {GRADIENTS[facts.engine.name]}.{passed_over}"


def scope_table(facts: PrivacyFacts | None, void: str | None = None) -> Table:
    """Return what the guarantee covers: one row for each artefact of a run, with the files that hold it.

    Args:
        facts: of the fit; None where nothing was trained privately.
        void: why a private training promises nothing; None where the promise stands.
    """
    model, derived = _model_protection(facts, void)
    private = facts is not None
    log = (DERIVED, "holds public numbers alone, no training loss") if private else (NOT_COVERED, "holds the loss")
    rows = [
        ("model", "model/", *model),
        ("predictions for people outside the data", "made with the model", *derived),
        ("training log", PAGES, log[0] if model[0] == UNDER_DP else NOT_COVERED, log[1]),
        ("heads of a frontier, canary models", "not kept", model[0], _protection_of_further_models(model[0])),
        *((name, where, NOT_COVERED, why) for name, where, why in UNNOISED),
    ]
    return [dict(zip(("artefact", "where", "protection", "why"), row, strict=True)) for row in rows]


def _model_protection(facts: PrivacyFacts | None, void: str | None) -> tuple[tuple[str, str], tuple[str, str]]:
    if facts is None:
        reason = (NOT_COVERED, "trained without differential privacy, as far as this run knows")
        return reason, reason
    if void is not None:
        return (VOID, void), (VOID, void)
    how = "from noised sums" if facts.engine.name == "least squares" else "noised in every step of training"
    return (UNDER_DP, how), (DERIVED, "computed from the model and their own data alone")


def _protection_of_further_models(protection: str) -> str:
    """Return what is said of the protection of what a run trains privately beside the model."""
    if protection != UNDER_DP:
        return "as the model"
    return "by an epsilon beyond the model's: that of the model with its frontier and canary runs counts all of them"


def claim_notes(facts: PrivacyFacts, unit: str, void: str | None = None) -> list[str]:
    """Return what epsilon means here and what it leaves out, for the reader of a private run."""
    if void is not None:
        return [f"Nothing is promised, and no epsilon is given: {void}.", TUNING]
    whose = "one example" if unit == "example" else f"all examples of one {unit}"
    odds = math.exp(min(facts.epsilon, 700))
    factor = f"{odds:.3g}" if odds < 1e6 else "more than a million"
    result = [
        f"Epsilon bounds what the model gives away about {whose}: whatever anyone concludes from the weights, the odds "
        f"would have been at most {factor} times smaller or larger without that contribution, except with a "
        f"probability of about {facts.delta:.2g}. Smaller is stronger; 0 would be no dependence at all.",
        SECRET if facts.randomness == "secret" else SEEDED,
        TUNING,
    ]
    if unit == "example":
        result.insert(1, "No unit was declared: a person with several examples is protected less than epsilon says.")
    return result


def list_untested(facts: PrivacyFacts | None, chapters: Iterable[PrivacyChapter]) -> tuple[str, ...]:
    """Return what nobody should take for tested: what this run left out, and what no run of rft looks at."""
    missing = [
        finding.title for chapter in chapters for finding in chapter.findings if finding.status == "not_measured"
    ]
    left_out = f"Not measured in this run, with the reason at each: {'; '.join(missing)}." if missing else ""
    private = facts is not None
    never = [
        "Whether the backbone's own pretraining data holds the same people: what it kept of them is under no epsilon.",
        "Side channels (time, memory, power), and anyone who controls the machine while it trains.",
        "Attacks by someone who can train the model again on chosen data, and attacks that nobody has published.",
        "Whether the settings were chosen without looking at the data or at results." if private else "",
    ]
    return tuple(text for text in (left_out, *never) if text)
