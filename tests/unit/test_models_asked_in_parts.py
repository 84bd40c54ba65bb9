"""Models are asked for some rows at a time, and one of them answers for all."""

from itertools import chain, repeat

import numpy as np
import pytest

from services.common.wire import unpacked
from services.reputation.judging import priors_of, risks_of
from zhengming.scoring.v1 import scoring_pb2 as pb


class Scoring:
    """Says of a row what its values sum to; its calls are answered by these models in turn."""

    def __init__(self, *models):
        self._models = chain(models, repeat(models[-1]))
        self.sizes = []

    def BatchScore(self, request, timeout):
        rows = unpacked(request.packed_values, "packed_values").reshape(-1, len(request.names))
        self.sizes.append(len(rows))
        model = next(self._models)
        scores = [pb.Score(risk=total + 100 * (model == "old")) for total in rows.sum(axis=1)]
        return pb.BatchScoreResponse(scores=scores, model_version=model)

    def BatchGetPriors(self, request, timeout):
        rows = unpacked(request.packed_values, "packed_values").reshape(-1, len(request.names))
        self.sizes.append(len(request.number_keys))
        model = next(self._models)
        ratios = rows[:, 0] + np.array(request.number_keys) + 100 * (model == "old")
        return pb.BatchGetPriorsResponse(
            classes=["2000" if model == "old" else "3000"], log_ratios=ratios, model_version=model
        )


@pytest.fixture
def values(monkeypatch):
    monkeypatch.setattr("services.reputation.judging.ROWS_AT_ONCE", 2)
    return np.arange(10, dtype=np.float32).reshape(5, 2)


def test_each_row_has_its_own_risk(values):
    scoring = Scoring("new")

    risks, version = risks_of(scoring, ["a", "b"], values)

    assert risks.tolist() == [1, 5, 9, 13, 17]
    assert version == "new"
    assert scoring.sizes == [2, 2, 1]


def test_rows_are_scored_again_when_another_model_came_between(values):
    scoring = Scoring("old", "new")

    risks, version = risks_of(scoring, ["a", "b"], values)

    assert risks.tolist() == [1, 5, 9, 13, 17]
    assert version == "new"
    assert len(scoring.sizes) == 6


def test_priors_are_those_of_one_model_for_all_numbers(values):
    scoring = Scoring("old", "new")

    classes, ratios = priors_of(scoring, [7, 8, 9, 10, 11], ["a", "b"], values)

    assert classes == ["3000"]
    assert ratios == [7, 10, 13, 16, 19]
    assert scoring.sizes == [2, 2, 1, 2, 2, 1]
