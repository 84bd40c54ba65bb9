"""What the other services say of numbers that are to be published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.common import posterior
from services.common.store import Store
from services.common.wire import category_id, packed, unpacked
from services.reputation import queries
from services.reputation.compose import Fired, Judged
from services.reputation.published.packing import TOP, Columns
from services.reputation.rules import UNDECIDED
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2, features_pb2_grpc
from zhengming.ingest.v1 import ingest_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2, scoring_pb2_grpc

CALL_TIMEOUT_S = 60
COUNTS = (
    "reporter_count",
    "mark_count",
    "former_mark_count",
    "epoch",
    "first_mark_ms",
    "last_mark_ms",
)
"""Of `Judged.counts`."""
REASON_RISK = 0.2
"""Risk from which features are named as reasons."""
ROWS_AT_ONCE = 2_048
"""Rows that a model is asked for in a call."""
REASONED_ROWS = 50
"""The riskiest changed rows of a batch that get them: above 1 ms a row, and numbers are to be
published as fast as thousands are marked a second. The full pass names those left out."""


@dataclass(frozen=True)
class Inputs:
    """What touched numbers were scored from: names, values (n, f), and by which model."""

    names: list[str]
    values: npt.NDArray[np.float32]
    model_version: str


@dataclass(frozen=True)
class Upstream:
    """Stubs of the services that a published value is composed from."""

    ingest: ingest_pb2_grpc.IngestServiceStub
    features: features_pb2_grpc.FeaturesServiceStub
    arbitration: arbitration_pb2_grpc.ArbitrationServiceStub
    scoring: scoring_pb2_grpc.ScoringServiceStub


def judge_touched(
    upstream: Upstream, numbers: npt.NDArray[np.int64], as_of_ms: int
) -> tuple[Judged, Inputs]:
    """What the other services say of touched numbers, ascending, as of a time."""
    keys = numbers.tolist()
    names, values, fired = _features(upstream, keys, as_of_ms, with_signals=True)
    classes, log_ratios = priors_of(upstream.scoring, keys, names, values)
    ask = arbitration_pb2.BatchArbitrateRequest(
        number_keys=keys,
        prior_classes=classes,
        prior_log_ratios=log_ratios,
        as_columns=True,
    )
    ask.as_of_time.FromMilliseconds(as_of_ms)
    judged = upstream.arbitration.BatchArbitrate(ask, timeout=CALL_TIMEOUT_S).columns
    values = _without_suspicions(upstream, keys, as_of_ms, values, judged)
    count = len(keys)
    categories = np.zeros((count, TOP), dtype=np.uint16)
    probabilities = np.zeros((count, TOP), dtype=np.float32)
    told = (count, judged.width)
    probabilities[:, : judged.width] = np.reshape(judged.probabilities, told)
    ids = np.array([category_id(code) for code in judged.categories], dtype=np.uint16)
    categories[:, : judged.width] = ids[np.reshape(judged.category_indexes, told)]
    categories[probabilities == 0] = 0
    told_counts = (
        judged.reporter_counts,
        judged.mark_counts,
        judged.former_mark_counts,
        judged.epochs,
        judged.first_mark_ms,
        judged.last_mark_ms,
    )
    counts = {
        name: np.array(found, dtype=np.int64)
        for name, found in zip(COUNTS, told_counts, strict=True)
    }
    effective = np.array(judged.effective_sources)
    more = posterior.columns(
        categories, probabilities, effective, counts["mark_count"], counts["former_mark_count"]
    )
    more[counts["mark_count"] == 0] = np.nan
    names, values = [*names, *posterior.NAMES], np.concatenate([values, more], axis=1)
    risk, model_version = risks_of(upstream.scoring, names, values)
    signals = [(of.number_key, s.code, s.is_victim) for of in fired for s in of.signals]
    decided = [_decided(code) for code in judged.decided_categories]
    return (
        Judged(
            number=numbers,
            categories=categories,
            probabilities=probabilities,
            counts=counts,
            effective_sources=effective,
            decided=np.array(decided, dtype=np.int64),
            risk=risk,
            reasons=[""] * count,
            signals=Fired(
                np.array([number for number, _, _ in signals], dtype=np.int64),
                [code for _, code, _ in signals],
                np.array([victim for _, _, victim in signals], dtype=bool),
            ),
        ),
        Inputs(names, values, model_version),
    )


def priors_of(
    scoring: scoring_pb2_grpc.ScoringServiceStub,
    keys: Sequence[int],
    names: Sequence[str],
    values: npt.NDArray[np.float32],
) -> tuple[list[str], list[float]]:
    """Classes of the one model, and what it says of each row, one after the other."""

    def ask(rows: slice) -> scoring_pb2.BatchGetPriorsResponse:
        request = scoring_pb2.BatchGetPriorsRequest(
            number_keys=keys[rows], names=names, packed_values=packed(values[rows])
        )
        return scoring.BatchGetPriors(request, timeout=CALL_TIMEOUT_S)

    answers = _by_one_model(ask, len(values))
    return list(answers[0].classes), [ratio for one in answers for ratio in one.log_ratios]


def risks_of(
    scoring: scoring_pb2_grpc.ScoringServiceStub,
    names: Sequence[str],
    values: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], str]:
    """Risk of each row, (n,), and the version of the one model that said so."""

    def ask(rows: slice) -> scoring_pb2.BatchScoreResponse:
        request = scoring_pb2.BatchScoreRequest(names=names, packed_values=packed(values[rows]))
        return scoring.BatchScore(request, timeout=CALL_TIMEOUT_S)

    answers = _by_one_model(ask, len(values))
    risks = [score.risk for answer in answers for score in answer.scores]
    return np.array(risks), answers[0].model_version


class _OfModel(Protocol):
    model_version: str


Answer = TypeVar("Answer", bound=_OfModel)


def _by_one_model(ask: Callable[[slice], Answer], count: int) -> list[Answer]:
    """Answers for some rows after the other, asked for again where another model came between.

    What a call carries is there six times: in messages, in bytes and in the transport.
    """
    while True:
        starts = range(0, max(count, 1), ROWS_AT_ONCE)
        answers = [ask(slice(start, start + ROWS_AT_ONCE)) for start in starts]
        if len({answer.model_version for answer in answers}) == 1:
            return answers


def _decided(code: str) -> int:
    if not code:
        return UNDECIDED
    return 0 if code == "CLEARED" else category_id(code)


def nobody() -> tuple[Judged, Inputs]:
    """What is said of no number."""
    none = np.zeros(0, dtype=np.int64)
    return (
        Judged(
            number=none,
            categories=np.zeros((0, TOP), dtype=np.uint16),
            probabilities=np.zeros((0, TOP), dtype=np.float32),
            counts=dict.fromkeys(COUNTS, none),
            effective_sources=np.zeros(0),
            decided=none,
            risk=np.zeros(0),
            reasons=(),
        ),
        Inputs([], np.zeros((0, 0), dtype=np.float32), ""),
    )


def _features(
    upstream: Upstream,
    keys: Sequence[int],
    as_of_ms: int,
    excluded: Sequence[int] = (),
    with_signals: bool = False,
) -> tuple[list[str], npt.NDArray[np.float32], Sequence[features_pb2.NumberSignals]]:
    """Names of features, a row of them for each number, and which rules fired."""
    ask = features_pb2.BatchGetFeaturesRequest(
        number_keys=keys, excluded_mark_keys=excluded, packed=True, with_signals=with_signals
    )
    ask.as_of_time.FromMilliseconds(as_of_ms)
    found = upstream.features.BatchGetFeatures(ask, timeout=CALL_TIMEOUT_S)
    rows = unpacked(found.packed_values, "packed_values").reshape(len(keys), -1)
    return list(found.names), rows, found.signals


def _without_suspicions(
    upstream: Upstream,
    keys: Sequence[int],
    as_of_ms: int,
    rows: npt.NDArray[np.float32],
    judged: arbitration_pb2.PosteriorColumns,
) -> npt.NDArray[np.float32]:
    """Feature rows, (n, features), in which no mark in quarantine counts.

    Arbitration finds these marks after the features were asked for; few numbers have any.
    """
    held = sorted(set(judged.quarantined_rows))
    if not held:
        return rows
    found = rows.copy()
    excluded = judged.quarantined_mark_keys
    found[held] = _features(upstream, [keys[i] for i in held], as_of_ms, excluded)[1]
    return found


def add_reasons(
    scoring: scoring_pb2_grpc.ScoringServiceStub,
    rows: Columns,
    risk: npt.NDArray[np.float64],
    inputs: Inputs,
    changed: npt.NDArray[np.bool_],
) -> None:
    """Name the features that raise the risk of the riskiest rows that are published."""
    riskiest = np.argsort(-risk, kind="stable")[:REASONED_ROWS]
    chosen = np.sort(riskiest[risk[riskiest] >= REASON_RISK])
    if not len(chosen):
        return
    values = inputs.values[np.flatnonzero(changed)[chosen]]
    scored = scoring.BatchScore(
        scoring_pb2.BatchScoreRequest(
            names=inputs.names, packed_values=packed(values), contributions=True
        ),
        timeout=CALL_TIMEOUT_S,
    )
    for row, score in zip(chosen.tolist(), scored.scores, strict=True):
        if found := _reasons(score):
            rows["reasons"][row] = ";".join(filter(None, (rows["reasons"][row], found)))


def _reasons(score: scoring_pb2.Score) -> str:
    raising = [c for c in score.contributions if c.log_odds > 0]
    return ";".join(c.feature for c in sorted(raising, key=lambda c: -c.log_odds)[:3])


def judged_of_run(store: Store, run: int) -> Judged:
    """Scores are the list of numbers; a posterior is there for the marked and decided ones."""
    scored = queries.scores(store, run)
    found, fired = queries.posteriors(store, run), queries.signals(store, run)
    number = scored["number"].to_numpy().astype(np.int64)
    at = np.searchsorted(number, found["number"].to_numpy())
    count = len(number)
    categories = np.zeros((count, TOP), dtype=np.uint16)
    probabilities = np.zeros((count, TOP), dtype=np.float32)
    categories[at] = queries.matrix(found["categories"], np.uint16)
    probabilities[at] = queries.matrix(found["probabilities"], np.float32)

    def spread(name: str, absent: int = 0) -> npt.NDArray[np.int64]:
        column = np.full(count, absent, dtype=np.int64)
        column[at] = found[name].to_numpy()
        return column

    effective = np.zeros(count)
    effective[at] = found["effective_sources"].to_numpy()
    return Judged(
        number=number,
        categories=categories,
        probabilities=probabilities,
        counts={
            name: spread(name)
            for name in ("reporter_count", "mark_count", "former_mark_count", "epoch",
                         "first_mark_ms", "last_mark_ms")
        },
        effective_sources=effective,
        decided=spread("decided_category", UNDECIDED),
        risk=scored["risk"].to_numpy().astype(np.float64),
        reasons=scored["reasons"].to_pylist(),
        signals=Fired(
            fired["number"].to_numpy().astype(np.int64),
            fired["code"].to_pylist(),
            fired["victim"].to_numpy() > 0,
        ),
    )  # fmt: skip
