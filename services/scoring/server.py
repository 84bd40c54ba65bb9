"""zhengming.scoring.v1 over gRPC, and its jobs."""

import grpc
import numpy as np
from google.longrunning import operations_pb2, operations_pb2_grpc

from services.common.clock import Clock
from services.common.errors import InvalidArgument, out_of_range
from services.common.operations import Operations
from services.common.store import Store
from services.common.wire import category_code, check_batch, run_of, unpacked
from services.scoring import domain, queries
from services.scoring.lifecycle import Retrainer
from services.scoring.prior_training import PriorTrainer
from services.scoring.priors import Priors
from services.scoring.registry import NAMES, Registry
from services.scoring.rows import RunRows
from services.scoring.training import Trainer
from services.scoring.watch_wire import described
from services.scoring.watching import RunWatch, judge_due
from zhengming.arbitration.v1 import arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2 as pb
from zhengming.scoring.v1 import scoring_pb2_grpc as pb_grpc

MAX_BATCH = 10_000
REASON_RISK = 0.2
"""Risk from which the job looks for reasons."""
REASON_ROWS = 5_000
"""The riskiest rows of a chunk that get reasons in the job: contributions cost about 1 ms a row;
touched numbers get them if they change and are among the riskiest of their batch."""
MAX_REASONS = 3


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
        self._operations = operations
        self._rows = RunRows(store, features)
        self._priors = Priors(store, registry, clock)
        learning = (store, registry, features, arbitration, waiting, clock)
        self._trainer = Trainer(*learning, self._priors)
        self._prior_trainer = PriorTrainer(*learning)
        self._retrainer = Retrainer(registry, self._trainer, clock)

    def BatchScore(
        self, request: pb.BatchScoreRequest, context: grpc.ServicerContext
    ) -> pb.BatchScoreResponse:
        """Score the rows in order."""
        rows = _rows(request)
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

    def BatchGetPriors(
        self, request: pb.BatchGetPriorsRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetPriorsResponse:
        """Tell the priors of the numbers, in order."""
        rows = _rows(request)
        if len(rows) != len(request.number_keys):
            raise InvalidArgument(
                "COLUMN_LENGTH_MISMATCH",
                f"{len(request.number_keys)} number_keys have {len(rows)} rows of values",
                field="number_keys",
                length=len(request.number_keys),
                expected=len(rows),
            )
        numbers = np.array(request.number_keys, dtype=np.int64)
        classes, found, version = self._priors.of(numbers, list(request.names), rows)
        return pb.BatchGetPriorsResponse(
            classes=[category_code(category) for category in classes],
            log_ratios=found.ravel().tolist(),
            model_version=version,
        )

    def RunPriors(
        self, request: pb.RunPriorsRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        run = run_of(request.run_id)
        self._priors.check(run)

        def work() -> pb.RunPriorsResponse:
            count, version = self._priors.write(run)
            return pb.RunPriorsResponse(number_count=count, model_version=version)

        return self._operations.start("priors", work)

    def RunScoring(
        self, request: pb.RunScoringRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        run = run_of(request.run_id)
        names = self._rows.names(run)
        return self._operations.start("scoring", lambda: self._score(run, names))

    def TrainModel(
        self, request: pb.TrainModelRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        if request.name not in NAMES:
            raise out_of_range("name", repr(request.name[:40]), "'risk' or 'prior'")
        if not 0 <= request.horizon_days <= 365:
            raise out_of_range("horizon_days", request.horizon_days, "1 to 365")
        domain.positive_minimum(request.positive)
        if request.only_if_better and (request.name != "risk" or request.HasField("truth")):
            raise out_of_range("only_if_better", True, "false but for 'risk' without truth")
        trainer: Trainer | PriorTrainer | Retrainer = self._trainer
        if request.name == "prior":
            trainer = self._prior_trainer
        elif request.only_if_better:
            trainer = self._retrainer
        return self._operations.start("training", lambda: trainer.train(request))

    def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelsResponse:
        """List the stored models."""
        return pb.ListModelsResponse(
            models=[
                self._described(pb.Model(name=name, version=version, active=active, card_json=card))
                for name in NAMES
                if request.name in ("", name)
                for version, card, active in self._registry.cards(name)
            ]
        )

    def ShadowModel(
        self, request: pb.ShadowModelRequest, context: grpc.ServicerContext
    ) -> pb.ShadowModelResponse:
        """Put a stored model into shadow, or none."""
        if request.version and request.version == self._registry.active("risk").version:
            raise out_of_range("version", repr(request.version), "a model that is not active")
        self._registry.put_in_shadow(request.version)
        return pb.ShadowModelResponse(version=request.version)

    def ActivateModel(
        self, request: pb.ActivateModelRequest, context: grpc.ServicerContext
    ) -> pb.Model:
        """Switch to a stored model."""
        model = self._registry.activate(request.name, request.version)
        return pb.Model(name=request.name, version=model.version, active=True)

    def RollbackModel(
        self, request: pb.RollbackModelRequest, context: grpc.ServicerContext
    ) -> pb.Model:
        """Switch back to the model before."""
        if request.name not in NAMES:
            raise out_of_range("name", repr(request.name[:40]), "'risk' or 'prior'")
        model = self._registry.rollback(request.name)
        return pb.Model(name=request.name, version=model.version, active=True)

    def _described(self, model: pb.Model) -> pb.Model:
        """Add what was seen of a model of risk while it scored."""
        if model.name == "risk":
            model.shadow = model.version == self._registry.shadowed()
            described(self._store, model)
        return model

    def _score(self, run: int, names: tuple[str, ...]) -> pb.RunScoringResponse:
        model = self._registry.active("risk")
        model.check(names)
        watch = RunWatch(self._store, self._registry, self._clock, run, model)
        after, total = -1, 0
        while True:
            numbers, rows = self._rows.after(run, after)
            if not len(numbers):
                break
            risk = model.risk(rows)
            reasons = _reasons(model, rows, risk)
            queries.insert_scores(self._store, run, numbers, risk.astype(np.float32), reasons)
            watch.add(numbers, rows, risk)
            after, total = int(numbers[-1]), total + len(numbers)
        queries.finish_run(self._store, run, model.version, total, self._clock())
        watch.finish()
        judge_due(self._store, self._clock)
        return pb.RunScoringResponse(number_count=total, model_version=model.version)


def _rows(request: pb.BatchScoreRequest | pb.BatchGetPriorsRequest) -> domain.F32:
    """Values of a request, row by row.

    Raises:
        InvalidArgument: COLUMN_LENGTH_MISMATCH or BATCH_SIZE_INVALID.
    """
    field = "packed_values" if request.packed_values else "values"
    values = unpacked(request.packed_values, field) if request.packed_values else request.values
    width = len(request.names)
    if not width or len(values) % width:
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH",
            f"{field} has {len(values)} entries, no multiple of {width} names",
            field=field,
            length=len(values),
            expected=width,
        )
    rows = np.array(values, dtype=np.float32).reshape(-1, width)
    check_batch(len(rows), MAX_BATCH, field)
    return rows


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
