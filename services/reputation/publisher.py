"""Publishing: full runs as one version, touched numbers within a second or two."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from services.common import posterior
from services.common.clock import Clock
from services.common.errors import FailedPrecondition
from services.common.store import Store
from services.common.wire import category_id
from services.reputation import queries, snapshot
from services.reputation.compose import Fired, Judged, Registry, compose
from services.reputation.published import table
from services.reputation.published.packing import TOP, Columns
from services.reputation.published.shelf import Mark
from services.reputation.rules import UNDECIDED
from services.reputation.state import PublishedState
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2, features_pb2_grpc
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2, scoring_pb2_grpc

log = logging.getLogger(__name__)

MAX_CHURN = 0.1
"""Share of the established labels that one full pass may move (Community Notes stops its own pass
at 0.12 to 0.30, by kind; domain/anchors.md)."""
MIN_ESTABLISHED = 1_000
"""With fewer established labels a share says little."""

BATCH = 5_000
READ_AT_ONCE = 1_000_000
"""Rows read from the store at a time where the folder has nothing good."""
LIVE = 0
CALL_TIMEOUT_S = 60


REASON_RISK = 0.2
"""Risk from which features are named as reasons."""
REASONED_ROWS = 200
"""The riskiest changed rows of a batch that get them: they cost about 1 ms a row, and a batch is to
be published within a second."""


@dataclass(frozen=True)
class _Inputs:
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


class Publisher:
    """The only writer of the published state."""

    def __init__(
        self,
        store: Store,
        upstream: Upstream,
        published: PublishedState,
        clock: Clock,
        max_churn: float = MAX_CHURN,
    ) -> None:
        self._store, self._upstream, self._state = store, upstream, published
        self._clock, self._max_churn = clock, max_churn
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._load()

    def publish_run(self, run: int, max_churn: float | None = None) -> tuple[int, int, int]:
        """Publish a full run. Returns version, changed numbers, numbers.

        Args:
            max_churn: share of the established labels that may move; None: as configured.

        Raises:
            FailedPrecondition: JOB_NOT_RUN; CHURN_TOO_HIGH, and nothing is published.
        """
        times = queries.run_times(self._store, run)
        if times is None:
            raise FailedPrecondition(
                "JOB_NOT_RUN", f"run {run} is not scored", job="scoring", as_of=""
            )
        as_of_ms, cursor, model_version = times
        judged = _judged_of_run(self._store, run)
        with self._lock:
            before = self._state.snapshot
            live = as_of_ms >= before.as_of_ms
            version = self._next_version()
            registry = self._registry(as_of_ms)
            disputed = queries.disputed(self._store, as_of_ms)
            rows = compose(judged, registry, version, as_of_ms, model_version, disputed)
            if live:
                changed = snapshot.moved(before, rows)
                rows = {name: column[changed] for name, column in rows.items()}
                check_churn(
                    snapshot.churn(before, rows),
                    self._max_churn if max_churn is None else max_churn,
                )
                lineage = LIVE
            else:  # a pass over the past is kept whole and apart; consumers do not see it
                lineage = version
            now_ms = self._clock()
            total = len(judged.number)
            if live:
                total = before.number_count + before.count_new(judged.number)
            queries.insert_version(
                self._store, lineage, version, as_of_ms, now_ms, total, cursor, run, rows
            )
            if live:
                self._state.apply(rows, version, as_of_ms, now_ms, cursor)
        return version, len(rows["number"]), total

    def start(self) -> None:
        """Follow what ingest commits, in a thread of its own."""
        self._thread = threading.Thread(target=self._follow, name="publisher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch under way and stop."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def publish_changes(self, wait_s: float) -> bool:
        """Publish the next batch of touched numbers; whether there was one."""
        before = self._state.snapshot
        request = ingest_pb2.ListChangesRequest(cursor=before.change_cursor, page_size=BATCH)
        request.wait.FromMilliseconds(int(wait_s * 1000))
        changes = self._upstream.ingest.ListChanges(request, timeout=CALL_TIMEOUT_S)
        if not changes.number_keys:
            return False
        numbers = np.array(changes.number_keys, dtype=np.int64)
        as_of_ms = self._clock()
        judged, inputs = self._judge(numbers, as_of_ms)
        with self._lock:
            if self._state.snapshot is not before:
                return True  # a full run came between: look again from its cursor
            version = self._next_version()
            disputed = queries.disputed(self._store, as_of_ms, numbers)
            rows = compose(
                judged, self._registry(as_of_ms), version, as_of_ms, inputs.model_version, disputed
            )
            changed = snapshot.moved(before, rows)
            rows = {name: column[changed] for name, column in rows.items()}
            self._add_reasons(rows, judged.risk[changed], inputs, changed)
            now_ms = self._clock()
            total = before.number_count + before.count_new(rows["number"])
            queries.insert_version(
                self._store, LIVE, version, as_of_ms, now_ms, total, changes.next_cursor, 0, rows
            )
            self._state.apply(rows, version, as_of_ms, now_ms, changes.next_cursor)
        return True

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self.publish_changes(wait_s=0.5)
            except grpc.RpcError as error:
                log.warning("following ingest failed, trying again", extra={"code": str(error)})
                self._stopping.wait(1.0)
            except Exception:
                log.exception("publishing touched numbers failed, trying again")
                self._stopping.wait(5.0)

    def _judge(self, numbers: npt.NDArray[np.int64], as_of_ms: int) -> tuple[Judged, "_Inputs"]:
        keys = numbers.tolist()
        rows = self._features(keys, as_of_ms)
        priors = self._upstream.scoring.BatchGetPriors(
            scoring_pb2.BatchGetPriorsRequest(
                number_keys=keys, names=rows.names, values=rows.values
            ),
            timeout=CALL_TIMEOUT_S,
        )
        ask = arbitration_pb2.BatchArbitrateRequest(
            number_keys=keys,
            prior_classes=priors.classes,
            prior_log_ratios=priors.log_ratios,
        )
        ask.as_of_time.FromMilliseconds(as_of_ms)
        judged = self._upstream.arbitration.BatchArbitrate(ask, timeout=CALL_TIMEOUT_S).posteriors
        own = self._without_suspicions(keys, as_of_ms, rows, judged)
        count = len(keys)
        categories = np.zeros((count, TOP), dtype=np.uint16)
        probabilities = np.zeros((count, TOP), dtype=np.float32)
        for i, found in enumerate(judged):
            for j, item in enumerate(found.distribution[:TOP]):
                categories[i, j] = category_id(item.category)
                probabilities[i, j] = item.probability
        counts = {
            name: np.array([getattr(p, name) for p in judged], dtype=np.int64)
            for name in ("reporter_count", "mark_count", "former_mark_count", "epoch")
        }
        for name in ("first_mark", "last_mark"):
            times = [getattr(p, f"{name}_time").ToMilliseconds() for p in judged]
            counts[f"{name}_ms"] = np.array(times, dtype=np.int64)
        effective = np.array([p.effective_sources for p in judged])
        more = posterior.columns(
            categories, probabilities, effective, counts["mark_count"], counts["former_mark_count"]
        )
        more[counts["mark_count"] == 0] = np.nan
        names, values = [*rows.names, *posterior.NAMES], np.concatenate([own, more], axis=1)
        scored = self._upstream.scoring.BatchScore(
            scoring_pb2.BatchScoreRequest(names=names, values=values.ravel().tolist()),
            timeout=CALL_TIMEOUT_S,
        )
        ask_signals = features_pb2.BatchGetSignalsRequest(number_keys=keys)
        ask_signals.as_of_time.FromMilliseconds(as_of_ms)
        fired = self._upstream.features.BatchGetSignals(ask_signals, timeout=CALL_TIMEOUT_S)
        signals = [(r.number_key, s.code, s.is_victim) for r in fired.results for s in r.signals]
        decided = [
            UNDECIDED
            if not p.decided_category
            else (0 if p.decided_category == "CLEARED" else category_id(p.decided_category))
            for p in judged
        ]
        return (
            Judged(
                number=numbers,
                categories=categories,
                probabilities=probabilities,
                counts=counts,
                effective_sources=effective,
                decided=np.array(decided, dtype=np.int64),
                risk=np.array([score.risk for score in scored.scores]),
                reasons=[""] * count,
                signals=Fired(
                    np.array([number for number, _, _ in signals], dtype=np.int64),
                    [code for _, code, _ in signals],
                    np.array([victim for _, _, victim in signals], dtype=bool),
                ),
            ),
            _Inputs(names, values, scored.model_version),
        )

    def _features(
        self, keys: Sequence[int], as_of_ms: int, excluded: Sequence[int] = ()
    ) -> features_pb2.BatchGetFeaturesResponse:
        ask = features_pb2.BatchGetFeaturesRequest(number_keys=keys, excluded_mark_keys=excluded)
        ask.as_of_time.FromMilliseconds(as_of_ms)
        return self._upstream.features.BatchGetFeatures(ask, timeout=CALL_TIMEOUT_S)

    def _without_suspicions(
        self,
        keys: Sequence[int],
        as_of_ms: int,
        rows: features_pb2.BatchGetFeaturesResponse,
        judged: Sequence[arbitration_pb2.Posterior],
    ) -> npt.NDArray[np.float32]:
        """Feature rows, (n, features), in which no mark in quarantine counts.

        Arbitration finds these marks after the features were asked for; few numbers have any.
        """
        own = np.array(rows.values, dtype=np.float32).reshape(len(keys), -1)
        held = [i for i, found in enumerate(judged) if found.quarantined_mark_keys]
        if held:
            excluded = [key for i in held for key in judged[i].quarantined_mark_keys]
            fresh = self._features([keys[i] for i in held], as_of_ms, excluded)
            own[held] = np.array(fresh.values, dtype=np.float32).reshape(len(held), -1)
        return own

    def _add_reasons(
        self,
        rows: Columns,
        risk: npt.NDArray[np.float64],
        inputs: "_Inputs",
        changed: npt.NDArray[np.bool_],
    ) -> None:
        """Name the features that raise the risk of the riskiest rows that are published."""
        riskiest = np.argsort(-risk, kind="stable")[:REASONED_ROWS]
        chosen = np.sort(riskiest[risk[riskiest] >= REASON_RISK])
        if not len(chosen):
            return
        values = inputs.values[np.flatnonzero(changed)[chosen]]
        scored = self._upstream.scoring.BatchScore(
            scoring_pb2.BatchScoreRequest(
                names=inputs.names, values=values.ravel().tolist(), contributions=True
            ),
            timeout=CALL_TIMEOUT_S,
        )
        for row, score in zip(chosen.tolist(), scored.scores, strict=True):
            if found := _reasons(score):
                rows["reasons"][row] = ";".join(filter(None, (rows["reasons"][row], found)))

    def _registry(self, as_of_ms: int) -> Registry:
        table = queries.registrations(self._store, as_of_ms)
        return Registry(
            *(table[name].to_pylist() for name in ("number", "prefix", "identity", "purpose"))
        )

    def _next_version(self) -> int:
        self._last_version += 1
        return self._last_version

    def _load(self) -> None:
        """Bring the state to the newest version of the store, from what the folder has of it."""
        known = queries.versions(self._store).to_pylist()
        # Rows of a version that was never recorded must not become part of a later one.
        self._last_version = max(
            [queries.newest_version(self._store), *(row["version"] for row in known)]
        )
        live = [row for row in known if row["lineage"] == LIVE]
        held = self._state.snapshot
        if not live:
            self._state.replace([], Mark())
            return
        newest = _mark(live[-1])
        if any(_mark(row) == _mark_of(held) for row in live):
            if newest.version > held.version:
                rows = queries.rows_since(self._store, LIVE, held.version)
                self._state.apply(
                    rows,
                    newest.version,
                    newest.as_of_ms,
                    newest.publish_ms,
                    newest.change_cursor,
                )
            return
        log.info("the published state is read from the store")
        parts = [
            table.of_columns(queries.state_at(self._store, LIVE, newest.version, start, end))
            for start, end in queries.number_ranges(self._store, LIVE, READ_AT_ONCE)
        ]
        self._state.replace(parts, newest)


def _mark(row: dict[str, Any]) -> Mark:
    """A row of versions; the count of numbers stands apart, it is not compared."""
    return Mark(row["version"], row["as_of_ms"], row["publish_ms"], row["change_cursor"])


def _mark_of(held: snapshot.Snapshot) -> Mark:
    return Mark(held.version, held.as_of_ms, held.publish_ms, held.change_cursor)


def _reasons(score: scoring_pb2.Score) -> str:
    raising = [c for c in score.contributions if c.log_odds > 0]
    return ";".join(c.feature for c in sorted(raising, key=lambda c: -c.log_odds)[:3])


def _judged_of_run(store: Store, run: int) -> Judged:
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


def check_churn(churn: snapshot.Churn, maximum: float) -> None:
    """Accept a version that moves no more than that share of the established labels.

    Raises:
        FailedPrecondition: CHURN_TOO_HIGH.
    """
    if churn.established < MIN_ESTABLISHED or churn.share <= maximum:
        return
    raise FailedPrecondition(
        "CHURN_TOO_HIGH",
        f"{churn.moved} of {churn.established} established labels would move "
        f"({churn.share:.1%}, at most {maximum:.1%} are allowed); nothing was published",
        moved=churn.moved,
        established=churn.established,
        share=round(churn.share, 4),
        maximum=maximum,
    )
