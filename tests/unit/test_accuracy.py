"""The figures of the evaluation: by hand on small cases, and against scikit-learn."""

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from services.cli.evaluate import evaluate
from services.common.errors import InvalidArgument
from services.simulator import accuracy
from services.simulator.accuracy import Truth, Verdicts
from services.simulator.city import simulate

TRUTH = """number,category,bad,valid_from,valid_until
+8613800138001,A3101,1,2026-01-01T00:00:00+08:00,
+8613800138002,A4100,0,2026-01-01T00:00:00+08:00,
+8613800138003,,0,2026-01-01T00:00:00+08:00,
+8613800138004,A1101,1,2026-01-01T00:00:00+08:00,2026-05-01T00:00:00+08:00
+8613800138004,,0,2026-06-01T00:00:00+08:00,
"""
REPUTATIONS = """number,category,probability,risk,level,state,mark_count
+8613800138001,A3100,0.9,0.92,2,ESTABLISHED,3
+8613800138002,A4100,0.9,0.05,0,ESTABLISHED,2
+8613800138004,A1100,0.9,0.81,3,PROVISIONAL,1
"""
MARKS = """source,mark_id,number,label,occurred_at,withdrawn
app-he,1,138-0013-8001,A3101,2026-04-01T10:00:00+08:00,0
app-he,2,+86 138 0013 8001,A3101,2026-04-02T10:00:00+08:00,0
app-he,3,13800138002,A4100,2026-04-02T10:00:00+08:00,0
app-hai,1,13800138001,A3107,2026-04-02T10:00:00+08:00,0
app-hai,2,13800138002,A2000,2026-04-02T10:00:00+08:00,0
app-hai,3,13800138002,A2000,2026-04-02T10:00:00+08:00,0
app-hai,4,13800138003,A1100,2026-04-02T10:00:00+08:00,1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("truth", TRUTH), ("reputations", REPUTATIONS), ("marks", MARKS)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def evaluated(folder: Path, at: int | None = None, with_marks: bool = True) -> dict:  # type: ignore[type-arg]
    return evaluate(
        folder / "truth.csv",
        folder / "reputations.csv",
        folder / "marks.csv" if with_marks else None,
        at,
    )


def ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


def test_each_number_is_judged_once_by_its_present_holder(folder: Path) -> None:
    numbers = evaluated(folder)["numbers"]

    assert (numbers["truth"], numbers["bad"], numbers["good"]) == (4, 1, 3)
    assert (numbers["known"], numbers["known_share"]) == (3, 0.75)


def test_a_former_time_is_judged_by_the_holders_of_that_time(folder: Path) -> None:
    before, between = (evaluated(folder, ms(2026, month, 15)) for month in (4, 5))

    assert (before["numbers"]["truth"], before["numbers"]["bad"]) == (4, 2)
    assert (between["numbers"]["truth"], between["numbers"]["bad"]) == (3, 1)


def test_marks_after_the_judged_time_do_not_vote(folder: Path) -> None:
    earlier = evaluated(folder, ms(2026, 4, 1) + 12 * 3_600_000)

    assert earlier["numbers"]["marked"] == 1
    assert earlier["sources"]["app-hai"]["category"]["labelled_share"] == 0.0


def test_a_category_that_contains_the_right_one_counts_for_the_lineage_only(folder: Path) -> None:
    category = evaluated(folder)["published"]["category"]

    assert category["n"] == 2
    assert (category["exact"], category["group"], category["lineage"]) == (0.5, 1.0, 1.0)


def test_a_warning_of_a_reassigned_number_is_a_false_bad(folder: Path) -> None:
    bad = evaluated(folder)["published"]["bad"]

    assert (bad["precision"], bad["recall"]) == (0.5, 1.0)
    assert bad["f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert (bad["false_bad"]["count"], bad["false_bad"]["good"]) == (1, 3)


def test_the_majority_takes_every_standing_mark_in_whatever_writing(folder: Path) -> None:
    answer = evaluated(folder)

    assert answer["numbers"]["marked"] == 2  # the withdrawn mark is none
    assert answer["majority"]["category"]["exact"] == 0.5
    assert answer["majority"]["bad"]["false_bad"]["count"] == 1


def test_the_best_source_is_the_one_most_often_right(folder: Path) -> None:
    answer = evaluated(folder)

    assert answer["best_source"] == "app-he"
    assert answer["sources"]["app-he"]["category"]["exact"] == 1.0
    assert answer["sources"]["app-hai"]["category"]["exact"] == 0.0


def test_without_marks_the_votes_are_left_out(folder: Path) -> None:
    answer = evaluated(folder, with_marks=False)

    assert answer["majority"] is None
    assert answer["sources"] == {}
    assert answer["numbers"]["marked"] == 3


def test_the_answer_is_plain_json(folder: Path) -> None:
    answer = evaluated(folder)

    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("name", ["truth", "reputations", "marks"])
def test_a_missing_column_is_named(folder: Path, name: str) -> None:
    path = folder / f"{name}.csv"
    path.write_text(path.read_text("utf-8").replace("number", "phone", 1), encoding="utf-8")

    with pytest.raises(InvalidArgument) as caught:
        evaluated(folder)

    assert caught.value.reason == "COLUMN_MISSING"
    assert caught.value.metadata == {"file": f"{name}.csv", "column": "number"}


def test_a_truth_without_holders_at_the_time_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        evaluated(folder, ms(2020, 1, 1))

    assert caught.value.reason == "TRUTH_EMPTY"


def test_a_mark_sent_twice_or_withdrawn_later_votes_as_once_or_never(folder: Path) -> None:
    path = folder / "marks.csv"
    again = "app-hai,2,13800138002,A2000,2026-04-02T10:00:00+08:00,0\n"
    gone = "app-hai,1,13800138001,A3107,2026-04-03T10:00:00+08:00,1\n"
    before = evaluated(folder)["majority"]
    path.write_text(path.read_text("utf-8") + again * 5, encoding="utf-8")
    repeated = evaluated(folder)["majority"]
    path.write_text(path.read_text("utf-8") + gone, encoding="utf-8")

    withdrawn = evaluated(folder)["sources"]["app-hai"]["category"]["labelled_share"]

    assert repeated == before
    assert withdrawn == 0.5


def test_gzip_and_epoch_milliseconds_are_read_alike(folder: Path) -> None:
    plain = evaluated(folder)
    stamp = str(ms(2026, 4, 2))
    text = MARKS.replace("2026-04-02T10:00:00+08:00", stamp)
    with gzip.open(folder / "marks.csv.gz", "wt", encoding="utf-8") as stream:
        stream.write(text)

    packed = evaluate(folder / "truth.csv", folder / "reputations.csv", folder / "marks.csv.gz")

    assert packed == plain


def test_a_simulated_city_read_back_as_its_own_truth_is_faultless(tmp_path: Path) -> None:
    simulate(400, 20, 5, tmp_path, date(2026, 11, 1))
    lines = ["number,category,risk,level,state,mark_count"]
    for row in (tmp_path / "truth.csv").read_text("utf-8").splitlines()[1:]:
        number, category, bad, _, until = row.split(",")
        if not until:
            lines.append(f"{number},{category},{bad},{4 * int(bad)},ESTABLISHED,1")
    (tmp_path / "r.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    answer = evaluate(tmp_path / "truth.csv", tmp_path / "r.csv", tmp_path / "marks.csv.gz")

    published, majority = answer["published"], answer["majority"]
    assert answer["numbers"]["known_share"] == 1.0
    assert published["category"]["exact"] == published["bad"]["auc"] == 1.0
    assert published["bad"]["ece"] == published["bad"]["false_bad"]["rate"] == 0.0
    assert 0.2 < majority["category"]["exact"] < 0.95
    assert 0.6 < majority["bad"]["auc"] < 1.0


def test_unknown_numbers_rank_last_and_are_left_out_of_the_calibration() -> None:
    truth = Truth(np.zeros(4, np.int64), np.array([True, False, True, False]))
    verdicts = Verdicts(
        np.zeros(4, np.int64), np.array([0.8, 0.2, np.nan, np.nan]), np.array([1, 0, 0, 0], bool)
    )

    found = accuracy.detection(truth, verdicts, np.ones(4, bool))

    assert found["scored_share"] == 0.5
    assert found["recall"] == 0.5
    assert found["auc"] == 0.625
    assert found["ece"] == pytest.approx(0.2)


def test_shares_of_nothing_are_none_and_not_zero() -> None:
    truth = Truth(np.zeros(0, np.int64), np.zeros(0, bool))
    verdicts = Verdicts(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))

    judged = accuracy.judge(truth, verdicts, {}, np.zeros(0, bool))

    assert judged["category"]["exact"] is None
    assert judged["bad"]["auc"] is judged["bad"]["ece"] is judged["bad"]["precision"] is None
    assert judged["bad"]["false_bad"]["upper_95"] is None


def test_a_vote_splits_by_weight_and_a_tie_goes_to_the_lower_code() -> None:
    number = np.array([0, 0, 1, 1, 1])
    category = np.array([3101, 4100, 3101, 3101, 4100])
    weight = np.array([1.0, 1.0, 0.4, 0.4, 1.0])

    verdicts = accuracy.vote(number, category, weight, 3, {3101: 2, 4100: 0})

    assert verdicts.category.tolist() == [3101, 4100, 0]
    assert verdicts.warned.tolist() == [True, False, False]
    np.testing.assert_allclose(verdicts.score, [0.5, 0.8 / 1.8, np.nan])


def test_no_votes_at_all_say_nothing() -> None:
    empty = np.zeros(0, np.int64)

    verdicts = accuracy.vote(empty, empty, np.zeros(0), 2, {})

    assert verdicts.category.tolist() == [0, 0]
    assert np.isnan(verdicts.score).all()


SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda twentieth: twentieth / 20)),
    min_size=2,
    max_size=80,
).filter(lambda rows: len({bad for bad, _ in rows}) == 2)


@given(SCORED)
def test_ranking_figures_equal_scikit_learns_also_with_ties(rows: list[tuple[bool, float]]) -> None:
    bad = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows])

    auc, pr_auc = accuracy.roc_auc(bad, score), accuracy.average_precision(bad, score)

    assert auc == pytest.approx(metrics.roc_auc_score(bad, score))
    assert pr_auc == pytest.approx(metrics.average_precision_score(bad, score))
    assert accuracy.brier_score(bad, score) == pytest.approx(metrics.brier_score_loss(bad, score))


@given(SCORED)
def test_warning_figures_equal_scikit_learns(rows: list[tuple[bool, float]]) -> None:
    bad = np.array([row[0] for row in rows])
    warned = np.array([row[1] >= 0.5 for row in rows])
    truth = Truth(np.zeros(len(rows), np.int64), bad)
    verdicts = Verdicts(np.zeros(len(rows), np.int64), np.array([row[1] for row in rows]), warned)

    found = accuracy.detection(truth, verdicts, np.ones(len(rows), bool))

    if warned.any():
        assert found["precision"] == pytest.approx(metrics.precision_score(bad, warned))
    assert found["recall"] == pytest.approx(metrics.recall_score(bad, warned))
    assert found["f1"] == pytest.approx(metrics.f1_score(bad, warned))


def test_a_calibrated_score_has_no_calibration_error_and_a_shifted_one_its_shift() -> None:
    score = np.repeat([0.15, 0.55, 0.95], 100)
    bad = np.concatenate([np.arange(100) < share for share in (15, 55, 95)])

    calibrated = accuracy.expected_calibration_error(bad, score)
    shifted = accuracy.expected_calibration_error(bad, score - 0.1)

    assert calibrated == pytest.approx(0.0)
    assert shifted == pytest.approx(0.1)
