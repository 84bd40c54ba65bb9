"""Priors of behaviour in the store, on both engines."""

import numpy as np
import pytest

from services.application import ROOT
from services.arbitration import queries as arbitration
from services.arbitration.queries import Span
from services.common.migrate import migrate
from services.configuration import NAMES as SERVICES
from services.scoring import queries
from tests.store.test_arbitration import AS_OF, add_marks

NUMBERS = (1 << 60) + 8613800138000 + np.arange(6)
RATIOS = np.array([[0.5, -1.0], [0.0, 2.0]], dtype=np.float32)


@pytest.fixture
def store(either):
    for name in SERVICES:
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    return either


def test_rows_are_those_of_marked_numbers_of_which_behaviour_is_known(store):
    rows = np.array([[i, np.nan if i % 2 else 20 + i] for i in range(6)], dtype=np.float32)
    store.insert(
        "features",
        {"run": np.full(6, 7, np.uint64), "number": NUMBERS, "row": rows.tolist()},
    )
    add_marks(store, [(int(n), AS_OF, 7, 0, 1, 0) for n in NUMBERS[1:5]])

    marked, found = queries.known_rows(store, 7, 1, -1, 10, marked=True)
    known, _ = queries.known_rows(store, 7, 1, int(NUMBERS[0]), 10, marked=False)

    assert marked.tolist() == NUMBERS[[2, 4]].tolist()
    assert found.tolist() == rows[[2, 4]].tolist()
    assert known.tolist() == NUMBERS[[2, 4]].tolist()


def test_arbitration_reads_the_priors_of_its_run_and_range(store):
    queries.insert_priors(store, 7, NUMBERS[:2], RATIOS)
    queries.insert_priors(store, 6, NUMBERS[2:4], RATIOS)
    queries.finish_prior_run(store, 7, (0, 3200), "v", 2, AS_OF)

    high = Span(int(NUMBERS[1]), int(NUMBERS[5]))
    numbers, values = arbitration.priors(store, 7, high)

    assert arbitration.prior_classes(store, 7) == (0, 3200)
    assert numbers.tolist() == NUMBERS[1:2].tolist()
    assert values.tolist() == RATIOS[1:].tolist()


def test_a_run_without_any_prior_has_no_classes(store):
    queries.finish_prior_run(store, 7, (0, 3200), "v", 0, AS_OF)

    assert arbitration.prior_classes(store, 7) == ()
    assert arbitration.prior_classes(store, 8) == ()
