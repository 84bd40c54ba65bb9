"""The churn gate: a version that would move too many established labels stops itself."""

import numpy as np
import pytest

from services.common.errors import FailedPrecondition
from services.reputation.churn import Churn, check_churn
from services.reputation.published.table import of_columns
from services.reputation.snapshot import Snapshot, churn
from tests.published_rows import published


def rows_of(categories, state=3, epoch=0):
    rows = published({at: (c, 2, state, 9) for at, c in enumerate(categories, 1)}, version=1)
    return rows | {"epoch": np.full(len(categories), epoch, dtype=np.uint32)}


def snapshot(categories, state=3):
    return Snapshot(version=1, layers=(of_columns(rows_of(categories, state)),))


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (3101, 3107, 0),  # within the group
        (3101, 4100, 1),
        (3101, 0, 1),
    ],
)
def test_a_label_moves_when_it_leaves_its_group(before, after, moved):
    found = churn(snapshot([before, 1100]), rows_of([after, 1100]))

    assert found == Churn(established=2, moved=moved)


def test_a_label_that_was_not_established_may_move_freely():
    assert churn(snapshot([3101], state=2), rows_of([0])) == Churn(0, 0)


def test_the_label_of_a_former_holder_is_meant_to_go():
    assert churn(snapshot([3101]), rows_of([0], epoch=1)).moved == 0


def test_too_much_churn_is_refused_with_the_figures():
    with pytest.raises(FailedPrecondition) as caught:
        check_churn(Churn(2_000, 300), 0.1)

    assert caught.value.reason == "CHURN_TOO_HIGH"
    assert caught.value.metadata["moved"] == "300"
    assert "15.0%" in str(caught.value)


@pytest.mark.parametrize("found", [Churn(2_000, 200), Churn(900, 900)])
def test_little_churn_and_few_labels_pass(found):
    check_churn(found, 0.1)


def test_the_share_of_nothing_is_nothing():
    assert Churn(0, 0).share == 0
    assert np.isclose(Churn(4, 1).share, 0.25)
