"""Which rules a test split cannot settle, told before an audit: what a perfect model could not pass either."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rft.pipeline.check import AuditCheck, check_audit
from rft.pipeline.rehearsal import is_built_in
from rft.stats.intervals import clopper_pearson_interval, wilson_interval

ALONE = """
[data]
label = "label"
positive = "yes"
groups = ["place"]
[predictions]
file = "scores.csv"
prediction = "said"
[fairness]
"""


def check_alone(folder: Path, *rules: str, sizes: dict[str, int], unit: str = "") -> AuditCheck:
    """Return the check of predictions that are no better than chance, so many of each group."""
    place = np.repeat(list(sizes), list(sizes.values()))
    random = np.random.default_rng(0)
    label = np.where(np.arange(len(place)) % 2, "yes", "no")
    columns = {"label": label, "said": random.permutation(label), "place": place, "who": np.arange(len(place)) // 2}
    pd.DataFrame(columns).to_csv(folder / "scores.csv", index=False)
    policies = "".join(f"[[policy]]\nfinding = {rule}\n" for rule in rules)
    text = ALONE.replace("[predictions]", f"{unit}\n[predictions]") + policies
    (folder / "audit.toml").write_text(text, encoding="utf-8")
    checked = check_audit(folder / "audit.toml")
    assert checked.problems == []
    return checked


def impossible_rules(checked: AuditCheck) -> list[str]:
    return [sentence for sentence in checked.impossible_rules if not is_built_in(sentence)]


def test_a_bound_that_a_perfect_model_cannot_keep_to_is_said_with_what_would_do(tmp_path: Path) -> None:
    (said,) = impossible_rules(check_alone(tmp_path, '"performance.accuracy"\nmin = 0.95', sizes={"a": 30}))
    assert said == (
        "performance.accuracy is at least 0.95: cannot be met by 30 test examples. Even without a mistake the interval "
        "would be 0.8843 to 1 at 95 %; about 75 would do (the data has 30 in all: more data is needed)"
    )
    assert wilson_interval(72, 72).low < 0.95 <= wilson_interval(73, 73).low
    assert clopper_pearson_interval(73, 73).low >= 0.95
    assert impossible_rules(check_alone(tmp_path, '"performance.accuracy"\nmin = 0.95', sizes={"a": 73})) == []
    assert impossible_rules(check_alone(tmp_path, '"performance.accuracy"\nmin = 0.95', sizes={"a": 72})) != []


def test_people_count_and_not_their_rows(tmp_path: Path) -> None:
    rule = '"performance.accuracy"\nmin = 0.95'
    (said,) = impossible_rules(check_alone(tmp_path, rule, sizes={"a": 80}, unit='unit = "who"'))
    assert "cannot be met by 40 test units" in said
    assert impossible_rules(check_alone(tmp_path, rule, sizes={"a": 80})) == []


def test_rules_that_are_judged_together_need_more(tmp_path: Path) -> None:
    rules = ('"performance.accuracy"\nmin = 0.95', '"performance.balanced_accuracy"\nmin = 0.5')
    (said,) = impossible_rules(check_alone(tmp_path, *rules, sizes={"a": 80}))
    assert "at 97.5 %; about 96 would do" in said


def test_a_gap_between_groups_is_held_against_their_sizes(tmp_path: Path) -> None:
    rule = '"fairness.accuracy_gap.place"\nmax = 0.05'
    (said,) = impossible_rules(check_alone(tmp_path, rule, sizes={"a": 60, "b": 60}))
    assert "fairness.accuracy_gap.place is at most 0.05: cannot be met by 120 test examples" in said
    enough = int(re.search(r"about ([\d\u202f]+) would do", said)[1].replace("\u202f", ""))
    half = {"a": enough // 2, "b": enough // 2}
    assert impossible_rules(check_alone(tmp_path, rule, sizes=half)) == []
    assert impossible_rules(check_alone(tmp_path, rule, sizes={name: n * 4 // 5 for name, n in half.items()})) != []


def test_a_rule_on_groups_that_are_too_small_names_them(tmp_path: Path) -> None:
    rule = '"fairness.accuracy_gap.place"\nmax = 0.1'
    checked = check_alone(tmp_path, rule, sizes={"a": 400, "b": 400, "c": 8})
    (said,) = impossible_rules(checked)
    assert said.startswith("fairness.accuracy_gap.place is at most 0.1: cannot be met on this test split")
    assert said.endswith("while c are too small to be compared")
    (groups,) = [sentence for table, sentence in checked.remarks if table == "fairness"]
    assert groups == (
        "place: 2 of 3 groups have the 30 test examples that are compared (fairness.min_group_size). Too small: c has "
        "8 and needs 30 (the data has 8 in all: more data is needed)"
    )
    (alone,) = impossible_rules(check_alone(tmp_path, rule, sizes={"a": 10, "b": 9}))
    assert (
        "whatever the model does: fewer than two groups can be compared, which takes 30 independent cases of each "
        "(fairness.min_group_size): a is inconclusive (small sample, n = 10); b is too few (n = 9)"
    ) in alone


def test_nothing_is_said_of_rules_that_other_predictions_might_meet(tmp_path: Path) -> None:
    """Without a mistake rates of selection follow the labels: a model that selects by lot may have a smaller gap."""
    rules = ('"fairness.selection_rate_gap.place"\nmax = 0.1', '"performance.accuracy"\nmax = 0.5')
    assert impossible_rules(check_alone(tmp_path, *rules, sizes={"a": 60, "b": 60})) == []


def test_a_larger_share_is_proposed_where_rft_draws_the_split(tiny: Path) -> None:
    text = tiny.read_text(encoding="utf-8").replace('split = "split"', "test = 0.25")
    text += '[fairness]\nmin_group_size = 4\n[[policy]]\nfinding = "performance.accuracy"\nmin = 0.6\n'
    tiny.write_text(text.replace("seed = 0", "seed = 6"), encoding="utf-8")
    checked = check_audit(tiny)
    assert checked.problems == []
    assert checked.data.splits["test"].n_units == 4
    (said,) = impossible_rules(checked)
    assert "cannot be met by 4 test units. Even without a mistake the interval would be 0.3976 to 1 at 95 %" in said
    needed = int(re.search(r"about (\d+) would do", said)[1])
    assert f"(test = {needed / 20:g} would give about so many of the 20 in all)" in said
    assert clopper_pearson_interval(needed, needed).low >= 0.6
    groups = next(sentence for table, sentence in checked.remarks if table == "fairness")
    assert "and needs 4 (test = 0.4 would give about so many of the 10 in all)" in groups


@pytest.mark.parametrize("bound", ["min = 0.0", "max = 1.0"])
def test_a_bound_that_holds_by_itself_is_no_problem(tmp_path: Path, bound: str) -> None:
    assert impossible_rules(check_alone(tmp_path, f'"performance.accuracy"\n{bound}', sizes={"a": 12})) == []
