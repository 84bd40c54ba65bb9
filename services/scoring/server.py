"""zhengming.scoring.v1 over gRPC, and its jobs."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from google.longrunning import operations_pb2, operations_pb2_grpc

from services.common import operations as jobs
from services.common import posterior
from services.common.clock import Clock
from services.common.errors import FailedPrecondition, InvalidArgument, out_of_range
from services.common.operations import Operations
from services.common.store import Store
from services.common.wire import as_of_ms, check_batch
from services.scoring import domain, queries
from services.scoring.registry import Registry
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2, features_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2 as pb
from zhengming.scoring.v1 import scoring_pb2_grpc as pb_grpc

MAX_BATCH = 10_000
FEATURES_TIMEOUT_S = 120
CHUNK = 250_000
REASON_RISK = 0.2
"""Risk from which the job looks for reasons."""
REASON_ROWS = 5_000
"""The riskiest rows of a chunk that get reasons in the job: contributions cost about 1 ms a row;
every other number gets them when it is touched."""
MAX_REASONS = 3
SNAPSHOTS = 6
"""Times that are learned from, SNAPSHOT_DAYS apart."""
SNAPSHOT_DAYS = 15
SAMPLED = 10
"""One in so many of the numbers that nobody marked of late is an example, for all of them."""
WARM_UP_DAYS = 30
"""Marks before a time that its features need at least."""
DAY_MS = 86_400_000


class ScoringServicer(pb_grpc.ScoringServiceServicer):
    """Scores with the active model."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        features: features_pb2_grpc.FeaturesServiceStub,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceStub,
        waiting: operations_pb2_grpc.OperationsStub,
        operations: Operations,
        clock: Clock,
    ) -> None:
        self._store, self._registry, self._clock = store, registry, clock
        self._features, self._arbitration, self._waiting = features, arbitration, waiting
        self._operations = operations

    def BatchScore(
        self, request: pb.BatchScoreRequest, context: grpc.ServicerContext
    ) -> pb.BatchScoreResponse:
        """Score the rows in order."""
        width = len(request.names)
        if not width or len(request.values) % width:
            raise InvalidArgument(
                "COLUMN_LENGTH_MISMATCH",
                f"values has {len(request.values)} entries, no multiple of {width} names",
                field="values",
                length=len(request.values),
                expected=width,
            )
        rows = np.array(request.values, dtype=np.float32).reshape(-1, width)
        check_batch(len(rows), MAX_BATCH, "values")
        model = self._registry.active("risk")
        model.check(tuple(request.names))
        scores = [pb.Score(risk=risk) for risk in model.risk(rows).tolist()]
        if request.contributions:
            parts = model.contributions(rows)
            for score, row, part in zip(scores, rows, parts, strict=True):
                for at in np.argsort(-np.abs(part), kind="stable")[:10].tolist():
                    score.contributions.add(
                        feature=model.names[at], value=float(row[at]), log_odds=float(part[at])
                    )
        return pb.BatchScoreResponse(scores=scores, model_version=model.version)

    def RunScoring(
        self, request: pb.RunScoringRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        run = int(request.run_id) if request.run_id.isdigit() else 0
        names = self._run_names(run)
        return self._operations.start("scoring", lambda: self._score(run, names))

    def TrainModel(
        self, request: pb.TrainModelRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        if request.name != "risk":
            raise out_of_range("name", repr(request.name[:40]), "'risk'")
        if not 0 <= request.horizon_days <= 365:
            raise out_of_range("horizon_days", request.horizon_days, "1 to 365")
        domain.positive_minimum(request.positive)
        return self._operations.start("training", lambda: self._train(request))

    def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelsResponse:
        """List the stored models."""
        return pb.ListModelsResponse(
            models=[
                pb.Model(name="risk", version=version, active=active, card_json=card)
                for version, card, active in self._registry.cards("risk")
            ]
        )

    def ActivateModel(
        self, request: pb.ActivateModelRequest, context: grpc.ServicerContext
    ) -> pb.Model:
        """Switch to a stored model."""
        model = self._registry.activate(request.name, request.version)
        return pb.Model(name=request.name, version=model.version, active=True)

    def _run_names(self, run: int) -> tuple[str, ...]:
        names = queries.run_names(self._store, run)
        if names is None:
            raise FailedPrecondition(
                "JOB_NOT_RUN",
                f"features and arbitration of run {run} are not finished",
                job="arbitration",
                as_of="",
            )
        return (*names, *posterior.NAMES)

    def _score(self, run: int, names: tuple[str, ...]) -> pb.RunScoringResponse:
        model = self._registry.active("risk")
        model.check(names)
        after, total = -1, 0
        while True:
            numbers, rows = self._rows(run, after)
            if not len(numbers):
                break
            risk = model.risk(rows)
            reasons = _reasons(model, rows, risk)
            queries.insert_scores(self._store, run, numbers, risk.astype(np.float32), reasons)
            after, total = int(numbers[-1]), total + len(numbers)
        queries.finish_run(self._store, run, model.version, total, self._clock())
        return pb.RunScoringResponse(number_count=total, model_version=model.version)

    def _rows(self, run: int, after: int) -> tuple[npt.NDArray[np.int64], domain.F32]:
        """The next chunk of numbers and their whole rows, features then posterior."""
        numbers, rows = queries.feature_rows(self._store, run, after, CHUNK)
        if not len(numbers):
            return numbers, rows
        self._without_suspicions(run, numbers, rows)
        found = queries.posteriors(self._store, run, int(numbers[0]), int(numbers[-1]))
        more = np.full((len(numbers), len(posterior.NAMES)), np.nan, dtype=np.float32)
        # A number without marks has no posterior of its own in a run: unknown, as when serving.
        at = np.minimum(np.searchsorted(numbers, found["number"]), len(numbers) - 1)
        have = (numbers[at] == found["number"]) & (found["mark_count"] > 0)
        if have.any():
            columns = posterior.columns(
                found["categories"],
                found["probabilities"],
                found["effective_sources"],
                found["mark_count"],
                found["former_mark_count"],
            )
            more[at[have]] = columns[have]
        return numbers, np.concatenate([rows, more], axis=1)

    def _without_suspicions(
        self, run: int, numbers: npt.NDArray[np.int64], rows: domain.F32
    ) -> None:
        """Put in place the rows of numbers with marks in quarantine, those marks left out.

        Arbitration finds such marks after the features are built; they are few.
        """
        held = queries.suspicions(self._store, run, int(numbers[0]), int(numbers[-1]))
        affected = np.unique(held["number"])
        for start in range(0, len(affected), MAX_BATCH):
            some = affected[start : start + MAX_BATCH]
            of_some = np.isin(held["number"], some)
            request = features_pb2.BatchGetFeaturesRequest(
                number_keys=some.tolist(), excluded_mark_keys=held["mark_key"][of_some].tolist()
            )
            request.as_of_time.FromMilliseconds(queries.run_as_of_ms(self._store, run))
            found = self._features.BatchGetFeatures(request, timeout=FEATURES_TIMEOUT_S)
            fresh = np.array(found.values, dtype=np.float32).reshape(len(some), -1)
            rows[np.searchsorted(numbers, some)] = fresh

    def _train(self, request: pb.TrainModelRequest) -> pb.Model:
        as_of = as_of_ms(request, self._clock)
        times = self._times(request, as_of)
        parts = [self._examples(request, at, at == as_of) for at in times]
        names = parts[-1][0]
        numbers, rows, weights, bad, graded = (
            np.concatenate([part[i] for part in parts]) for i in range(1, 6)
        )
        del parts
        return self._learn(request, times, names, numbers, rows, weights, bad, graded)

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
        names = self._run_names(run)
        given = request.HasField("truth")
        if given:
            first = np.unique(np.array(request.truth.number_keys, dtype=np.int64))
        else:
            first, _ = queries.marks_between(self._store, as_of - WARM_UP_DAYS * DAY_MS, as_of)
        chance = np.random.default_rng(request.seed)
        numbers: list[domain.I64] = []
        rows: list[domain.F32] = []
        weights: list[domain.F32] = []
        after = -1
        while True:
            some, some_rows = self._rows(run, after)
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
            *self._outcomes(request, as_of, found),
        )

    def _prepare(self, as_of: int) -> int:
        """Have features and posteriors computed as of a time; the run's id."""
        features = features_pb2.BuildFeaturesRequest()
        features.as_of_time.FromMilliseconds(as_of)
        built = features_pb2.BuildFeaturesResponse()
        jobs.wait(self._waiting, self._features.BuildFeatures(features, timeout=60), built)
        judge = arbitration_pb2.RunArbitrationRequest(run_id=built.run_id)
        judge.as_of_time.FromMilliseconds(as_of)
        jobs.wait(
            self._waiting,
            self._arbitration.RunArbitration(judge, timeout=60),
            arbitration_pb2.RunArbitrationResponse(),
        )
        return int(built.run_id)

    def _outcomes(
        self, request: pb.TrainModelRequest, as_of: int, numbers: domain.I64
    ) -> tuple[domain.Y, domain.F32]:
        """Which numbers turned out bad, and how nearly: half for one mark too few."""
        if request.HasField("truth"):
            keys = np.array(request.truth.number_keys, dtype=np.int64)
            bad = np.isin(numbers, keys[np.array(request.truth.bad, dtype=bool)])
            return bad, bad.astype(np.float32)
        end = as_of + (request.horizon_days or 30) * DAY_MS
        later, count = queries.marks_between(self._store, as_of, end)
        minimum = domain.positive_minimum(request.positive)
        bad = np.isin(numbers, later[count >= minimum])
        nearly = np.isin(numbers, later[count >= max(minimum - 1, 1)])
        return bad, ((bad.astype(np.float32) + nearly) / 2).astype(np.float32)

    def _learn(
        self,
        request: pb.TrainModelRequest,
        times: list[int],
        names: tuple[str, ...],
        numbers: domain.I64,
        rows: domain.F32,
        weights: domain.F32,
        bad: domain.Y,
        graded: domain.F32,
    ) -> pb.Model:
        booster, slope, intercept, risk, trees = domain.fit(
            rows, bad, graded, weights, numbers, request.seed
        )
        judged = weights == 1  # given ones, or those marked in the 30 days before
        digest = hashlib.sha256(rows.tobytes() + bad.tobytes()).hexdigest()
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        version = f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}"
        target = (
            "given truth"
            if request.HasField("truth")
            else f"{request.positive or 'marks>=3'} within {request.horizon_days or 30} days"
        )
        card: dict[str, Any] = {
            "name": "risk",
            "version": version,
            "target": target,
            "as_of": _iso(times[-1]),
            "learned_as_of": [_iso(at) for at in times],
            "features": list(names),
            "calibration": {"method": "platt", "slope": slope, "intercept": intercept},
            "trees": trees,
            "parameters": domain.PARAMETERS,
            "seed": request.seed,
            "row_count": len(bad),
            "positive_count": int(bad.sum()),
            "data_sha256": digest,
            "out_of_fold": domain.metrics(risk[judged], bad[judged]),
        }
        self._registry.save("risk", version, booster, card)
        self._registry.activate("risk", version)
        model = pb.Model(
            name="risk",
            version=version,
            active=True,
            card_json=next(c for v, c, _ in self._registry.cards("risk") if v == version),
        )
        model.create_time.FromDatetime(now)
        return model


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def _reasons(model: domain.RiskModel, rows: domain.F32, risk: domain.F64) -> list[str]:
    reasons = [""] * len(risk)
    risky = np.argsort(-risk, kind="stable")[:REASON_ROWS]
    chosen = np.sort(risky[risk[risky] >= REASON_RISK])
    if not len(chosen):
        return reasons
    parts = model.contributions(rows[chosen])
    order = np.argsort(-parts, axis=1, kind="stable")[:, :MAX_REASONS]
    for row, best, part in zip(chosen.tolist(), order, parts, strict=True):
        reasons[row] = ";".join(model.names[i] for i in best if part[i] > 0)
    return reasons


def register(server: grpc.Server, servicer: ScoringServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_ScoringServiceServicer_to_server(servicer, server)
