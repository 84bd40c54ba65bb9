"""The job that learns a risk model from what was known at past times and what came after."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from google.longrunning import operations_pb2_grpc

from services.common.clock import Clock
from services.common.errors import FailedPrecondition
from services.common.store import Store
from services.common.wire import as_of_ms
from services.scoring import domain, past, quality, queries
from services.scoring.drift import Reference
from services.scoring.priors import Priors
from services.scoring.registry import Registry
from services.scoring.rows import RunRows
from zhengming.arbitration.v1 import arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2 as pb

SNAPSHOTS = 6
"""Times that are learned from, SNAPSHOT_DAYS apart."""
SNAPSHOT_DAYS = 15
SAMPLED = 10
"""One in so many of the numbers that nobody marked of late is an example, for all of them."""
WARM_UP_DAYS = 30
"""Marks before a time that its features need at least."""
DAY_MS = 86_400_000


Outcomes = Callable[[domain.I64], tuple[domain.Y, domain.F32]]
"""Outcomes of numbers, plain and graded, (n,) each."""


class Trainer:
    """Learns models and stores them."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        features: features_pb2_grpc.FeaturesServiceStub,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceStub,
        waiting: operations_pb2_grpc.OperationsStub,
        clock: Clock,
        priors: Priors,
    ) -> None:
        self._priors = priors
        self._store, self._registry, self._clock = store, registry, clock
        self._features, self._arbitration, self._waiting = features, arbitration, waiting
        self._rows = RunRows(store, features)

    def train(self, request: pb.TrainModelRequest) -> pb.Model:
        """Learn, store and activate a model.

        Raises:
            FailedPrecondition: TRAINING_SET_TOO_SMALL.
        """
        as_of = as_of_ms(request, self._clock)
        times = self._times(request, as_of)
        parts = [self._examples(request, at, at == as_of) for at in times]
        names = parts[-1][0]
        at = np.repeat(times, [len(part[1]) for part in parts])
        columns = [[part[i] for part in parts] for i in range(1, 6)]
        del parts
        # One column after the other, each let go once it is whole: the rows are most of the memory.
        numbers, rows, weights, bad, graded = (_joined(columns.pop(0)) for _ in range(5))
        return self._learn(request, times, names, at, numbers, rows, weights, bad, graded)

    def examples(
        self, request: pb.TrainModelRequest, as_of: int
    ) -> tuple[tuple[str, ...], domain.I64, domain.F32, domain.F32, domain.Y, domain.F32]:
        """What `train` would learn from at its last time; see `_examples`."""
        return self._examples(request, as_of, True)

    def _times(self, request: pb.TrainModelRequest, as_of: int) -> list[int]:
        """Times to learn from, ascending, the last one as_of: more of them show more outcomes."""
        earlier = [as_of - i * SNAPSHOT_DAYS * DAY_MS for i in range(SNAPSHOTS - 1, 0, -1)]
        first = queries.first_mark_ms(self._store)
        known = [at for at in earlier if first and at - WARM_UP_DAYS * DAY_MS >= first]
        return [as_of] if request.HasField("truth") else [*known, as_of]

    def _examples(
        self, request: pb.TrainModelRequest, as_of: int, is_last: bool
    ) -> tuple[tuple[str, ...], domain.I64, domain.F32, domain.F32, domain.Y, domain.F32]:
        """Names of the features; numbers, rows, weights, outcomes plain and graded, as of a time.

        Without given truth, the numbers that nobody marked in the 30 days before hold little that
        is new: of the last time one in SAMPLED of them is an example and stands for the others, of
        the earlier times none.
        """
        run = self._prepare(as_of)
        names = self._rows.names(run)
        given = request.HasField("truth")
        if given:
            first = np.unique(np.array(request.truth.number_keys, dtype=np.int64))
        else:
            first, _ = queries.marks_between(self._store, as_of - WARM_UP_DAYS * DAY_MS, as_of)
        chance = np.random.default_rng(request.seed)
        outcomes = self._outcomes(request, as_of)
        numbers: list[domain.I64] = []
        rows: list[domain.F32] = []
        weights: list[domain.F32] = []
        after = -1
        while True:
            some, some_rows = self._rows.after(run, after)
            if not len(some):
                break
            after = int(some[-1])
            weight = np.isin(some, first).astype(np.float32)
            if is_last and not given:
                weight[(weight == 0) & (chance.random(len(some)) < 1 / SAMPLED)] = SAMPLED
            kept = weight > 0
            numbers.append(some[kept])
            rows.append(some_rows[kept])
            weights.append(weight[kept])
        if not numbers:
            raise FailedPrecondition(
                "TRAINING_SET_TOO_SMALL",
                "no number is known as of that time",
                positive_count=0,
                negative_count=0,
                minimum=domain.MIN_EXAMPLES,
            )
        found = np.concatenate(numbers)
        return (
            names,
            found,
            np.concatenate(rows),
            np.concatenate(weights),
            *outcomes(found),
        )

    def _prepare(self, as_of: int) -> int:
        """Have features, priors and posteriors computed as of a time; the run's id."""
        return past.prepare(
            self._features, self._arbitration, self._waiting, as_of, self._priors.write
        )

    def _outcomes(self, request: pb.TrainModelRequest, as_of: int) -> Outcomes:
        """Tells which numbers turned out bad, and how nearly: half for one mark too few."""
        if request.HasField("truth"):
            keys = np.array(request.truth.number_keys, dtype=np.int64)
            known = keys[np.array(request.truth.bad, dtype=bool)]
            return lambda some: (np.isin(some, known), np.isin(some, known).astype(np.float32))
        end = as_of + (request.horizon_days or 30) * DAY_MS
        later, count = queries.marks_between(self._store, as_of, end)
        minimum = domain.positive_minimum(request.positive)
        often, nearly = later[count >= minimum], later[count >= max(minimum - 1, 1)]

        def found(some: domain.I64) -> tuple[domain.Y, domain.F32]:
            bad = np.isin(some, often)
            graded = (bad.astype(np.float32) + np.isin(some, nearly)) / 2
            return bad, graded.astype(np.float32)

        return found

    def _learn(
        self,
        request: pb.TrainModelRequest,
        times: list[int],
        names: tuple[str, ...],
        at: domain.I64,
        numbers: domain.I64,
        rows: domain.F32,
        weights: domain.F32,
        bad: domain.Y,
        graded: domain.F32,
    ) -> pb.Model:
        booster, slope, intercept, risk, trees = domain.fit(
            rows, bad, graded, weights, numbers, request.seed
        )
        judged = weights < SAMPLED  # given ones, or those marked in the 30 days before
        horizon_days = request.horizon_days or 30
        known = at <= times[-1] - horizon_days * DAY_MS
        apart = quality.kept_apart(
            rows,
            bad,
            graded,
            weights,
            numbers,
            known,
            judged & (at == times[-1]),
            trees,
            request.seed,
        )
        digest = hashlib.sha256(rows.data)
        digest.update(bad.data)
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        version = f"{now:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:8]}"
        target = (
            "given truth"
            if request.HasField("truth")
            else f"{request.positive or 'marks>=3'} within {horizon_days} days"
        )
        card: dict[str, Any] = {
            "name": "risk",
            "version": version,
            "target": target,
            "positive_marks": domain.positive_minimum(request.positive),
            "horizon_days": horizon_days,
            "as_of": _iso(times[-1]),
            "learned_as_of": [_iso(at) for at in times],
            "features": list(names),
            "calibration": {"method": "platt", "slope": slope, "intercept": intercept},
            "trees": trees,
            "parameters": domain.PARAMETERS,
            "seed": request.seed,
            "row_count": len(bad),
            "positive_count": int(bad.sum()),
            "data_sha256": digest.hexdigest(),
            "out_of_fold": domain.metrics(risk[judged], bad[judged], weights[judged]),
            **apart,
            "slices": quality.slices(names, rows, risk, bad, weights, judged),
        }
        # Of the last time alone: the rows of the earlier ones are not those of all numbers.
        newest = at == times[-1]
        share = weights * newest
        reference = Reference.of(names, rows, risk, share, request.seed) if share.any() else None
        self._registry.save("risk", version, booster, card, reference)
        if not request.only_if_better:
            self._registry.activate("risk", version)
        model = pb.Model(
            name="risk",
            version=version,
            active=not request.only_if_better,
            card_json=next(c for v, c, _ in self._registry.cards("risk") if v == version),
        )
        model.create_time.FromDatetime(now)
        return model


def _joined(parts: list[Any]) -> Any:
    """Arrays one after the other; each is let go once it is copied."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()
