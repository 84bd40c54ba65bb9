"""The job that learns what behaviour says of a number's category."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
from google.longrunning import operations_pb2_grpc

from services.common.clock import Clock
from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.places import place
from services.common.store import Store
from services.common.wire import as_of_ms, category_id
from services.scoring import past, prior, queries
from services.scoring.registry import Registry, fold_file
from zhengming.arbitration.v1 import arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2, features_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2 as pb

CHUNK = 100_000
LEAST_TELLING = 0.3
"""Numbers whose marks say less than this beyond the common prior teach nothing."""


class PriorTrainer:
    """Learns from decisions and from what marks say, or from given truth; stores the model."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        features: features_pb2_grpc.FeaturesServiceStub,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceStub,
        waiting: operations_pb2_grpc.OperationsStub,
        clock: Clock,
    ) -> None:
        self._store, self._registry, self._clock = store, registry, clock
        self._features, self._arbitration, self._waiting = features, arbitration, waiting

    def train(self, request: pb.TrainModelRequest) -> pb.Model:
        """Learn, store and activate a model.

        The posteriors that are learned from are made without any prior of behaviour: else the
        model would learn from what it said itself.

        Raises:
            FailedPrecondition: TRAINING_SET_TOO_SMALL.
        """
        as_of = as_of_ms(request, self._clock)
        given = request.HasField("truth")
        run = past.prepare(self._features, self._arbitration, self._waiting, as_of, judge=not given)
        names = queries.feature_names(self._store, run) or []
        columns = self._behaviour_columns(names)
        numbers, rows, targets = (
            self._given(request, run, names, columns)
            if given
            else self._judged(run, names, columns)
        )
        own = tuple(names[i] for i in columns.tolist())
        digest = hashlib.sha256(
            rows.tobytes() + targets.category.tobytes() + targets.probability.tobytes()
        ).hexdigest()
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        version = f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}"
        fitted = prior.fit(own, numbers, rows, targets, request.seed, version)
        model = fitted.model
        card: dict[str, Any] = {
            "name": "prior",
            "version": version,
            "target": "given truth" if given else "decisions, and what marks say without behaviour",
            "as_of": datetime.fromtimestamp(as_of / 1000, UTC).isoformat(),
            "features": list(own),
            "classes": list(model.classes),
            "log_base": np.round(model.log_base, 6).tolist(),
            "calibration": {"method": "temperature", "temperature": model.temperature},
            "folds": prior.FOLDS,
            "trees": fitted.tree_count,
            "parameters": prior.PARAMETERS,
            "seed": request.seed,
            "row_count": len(numbers),
            "data_sha256": digest,
            "out_of_fold": fitted.out_of_fold,
        }
        files = {fold_file(i): booster for i, booster in enumerate(model.boosters)}
        self._registry.save("prior", version, files, card)
        self._registry.activate("prior", version)
        answer = pb.Model(
            name="prior",
            version=version,
            active=True,
            card_json=next(c for v, c, _ in self._registry.cards("prior") if v == version),
        )
        answer.create_time.FromDatetime(now)
        return answer

    def _behaviour_columns(self, names: list[str]) -> prior.I64:
        """Places of the features that no mark changes."""
        listed = self._features.ListFeatures(
            features_pb2.ListFeaturesRequest(), timeout=30, wait_for_ready=True
        )
        chosen = {
            f.name
            for f in listed.features
            if f.group in prior.GROUPS and not f.name.startswith("marks_")
        }
        return np.array([i for i, name in enumerate(names) if name in chosen], dtype=np.int64)

    def _given(
        self, request: pb.TrainModelRequest, run: int, names: list[str], columns: prior.I64
    ) -> tuple[prior.I64, prior.F32, prior.Targets]:
        truth = request.truth
        if len(truth.categories) != len(truth.number_keys):
            raise InvalidArgument(
                "COLUMN_LENGTH_MISMATCH",
                f"truth.categories has {len(truth.categories)} entries, "
                f"truth.number_keys {len(truth.number_keys)}",
                field="truth.categories",
                length=len(truth.categories),
                expected=len(truth.number_keys),
            )
        keys, first = np.unique(np.array(truth.number_keys, dtype=np.int64), return_index=True)
        category = np.array([category_id(code) for code in truth.categories], np.int64)[first]
        numbers, rows = self._rows(run, names, columns)
        at, there = place(keys, numbers)
        chosen = category[at[there]][:, None]
        ones = np.ones(chosen.shape)
        return numbers[there], rows[there], prior.Targets(chosen, ones, ones[:, 0])

    def _judged(
        self, run: int, names: list[str], columns: prior.I64
    ) -> tuple[prior.I64, prior.F32, prior.Targets]:
        numbers, rows = self._rows(run, names, columns)
        found = queries.judged(self._store, run, int(numbers[0]), int(numbers[-1]))
        at, there = place(numbers, found["number"])
        if not there.any():
            raise _too_small()
        category, probability = found["categories"][there], found["probabilities"][there]
        telling = telling_of(category, probability)
        telling[found["decided"][there]] = 1.0
        telling[telling < LEAST_TELLING] = 0.0
        return numbers[at[there]], rows[at[there]], prior.Targets(category, probability, telling)

    def _rows(self, run: int, names: list[str], columns: prior.I64) -> tuple[prior.I64, prior.F32]:
        """Numbers of which behaviour is known, ascending, and their rows of behaviour."""
        known, after = names.index(prior.KNOWN), -1
        numbers: list[prior.I64] = []
        rows: list[prior.F32] = []
        while True:
            some, some_rows = queries.known_rows(
                self._store, run, known, after, CHUNK, marked=False
            )
            if not len(some):
                break
            numbers.append(some)
            rows.append(some_rows[:, columns])
            after = int(some[-1])
        if not numbers:
            raise _too_small()
        return np.concatenate(numbers), np.concatenate(rows)


def telling_of(category: prior.I64, probability: prior.F64) -> prior.F64:
    """How far each posterior, (n, m), is from the mean of all, (n,) in [0, 1]: total variation."""
    keys, at = np.unique(category, return_inverse=True)
    at = at.reshape(category.shape)
    mean = np.bincount(at.ravel(), probability.ravel(), minlength=len(keys)) / len(category)
    return np.asarray(1 - np.minimum(probability, mean[at]).sum(axis=1))


def _too_small() -> FailedPrecondition:
    return FailedPrecondition(
        "TRAINING_SET_TOO_SMALL",
        "carriers told nothing by then of any number with a mark or known truth",
        positive_count=0,
        negative_count=0,
        minimum=prior.MIN_CLASS,
    )
