"""Watching models while a run is scored: drift, and a candidate in shadow of the active model."""

import logging

import numpy as np

from services.common.clock import Clock
from services.common.places import place
from services.common.store import Store
from services.scoring import domain, lifecycle, queries, watch_queries
from services.scoring.drift import Reference
from services.scoring.registry import Registry

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
DRIFT_ROWS = 10_000
"""About so many rows of a chunk are looked at for drift."""
KEPT_RISK = 0.2
"""Numbers of which one model says more are all kept until it is known what came true."""
KEPT_OTHERS = 10
"""One in so many of the others is kept, and stands for all of them."""
KEPT_EVERY_MS = DAY_MS
"""Time from one run whose scores are kept to the next."""


class RunWatch:
    """Sees each chunk that the active model scores; records at the end."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        run: int,
        model: domain.RiskModel,
    ) -> None:
        self._store, self._registry, self._clock = store, registry, clock
        self._run, self._model = run, model
        self._reference: Reference | None = registry.reference("risk", model.version)
        self._stride = 0
        self._counts: list[domain.I64] = []
        self._shadow = registry.shadow()
        if self._shadow is not None and self._shadow.names != model.names:
            log.warning("the model in shadow knows other features than the active one: not scored")
            self._shadow = None
        self._numbers: list[domain.I64] = []
        self._active: list[domain.F32] = []
        self._candidate: list[domain.F32] = []

    def add(self, numbers: domain.I64, rows: domain.F32, risk: domain.F64) -> None:
        """A chunk: numbers (n,), their rows (n, features), and what the active model said (n,)."""
        if self._reference is not None:
            # The same share of every chunk, or a short last one would count for too much.
            self._stride = self._stride or max(len(rows) // DRIFT_ROWS, 1)
            some = slice(None, None, self._stride)
            self._counts.append(self._reference.count(rows[some], risk[some]))
        if self._shadow is not None:
            self._numbers.append(numbers)
            self._active.append(risk.astype(np.float32))
            self._candidate.append(self._shadow.risk(rows).astype(np.float32))

    def finish(self) -> None:
        """Record what was seen."""
        if self._reference is not None and self._counts:
            watch_queries.insert_drift(
                self._store,
                self._run,
                self._model.version,
                self._reference.names,
                self._reference.indices(np.sum(self._counts, axis=0)),
                self._clock(),
            )
        if self._shadow is not None and self._numbers:
            self._finish_shadow(self._shadow.version)

    def _finish_shadow(self, version: str) -> None:
        numbers = np.concatenate(self._numbers)
        active, candidate = np.concatenate(self._active), np.concatenate(self._candidate)
        as_of = queries.run_as_of_ms(self._store, self._run)
        before = watch_queries.unjudged(self._store)
        positive, horizon_days = self._registry.target(version)
        again = any(found.run == self._run for found in before)
        is_due = not before or as_of - before[-1].as_of_ms >= KEPT_EVERY_MS
        is_kept = again or (is_due and as_of + horizon_days * DAY_MS > self._clock())
        if again:
            watch_queries.drop_shadow_scores(self._store, self._run)
        if is_kept:
            chance = np.random.default_rng(self._run)
            weight = np.where(np.maximum(active, candidate) >= KEPT_RISK, 1, 0).astype(np.float32)
            weight[(weight == 0) & (chance.random(len(weight)) < 1 / KEPT_OTHERS)] = KEPT_OTHERS
            kept = weight > 0
            watch_queries.insert_shadow_scores(
                self._store, self._run, numbers[kept], active[kept], candidate[kept], weight[kept]
            )
        differences = lifecycle.differences(active, candidate)
        watch_queries.insert_shadowed(
            self._store,
            watch_queries.Shadowed(
                run=self._run,
                as_of_ms=as_of,
                version=version,
                active_version=self._model.version,
                number_count=len(numbers),
                mean_absolute=differences.mean_absolute,
                rank_correlation=differences.rank_correlation,
                flipped_ratio=differences.flipped_ratio,
                positive_marks=positive,
                horizon_days=horizon_days,
                is_kept=int(is_kept),
                finished_ms=self._clock(),
            ),
        )


def judge_due(store: Store, clock: Clock) -> int:
    """Compare both models where it is known by now what came true; how many runs were judged."""
    judged = 0
    for found in watch_queries.unjudged(store):
        end = found.as_of_ms + found.horizon_days * DAY_MS
        if end > clock():
            continue
        kept = watch_queries.shadow_scores(store, found.run)
        later, count = queries.marks_between(store, found.as_of_ms, end)
        _, bad = place(later[count >= found.positive_marks], kept["number"])
        told = lifecycle.compare(
            found.active_version,
            kept["risk"].astype(np.float64),
            kept["active_risk"].astype(np.float64),
            bad,
            kept["weight"],
        )
        watch_queries.insert_outcome(
            store,
            watch_queries.Outcome(
                run=found.run,
                as_of_ms=found.as_of_ms,
                version=found.version,
                active_version=found.active_version,
                row_count=told.row_count,
                positive_count=int(bad.sum()),
                log_loss=told.log_loss,
                active_log_loss=told.active_log_loss,
                difference=told.difference,
                lower=told.lower,
                upper=told.upper,
                judged_ms=clock(),
            ),
        )
        watch_queries.drop_shadow_scores(store, found.run)
        judged += 1
    return judged
