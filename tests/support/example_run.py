"""A run as an audit makes it, put together by hand: every kind of figure, absent values, and hostile names."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pandas as pd

from rft.plugins.fairness.present import columns as fairness_columns
from rft.records import (
    Artifacts,
    AuditRun,
    Backbone,
    Claim,
    Contrast,
    DataFacts,
    Environment,
    Figure,
    Finding,
    FindingDefinition,
    GroupRate,
    ImagePreprocessingFacts,
    InputFile,
    Interval,
    ModelFacts,
    Pillar,
    RuleOutcome,
    Run,
    Section,
    SplitFacts,
    Table,
    Training,
    Verdict,
    VolatileFacts,
    asset_name,
    list_columns,
)

HOSTILE = "</script><img src=x onerror=alert(1)>"
HOSTILE_ATTRIBUTE = "\" onmouseover='alert(2)' x=\"<!-- ${7*7} {{ 7*7 }} $x_1$"
GROUPS = {
    "gender": {"female": 23, "male": 19},
    "ethnicity": {"Black": 11, "East Asian": 9, "White": 18, "South Asian": 4},
}
WILSON = "Wilson, 95 %"
CARD = {
    "intended_use": "Sorting the photos of one album.",
    "out_of_scope": "Decisions about people.",
    "owner": "The album team",
    "contact": "album@example.org",
    "license": "apache-2.0",
}
SCOPE: Table = [
    {"artefact": "model", "protection": "differential privacy", "why": "Trained by noised gradients."},
    {"artefact": "this report", "protection": "none", "why": "Computed without noise."},
]


def change_volatile(run: AuditRun, **facts: object) -> AuditRun:
    """Return a run with other volatile facts."""
    volatile = run.run.volatile.model_copy(update=facts)
    return run.model_copy(update={"run": run.run.model_copy(update={"volatile": volatile})})


def encode_png(width: int = 24, height: int = 24, shade: int = 120) -> bytes:
    """Return a small grey-blue PNG."""
    line = b"\0" + bytes([shade, min(shade + 20, 255), min(shade + 60, 255)]) * width
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(line * height)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def dataset() -> Section:
    counts: Table = [
        {"split": split, "label": label, "n": n}
        for split, label, n in [
            ("train", "smiling", 51),
            ("train", "neutral", 49),
            ("test", "smiling", 20),
            ("test", "neutral", 22),
        ]
    ]
    return Section(
        plugin="dataset",
        title="Data",
        findings=(
            Finding(
                id="dataset.units_in_two_splits",
                title="People on both sides of the split",
                status="info",
                value=0,
                unit="units",
                deterministic=True,
                n=47,
                description="No face_id occurs in more than one split.",
            ),
            Finding(
                id="dataset.missing_group_values",
                title="Examples without a group",
                status="warn",
                value=3,
                unit="examples",
                deterministic=True,
                n=142,
                description="3 of 142 examples name no ethnicity; they are counted, and bounded in the group metrics.",
            ),
        ),
        tables={"labels": counts},
        captions={"labels": "Examples of each label in each split"},
        figures=(
            Figure(
                id="labels",
                kind="bars",
                table="labels",
                encode={"x": "label", "y": "n", "series": "split"},
                y_label="examples",
                title="Labels in each split",
                alt="Bars of the number of examples for each label and split; the splits are nearly balanced.",
            ),
        ),
    )


def training() -> Section:
    loss: Table = [
        {
            "epoch": epoch,
            "split": split,
            "loss": None if (epoch, split) == (7, "test") else round(0.7 * decay**epoch + 0.1, 4),
        }
        for split, decay in (("train", 0.82), ("test", 0.86))
        for epoch in range(1, 21)
    ]
    return Section(
        plugin="training",
        findings=(
            Finding(
                id="training.final_loss",
                title="Training loss after the last epoch",
                status="info",
                value=loss[19]["loss"],
                unit="nats",
                deterministic=True,
                description="Mean cross-entropy over the examples that the last epoch saw.",
            ),
        ),
        tables={"loss": loss},
        captions={"loss": "Mean cross-entropy after each epoch"},
        figures=(
            Figure(
                id="loss",
                kind="lines",
                table="loss",
                encode={"x": "epoch", "y": "loss", "series": "split"},
                x_label="epoch",
                y_label="cross-entropy, nats",
                title="Loss",
                alt="Two falling lines: the loss on the training and on the test split over 20 epochs.",
            ),
        ),
    )


def performance() -> Section:
    confusion: Table = [
        {"actual": a, "predicted": p, "n": n}
        for a, p, n in [
            ("smiling", "smiling", 18),
            ("smiling", "neutral", 2),
            ("neutral", "smiling", 5),
            ("neutral", "neutral", 17),
        ]
    ]
    calibration: Table = [
        {"confidence": 0.55 + 0.1 * k, "accuracy": a, "low": lo, "high": hi, "n": n}
        for k, (a, lo, hi, n) in enumerate(
            [
                (0.5, 0.15, 0.85, 4),
                (0.57, 0.25, 0.84, 7),
                (None, None, None, 0),
                (0.83, 0.55, 0.95, 12),
                (0.95, 0.75, 0.99, 19),
            ]
        )
    ]
    return Section(
        plugin="performance",
        findings=(
            Finding(
                id="performance.accuracy",
                title="Accuracy",
                status="info",
                value=35 / 42,
                unit="fraction",
                interval=Interval(low=0.694, high=0.917, method=WILSON),
                n=42,
                description="Share of test examples whose predicted label is the given one.",
                caveats="Holds for data like the test split; 42 photos of 15 people are a small sample.",
                references=("Wilson 1927, Probable inference",),
                card_metric="accuracy",
            ),
            Finding(
                id="performance.majority_baseline",
                title="Always the most frequent label",
                status="info",
                value=22 / 42,
                unit="fraction",
                deterministic=True,
                n=42,
                description="Accuracy of a model that answers the most frequent label without looking.",
            ),
            Finding(
                id="performance.log_loss",
                title="Log loss",
                status="info",
                value=0.4312,
                unit="nats",
                interval=Interval(low=0.29, high=0.61, method="bootstrap, 95 %"),
                n=42,
                description="Mean of the negative log-probability of the given label; 0 is best.",
                card_metric="log_loss",
            ),
        ),
        tables={"confusion": confusion, "calibration": calibration},
        captions={
            "confusion": "Test examples by given and predicted label",
            "calibration": "Confidence in bins of width 0.1",
        },
        figures=(
            Figure(
                id="confusion",
                kind="heatmap",
                table="confusion",
                encode={"x": "predicted", "y": "actual", "value": "n"},
                x_label="predicted label",
                y_label="given label",
                title="Confusion matrix",
                alt="Two by two cells; most examples lie on the diagonal.",
            ),
            Figure(
                id="calibration",
                kind="lines",
                table="calibration",
                encode={"x": "confidence", "y": "accuracy", "low": "low", "high": "high"},
                options={"diagonal": "yes"},
                x_label="confidence",
                y_label="accuracy",
                title="Calibration",
                alt="Accuracy rises with confidence, close to the diagonal; one bin holds no example.",
            ),
        ),
    )


def _group_rows() -> Table:
    rows: Table = []
    for attribute, groups in GROUPS.items():
        for index, (group, n) in enumerate(groups.items()):
            for metric in ("accuracy", "selection_rate", "tpr", "fpr", "fnr"):
                few = n < 5
                value = None if few else round(0.9 - 0.05 * index - (0.6 if metric in ("fpr", "fnr") else 0.0), 3)
                rows.append(
                    {
                        "model": "head",
                        "split": "test",
                        "attribute": attribute,
                        "group": group,
                        "class": None,
                        "control": None,
                        "metric": metric,
                        "value": value,
                        "low": None if value is None else round(max(value - 0.17, 0.0), 3),
                        "high": None if value is None else round(min(value + 0.11, 1.0), 3),
                        "n": n,
                        "n_positive": n // 2,
                        "n_negative": n - n // 2,
                        "status": "too_few" if few else "measured",
                    }
                )
    return rows


def fairness() -> Section:
    dots = {"y": "group", "x": "value", "low": "low", "high": "high", "facet": "attribute"}
    return Section(
        plugin="fairness",
        findings=(
            Finding(
                id="fairness.accuracy_gap.gender",
                title="Accuracy gap between genders",
                status="warn",
                value=0.0503,
                unit="fraction",
                interval=Interval(low=-0.18, high=0.27, method="Newcombe, 95 %"),
                n=42,
                description="female minus male: the difference of the two groups' accuracies.",
                caveats="With these counts a gap below about 0.2 cannot be seen.",
                remedy="Collect more photos of the group that is worse off, and audit again.",
                references=("Newcombe 1998, method 10",),
            ),
            FindingDefinition(
                "fairness.tpr_gap.ethnicity",
                "True-positive-rate gap between ethnicities",
                "The largest difference of the groups' true-positive rates.",
            ).state_not_measured("South Asian has 2 positive examples; at least 5 are needed", n=42),
        ),
        tables={"by_group": _group_rows()},
        columns={"by_group": fairness_columns.COLUMNS["by_group"]},
        captions={"by_group": "Metrics of every group with 95 % Wilson intervals"},
        card_tables={"by_group": "Groups"},
        figures=(
            Figure(
                id="accuracy_by_group",
                kind="dots",
                lead=True,
                table="by_group",
                encode=dots,
                where={"metric": "accuracy"},
                options={"reference": 0.833},
                x_label="accuracy",
                title="Accuracy by group",
                alt="Accuracy with interval for each group of gender and ethnicity; South Asian has too few examples.",
            ),
            Figure(
                id="selection_by_group",
                kind="dots",
                table="by_group",
                encode=dots,
                where={"metric": "selection_rate"},
                x_label="selection rate",
                title="Selection rate by group",
                alt="Share of examples predicted smiling for each group.",
            ),
        ),
        notes=("Group values were declared in the manifest; nothing here infers them from images.",),
    )


def privacy() -> Section:
    attacks: Table = [
        {
            "attack": attack,
            "attribute": None,
            "group": None,
            "auc": auc,
            "tpr_at_1pct_fpr": None,
            "tpr_at_01pct_fpr": None,
            "low": auc - 0.09,
            "high": auc + 0.09,
            "n_members": 100,
            "n_non_members": 42,
        }
        for attack, auc in (("loss_threshold", 0.541), ("confidence_threshold", 0.528))
    ]
    frontier: Table = [
        {
            "epsilon": epsilon,
            "replicate": 0,
            "attribute": None,
            "group": None,
            "metric": "accuracy",
            "value": value,
            "low": value - 0.08,
            "high": min(value + 0.08, 1.0),
        }
        for epsilon, value in ((0.5, 0.55), (1.0, 0.6), (3.0, 0.66), (8.0, 0.79))
    ]
    return Section(
        plugin="privacy",
        findings=(
            Finding(
                id="privacy.epsilon",
                title="Privacy loss of training",
                status="info",
                value=2.998,
                unit="epsilon",
                deterministic=True,
                cases="none",
                headline=True,
                card_tags=("differential-privacy",),
                description="Training satisfies (2.998, 0.00001)-differential privacy for one face_id, by PLD.",
                caveats="Covers the head's training only; this report's group tables are not covered.",
                references=("Abadi et al. 2016", "NIST SP 800-226"),
            ),
            Finding(
                id="privacy.self_test.clipping",
                title="Self-test: contribution of one person",
                status="fail",
                value=1.31,
                unit="",
                deterministic=True,
                description="The largest contribution of a person was 1.31 times the clipping bound; at most 1 is "
                "right.",
                remedy="Train again with a version whose self-test passes; nothing of this training is private.",
            ),
            Finding(
                id="privacy.membership_auc",
                title="Membership attack, area under the ROC curve",
                status="info",
                value=0.541,
                unit="",
                interval=Interval(low=0.45, high=0.63, method="DeLong, 95 %"),
                n=142,
                description="0.5 is a coin toss: how well a loss threshold tells training examples from others.",
            ),
        ),
        tables={"attacks": attacks, "frontier": frontier, "scope": SCOPE},
        columns={
            "attacks": list_columns(
                {
                    "attack": "name",
                    "attribute": "attribute",
                    "group": "group",
                    "auc": "estimate",
                    "low": "low",
                    "high": "high",
                    "tpr_at_1pct_fpr": "number",
                    "tpr_at_01pct_fpr": "number",
                    "n_members": "count",
                    "n_non_members": "count",
                },
                labels={"auc": "AUC", "low": "95 % interval"},
            ),
            "scope": list_columns({"artefact": "key", "protection": "key", "why": "text"}),
        },
        card_tables={"scope": "What is covered"},
        captions={
            "scope": "What is under differential privacy",
            "attacks": "Attacks on membership",
            "frontier": "Test accuracy at other privacy levels",
        },
        figures=(
            Figure(
                id="attacks",
                kind="dots",
                table="attacks",
                encode={"y": "attack", "x": "auc", "low": "low", "high": "high", "label": "n_members"},
                options={"reference": 0.5},
                x_label="AUC",
                title="Attacks",
                alt="Both attacks have intervals that hold 0.5.",
            ),
            Figure(
                id="frontier",
                kind="lines",
                table="frontier",
                encode={"x": "epsilon", "y": "value", "low": "low", "high": "high"},
                x_label="epsilon",
                y_label="test accuracy",
                title="Privacy against accuracy",
                alt="Accuracy rises from 0.55 at epsilon 0.5 to 0.79 at epsilon 8.",
            ),
        ),
    )


def attribution() -> Section:
    maps: Table = [
        {"group": group, "y": y, "x": x, "value": round(max(0.0, 1 - 0.11 * ((x - cx) ** 2 + (y - 3) ** 2)), 4)}
        for group, cx in (("female", 3), ("male", 4), ("wears a hat that is large enough to be named in many words", 2))
        for y in range(7)
        for x in range(7)
    ]
    images = [encode_png(shade=60 + 40 * k) for k in range(4)]
    examples: Table = [
        {
            "asset": asset_name(image),
            "caption": f"photo {k}: smiling, predicted smiling",
            "group": "smiling" if k < 2 else "neutral",
        }
        for k, image in enumerate(images)
    ]
    passage = [("[CLS]", None), ("a", 0.02), (" dull", -0.31), (" film", 0.04), (" saved", 0.12), (" by", 0.0)]
    passage += [(" its", 0.01), (" wonder", 0.44), ("ful", 0.27), (" actors", 0.09), (" 🎭", 0.03), ("[SEP]", None)]
    tokens: Table = [
        {"text": 1, "position": position, "token": token, "attribution": value, "special": value is None}
        for position, (token, value) in enumerate(passage, start=1)
    ]
    return Section(
        plugin="attribution",
        findings=(
            Finding(
                id="attribution.completeness",
                title="Completeness error of integrated gradients",
                status="info",
                value=0.0213,
                unit="fraction",
                interval=Interval(low=0.011, high=0.034, method="bootstrap, 95 %"),
                n=24,
                description="How far the attributions are from adding up to the output; below 0.05 they can be read.",
            ),
        ),
        tables={"mean_maps": maps, "examples": examples, "tokens": tokens},
        captions={"mean_maps": "Mean GradCAM map of each group, 7 x 7 cells"},
        figures=(
            Figure(
                id="mean_maps",
                kind="heatmap",
                table="mean_maps",
                encode={"x": "x", "y": "y", "value": "value", "facet": "group"},
                title="Where the model looks, on average",
                alt="Three maps with their weight near the centre.",
            ),
            Figure(
                id="examples",
                kind="images",
                table="examples",
                encode={"asset": "asset", "caption": "caption", "group": "group"},
                title="Examples",
                alt="Four test photos with their attribution maps.",
            ),
            Figure(
                id="tokens",
                kind="tokens",
                table="tokens",
                encode={"text": "text", "token": "token", "value": "attribution", "special": "special"},
                title="Words",
                alt="A test text whose tokens are marked by their attribution.",
            ),
        ),
        assets={asset_name(image): image for image in images},
    )


def hostile_section() -> Section:
    """A third-party section in which every text tries to become markup."""
    both = HOSTILE + HOSTILE_ATTRIBUTE
    rows: Table = [
        {"group": HOSTILE, HOSTILE_ATTRIBUTE: 0.4, "series": both, "status": HOSTILE},
        {"group": HOSTILE_ATTRIBUTE, HOSTILE_ATTRIBUTE: None, "series": "a\x00b\x0bc", "status": both},
    ]
    encode = {"x": HOSTILE_ATTRIBUTE, "y": "group", "label": "series", "facet": "series"}
    return Section(
        plugin="hostile",
        title=HOSTILE,
        findings=(
            Finding(
                id=f"hostile.{HOSTILE.replace('.', '')}",
                title=both,
                status="warn",
                value=1.0,
                unit=HOSTILE,
                description=both,
                caveats=both,
                references=("javascript:alert(3)", both),
            ),
            FindingDefinition(f"hostile.{HOSTILE_ATTRIBUTE.replace('.', '')}", both, both).state_not_measured(both),
        ),
        tables={HOSTILE: rows},
        captions={HOSTILE: both},
        figures=(
            Figure(id=HOSTILE, kind="dots", table=HOSTILE, encode=encode, x_label=both, title=both, alt=both),
            Figure(
                id=f"{HOSTILE} images",
                kind="images",
                table=HOSTILE,
                encode={"asset": "group", "caption": "series"},
                title=both,
                alt=both,
            ),
            Figure(
                id=f"{HOSTILE} tokens",
                kind="tokens",
                table=HOSTILE,
                encode={"token": "group", "value": HOSTILE_ATTRIBUTE, "caption": "series", "special": "status"},
                title=both,
                alt=both,
            ),
        ),
        notes=(both,),
    )


def rule_outcomes() -> tuple[RuleOutcome, ...]:
    return (
        RuleOutcome(
            rule="integrity holds",
            finding="privacy.self_test.clipping",
            outcome="fail",
            because="built in: numbers of a run with broken integrity mean nothing",
            explanation="The largest contribution of a person was 1.31 times the clipping bound; at most 1 is right.",
        ),
        RuleOutcome(
            rule="performance.accuracy is at least 0.8",
            finding="performance.accuracy",
            outcome="uncertain",
            because="release criterion R-2",
            explanation="0.8333, interval 0.694 to 0.917: the range reaches across the bound",
            reason="the range reaches across the bound; about 650 independent cases in place of 42 would "
            "settle it, if the value stays",
            asked="at least 0.8",
            bounds={"min": 0.8},
            value=5 / 6,
            interval=Interval(low=0.694, high=0.917, method=WILSON),
            level=0.95,
        ),
        RuleOutcome(
            rule="fairness.accuracy_gap.gender is at most 0.3",
            finding="fairness.accuracy_gap.gender",
            outcome="pass",
            because="release criterion R-7",
            explanation="0.0503, interval -0.18 to 0.27: within the bound, even allowing for chance",
            reason="within the bound, even allowing for chance",
            asked="at most 0.3",
            bounds={"max": 0.3},
            value=0.0503,
            interval=Interval(low=-0.18, high=0.27, method="Newcombe, 95 %"),
            level=0.95,
        ),
        RuleOutcome(
            rule="fairness.tpr_gap.ethnicity is at most 0.1",
            finding="fairness.tpr_gap.ethnicity",
            outcome="uncertain",
            because="",
            explanation="not measured: South Asian has 2 positive examples; at least 5 are needed",
            reason="not measured: South Asian has 2 positive examples; at least 5 are needed",
            asked="at most 0.1",
            bounds={"max": 0.1},
        ),
    )


def make_pillars() -> tuple[Pillar, ...]:
    """The four questions, with claims in all states."""
    return (
        Pillar(
            plugin="performance",
            label="Works",
            summary="Accuracy 0.83 [0.69, 0.92] on 42 independent test images; guessing reaches 0.52.",
            claims=(
                Claim(label="Accuracy", state="measured", finding="performance.accuracy"),
                Claim(label="ROC AUC", state="not_applicable"),
            ),
        ),
        Pillar(
            plugin="privacy",
            label="Privacy",
            summary="Trained with differential privacy for each face_id: epsilon 2.998, delta 0.00001.",
            claims=(
                Claim(label="Differential privacy", state="declared", finding="privacy.epsilon"),
                Claim(label="Near-duplicates", state="not_asked"),
            ),
        ),
        Pillar(
            plugin="fairness",
            label="Fairness",
            summary="Accuracy is 0.85 for male and 0.9 for female (gender): a gap of 0.0503 [-0.18, 0.27].",
            claims=(Claim(label="Gaps between groups", state="not_measured", finding="fairness.tpr_gap.ethnicity"),),
            contrasts=(
                Contrast(
                    finding="fairness.accuracy_gap.gender",
                    attribute="gender",
                    metric="Accuracy",
                    lowest=GroupRate(group="male", value=0.85),
                    highest=GroupRate(group="female", value=0.9003),
                ),
            ),
        ),
        Pillar(plugin="attribution", label="Looks at", summary="No region was named as a shortcut."),
    )


def example_run(*, with_hostile: bool = False) -> AuditRun:
    """Return the run, without artifacts."""
    sections = (dataset(), training(), performance(), privacy(), fairness(), attribution())
    questions = make_pillars()
    if with_hostile:
        sections += (hostile_section(),)
        claim = Claim(label=HOSTILE, state="measured", finding=sections[-1].findings[0].id)
        ends = GroupRate(group=HOSTILE, value=0.5), GroupRate(group=HOSTILE_ATTRIBUTE, value=0.6)
        contrast = Contrast(
            finding=claim.finding or "", attribute=HOSTILE, metric=HOSTILE_ATTRIBUTE, lowest=ends[0], highest=ends[1]
        )
        questions += (
            Pillar(plugin="hostile", label=HOSTILE, summary=HOSTILE_ATTRIBUTE, claims=(claim,), contrasts=(contrast,)),
        )
    verdict = Verdict(status="fail", rules=rule_outcomes())
    if with_hostile:
        verdict = Verdict(
            status="fail",
            rules=(
                *rule_outcomes(),
                RuleOutcome(
                    rule=HOSTILE, finding=HOSTILE, outcome="fail", because=HOSTILE_ATTRIBUTE, explanation=HOSTILE
                ),
            ),
        )
    return AuditRun(
        rft_version="0.1.0",
        run=Run(
            volatile=VolatileFacts(
                id="2b1f0c", created="2025-03-01T12:30:05+00:00", seconds=41.3, training_seconds=12.5
            ),
            name=HOSTILE if with_hostile else "smiles",
            seed=0,
            config={
                "name": HOSTILE if with_hostile else "smiles",
                "seed": 0,
                "data": {"manifest": "faces.csv", "groups": ["gender", "ethnicity"], "unit": "face_id"},
                "model": {"backbone": "timm/tf_efficientnet_lite0", "weights": "pretrained"},
                "train": {"epochs": 20, "learning_rate": 1e-05, "momentum": 0.9},
                "attribution": {"samples": 24, "shortcut": [{"name": "stamp", "box": [0, 0, 8, 8]}]},
                "card": CARD,
                "policy": [{"finding": "performance.accuracy", "min": 0.8, "because": "release criterion R-2"}],
            },
            config_sha256="c0" * 32,
            environment=Environment(
                python="3.12.3",
                platform="Linux x86_64",
                device="cpu",
                threads=2,
                packages={"torch": "2.13.0", "opacus": "1.6.0", "captum": "0.9.0", "fairlearn": "0.15.0"},
            ),
        ),
        model=ModelFacts(
            name="smiles",
            modality="image",
            unit="face_id",
            classes=(HOSTILE, "neutral") if with_hostile else ("smiling", "neutral"),
            positive="smiling",
            backbone=Backbone(
                name="timm/tf_efficientnet_lite0",
                weights="pretrained",
                weights_sha256="ab" * 32,
                frozen_parameters=3_371_000,
                trainable_parameters=2_562,
                frozen_sha256_before="1d" * 32,
                frozen_sha256_after="1d" * 32,
                preprocessing=ImagePreprocessingFacts(
                    recipe="plain", pixels=(3, 224, 224), mean=(0.5,) * 3, std=(0.5,) * 3, pixels_sha256="ef" * 32
                ),
                precision="float32",
            ),
            model_sha256="5e" * 32,
            training=Training(
                mode="private",
                epochs=20,
                optimizer="sgd",
                learning_rate=0.5,
                batch_size=32,
                epsilon=2.998,
                delta=1e-5,
                noise_multiplier=1.21,
                sample_rate=0.32,
                steps=62,
                max_grad_norm=1.0,
                unit="face_id",
            ),
        ),
        data=DataFacts(
            splits={
                "train": SplitFacts(
                    n=100,
                    n_units=32,
                    labels={"smiling": 51, "neutral": 49},
                    groups={"gender": {"female": 52, "male": 48}, "ethnicity": {"Black": 30, "White": 67, "": 3}},
                ),
                "test": SplitFacts(n=42, n_units=15, labels={"smiling": 20, "neutral": 22}, groups=GROUPS),
            },
            skipped=1,
        ),
        sections=sections,
        pillars=questions,
        verdict=verdict,
    )


def example_artifacts() -> Artifacts:
    """Return predictions, two inputs and a writer of a model folder."""

    def write_model(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.json").write_text('{"classes": ["smiling", "neutral"]}\n', encoding="utf-8")
        (folder / "head.safetensors").write_bytes(b"\0" * 64)

    predictions = pd.DataFrame(
        {
            "split": ["train", "test"],
            "id": ["001", "=1+1"],
            "unit": ["a", "b"],
            "label": ["smiling", "neutral"],
            "prediction": ["smiling", "smiling"],
            "score_smiling": [0.8, 0.6],
            "score_neutral": [0.2, 0.4],
            "group_gender": ["female", None],
        }
    )
    inputs = [InputFile("faces.csv", "fa" * 32), InputFile("photos/001.jpg", "fb" * 32)]
    return Artifacts(predictions=predictions, inputs=inputs, write_model=write_model)
