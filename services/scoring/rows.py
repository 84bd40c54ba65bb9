"""Whole rows of a run, features then posterior, in chunks."""

import numpy as np
import numpy.typing as npt

from services.common import posterior
from services.common.errors import FailedPrecondition
from services.common.store import Store
from services.scoring import domain, queries
from zhengming.features.v1 import features_pb2, features_pb2_grpc

FEATURES_TIMEOUT_S = 120
CHUNK = 250_000
MAX_BATCH = 10_000


class RunRows:
    """Reads the rows of runs of features and arbitration."""

    def __init__(self, store: Store, features: features_pb2_grpc.FeaturesServiceStub) -> None:
        self._store, self._features = store, features

    def names(self, run: int) -> tuple[str, ...]:
        """Names of the columns.

        Raises:
            FailedPrecondition: JOB_NOT_RUN.
        """
        names = queries.run_names(self._store, run)
        if names is None:
            raise FailedPrecondition(
                "JOB_NOT_RUN",
                f"features and arbitration of run {run} are not finished",
                job="arbitration",
                as_of="",
            )
        return (*names, *posterior.NAMES)

    def after(self, run: int, last: int) -> tuple[npt.NDArray[np.int64], domain.F32]:
        """The next chunk of numbers above `last` and their whole rows, features then posterior."""
        numbers, rows = queries.feature_rows(self._store, run, last, CHUNK)
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
            found = self._features.BatchGetFeatures(
                request, timeout=FEATURES_TIMEOUT_S, wait_for_ready=True
            )
            fresh = np.array(found.values, dtype=np.float32).reshape(len(some), -1)
            rows[np.searchsorted(numbers, some)] = fresh
