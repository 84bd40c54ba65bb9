"""The evaluation report: curves that agree with the figures, a page that needs nothing else."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest

from loadtests import scoring_figures as figures
from loadtests.bars import Bar
from loadtests.scoring_page import page


@pytest.fixture(scope="module")
def scored():
    chance = np.random.default_rng(1)
    probability = chance.beta(1, 4, 3000)
    return probability, chance.random(3000) < probability


def area(curve):
    return float(np.trapezoid(curve[:, 1], curve[:, 0]))


def test_the_area_under_the_roc_curve_is_the_auc(scored):
    told = figures.metrics(*scored)

    assert area(figures.roc(*scored)) == pytest.approx(told["auc"], abs=2e-3)


def test_the_area_under_precision_and_recall_is_the_average_precision(scored):
    told = figures.metrics(*scored)

    assert area(figures.precision_recall(*scored)) == pytest.approx(told["pr_auc"], abs=1e-2)


def test_the_gaps_of_the_reliability_plot_add_up_to_the_ece(scored):
    bins = figures.reliability(*scored)

    gaps = np.abs(bins[:, 0] - bins[:, 1]) * bins[:, 2]

    assert gaps.sum() / bins[:, 2].sum() == pytest.approx(figures.metrics(*scored)["ece"])


def test_the_lift_of_all_rows_is_one(scored):
    curve = figures.lift(*scored)

    assert tuple(curve[-1]) == pytest.approx((1, 1))
    assert curve[0, 1] > 2


def test_a_slice_with_few_rows_of_a_class_has_no_ranking(scored):
    probability, label = scored
    few = np.zeros(len(label), dtype=bool)
    few[:30] = True

    (_, rows, positives, told), (_, _, _, whole) = figures.slices(
        probability, label, {"few": few, "all": ~few}
    )

    assert (rows, positives, told) == (30, int(label[:30].sum()), {})
    assert whole["auc"] > 0.5


def test_the_interval_of_a_figure_holds_the_figure(scored):
    low, high = figures.interval(*scored, "auc", seed=1)

    assert low < figures.metrics(*scored)["auc"] < high < low + 0.1


def test_a_bar_holds_on_its_own_side_only():
    assert Bar("auc", 0.97, 0.966).held
    assert not Bar("auc", 0.96, 0.966).held
    assert Bar("ece", 0.02, 0.03, at_least=False).held
    assert not Bar("ece", 0.04, 0.03, at_least=False).held


def test_the_page_loads_nothing_and_escapes_names(scored):
    probability, label = scored
    evaluation = figures.Evaluation(
        "a <set>",
        "what & how",
        label,
        (figures.Scored("ours", probability), figures.Scored("plain", probability**2)),
        [("plain", "auc", 0.01, 0.002)],
        figures.slices(probability, label, {"<few>": np.arange(len(label)) < 30}),
        [("links", -0.1, -0.2, 0.01, 0.01)],
        [("links:degree", "links", 0.4)],
        [Bar("AUC", 0.5, 0.9)],
    )

    written = page([evaluation], [], datetime(2026, 11, 25, tzinfo=UTC))

    assert not re.search(r"(?:src|href)=|url\(|<script|@import", written)
    assert "a &lt;set&gt;" in written and "<set>" not in written
    assert "what &amp; how" in written
    assert "missed" in written
    for part in ("ROC", "Precision and recall", "Reliability", "Lift", "&lt;few&gt;"):
        assert part in written
