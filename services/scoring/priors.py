"""Priors of the numbers of a run, and of touched ones."""

import numpy as np

from services.common.clock import Clock
from services.common.errors import FailedPrecondition
from services.common.store import Store
from services.scoring import queries
from services.scoring.prior import F32, I64, KNOWN
from services.scoring.registry import Registry

CHUNK = 100_000


class Priors:
    """Applies the active model "prior", where there is one."""

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self._store, self._registry, self._clock = store, registry, clock

    def check(self, run: int) -> list[str]:
        """Names of a run's features.

        Raises:
            FailedPrecondition: JOB_NOT_RUN.
        """
        names = queries.feature_names(self._store, run)
        if names is None:
            raise FailedPrecondition(
                "JOB_NOT_RUN", f"features of run {run} are not finished", job="features", as_of=""
            )
        return names

    def write(self, run: int) -> tuple[int, str]:
        """Write the priors of a run of features: of its marked numbers of which behaviour is known.

        Returns:
            How many, and the version of the model; 0 and "" without model or behaviour.

        Raises:
            FailedPrecondition: JOB_NOT_RUN or MODEL_FEATURES_MISMATCH.
        """
        names = self.check(run)
        if not self._registry.has("prior") or not queries.any_behaviour(self._store):
            return 0, ""
        model = self._registry.active("prior")
        columns = model.columns(names)
        known, after, total = names.index(KNOWN), -1, 0
        while True:
            numbers, rows = queries.known_rows(self._store, run, known, after, CHUNK, marked=True)
            if not len(numbers):
                break
            found = model.log_ratios(numbers, rows[:, columns])
            queries.insert_priors(self._store, run, numbers, found)
            after, total = int(numbers[-1]), total + len(numbers)
        queries.finish_prior_run(
            self._store, run, model.classes, model.version, total, self._clock()
        )
        return total, model.version

    def of(self, numbers: I64, names: list[str], rows: F32) -> tuple[tuple[int, ...], F32, str]:
        """Classes, log ratios (n, C) and the model's version; nothing without a model.

        Raises:
            FailedPrecondition: MODEL_FEATURES_MISMATCH.
        """
        if not self._registry.has("prior"):
            return (), np.zeros((len(numbers), 0), dtype=np.float32), ""
        model = self._registry.active("prior")
        found = model.log_ratios(numbers, rows[:, model.columns(names)])
        return model.classes, found, model.version
