"""The index and the campaigns of the newest run: made by the job, kept up to date, asked."""

import logging
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, NotFound
from services.common.store import Store
from services.features.definitions import NAMES
from services.features.similar import campaigns, embedding, queries
from services.features.similar.hostile import hostile
from services.features.similar.index import NeighbourIndex

log = logging.getLogger(__name__)

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

REPEATED = 2
"""Hostile marks from which a number may belong to a campaign; so may one for which a rule fired."""
MAX_WAITING = 100_000
"""Touched numbers that wait for the index; beyond, the oldest wait for the next run."""
_MARKS = NAMES.index("marks_count")
_NOBODY = np.empty(0, dtype=np.int64)
_NO_TRAITS = np.empty((0, len(embedding.TRAITS)), dtype=np.float32)


@dataclass(frozen=True)
class Found:
    """The numbers most like one.

    Attributes:
        index: that was searched.
        point: of the number asked about, (d,).
        numbers, distances, points: of the others, nearest first, (n,), (n,), (n, d).
    """

    index: NeighbourIndex
    point: F32
    numbers: I64
    distances: F32
    points: F32


@dataclass(frozen=True)
class _Noted:
    """Numbers, distinct, (n,); which have behaviour, (n,); and the traits of those, (m, d)."""

    numbers: I64
    have: npt.NDArray[np.bool_]
    traits: F32


class Neighbours:
    """Numbers that call alike, for one process; threads may share it.

    The features of a run are the source; a file holds the index made of them, so that a start
    needs not read them again. Numbers whose features are computed later replace their points when
    the next question comes.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._lock = threading.Lock()
        self._index: NeighbourIndex | None = None
        self._waiting: deque[_Noted] = deque()

    def build(self, run: int, as_of_ms: int) -> None:
        """Index a run and find its campaigns; called by the job once the run's rows are written."""
        if queries.newest_run(self._store) != (run, as_of_ms):
            return  # of the past, to learn from
        index, numbers, points, marks = self._indexed(run, as_of_ms)
        try:
            index.save(self._folder)
        except (OSError, RuntimeError):  # faiss raises the latter
            log.warning("the index is not saved; a start will make it of the run", exc_info=True)
        conspicuous = queries.conspicuous(self._store, run)
        suspect = (marks >= REPEATED) | np.isin(numbers, conspicuous)
        days = queries.active_days(self._store, as_of_ms, numbers[suspect])
        some, bits = days["number"].to_numpy().astype(np.int64), days["days"].to_numpy()
        count, category = hostile(self._store, as_of_ms, some)
        bad = (count >= REPEATED) | np.isin(some, conspicuous)
        some, bits, count, category = some[bad], bits[bad], count[bad], category[bad]
        found = campaigns.find(
            some, points[np.searchsorted(numbers, some)], bits.astype(np.uint32), category
        )
        member = found != campaigns.NONE
        queries.insert_campaigns(
            self._store,
            run,
            {
                "campaign": (found[member] + 1).astype(np.uint32),
                "number": some[member],
                "hostile": count[member].astype(np.uint32),
                "days": bits[member].astype(np.uint32),
                "category": category[member].astype(np.uint16),
            },
        )

    def note(self, numbers: I64, rows: F32) -> None:
        """Take feature rows as of now, (n, features), of numbers, for the next question."""
        noted = _Noted(numbers, *embedding.traits(rows))
        with self._lock:
            self._waiting.append(noted)
            while sum(len(some.numbers) for some in self._waiting) > MAX_WAITING:
                self._waiting.popleft()

    def search(self, number: int, row: F32, count: int) -> Found:
        """The numbers most like one, nearest first.

        Args:
            number: its key.
            row: its features now, (features,).
            count: how many at most.

        Raises:
            FailedPrecondition: JOB_NOT_RUN.
            NotFound: NO_BEHAVIOUR.
        """
        with self._lock:
            index = self._current()
            have, values = embedding.traits(row[None, :])
            if not have[0]:
                raise NotFound("NO_BEHAVIOUR", "no carrier tells how this number calls")
            point = index.scale.points(values)[0]
            numbers, distances = index.search(number, point, count)
            return Found(index, point, numbers, distances, index.points(numbers))

    def current(self) -> NeighbourIndex:
        """The index of the newest run, with what was touched since.

        Raises:
            FailedPrecondition: JOB_NOT_RUN.
        """
        with self._lock:
            return self._current()

    def _current(self) -> NeighbourIndex:
        newest = queries.newest_run(self._store)
        if newest is None:
            raise FailedPrecondition(
                "JOB_NOT_RUN", "features have not been built yet", job="features", as_of=""
            )
        run, as_of_ms = newest
        names = queries.run_names(self._store, run)
        if names != list(NAMES):
            raise FailedPrecondition(
                "JOB_NOT_RUN",
                "features were built by another version; build them anew",
                job="features",
                as_of=str(as_of_ms),
            )
        if self._index is None or self._index.run != run:
            loaded = NeighbourIndex.load(self._folder, run)
            self._index = loaded or self._indexed(run, as_of_ms)[0]
        if self._waiting:
            every = [*reversed(self._waiting)]  # of a number noted twice the first found counts
            numbers, first = np.unique(
                np.concatenate([some.numbers for some in every]), return_index=True
            )
            have = np.concatenate([some.have for some in every])
            traits = np.concatenate([some.traits for some in every])
            known = have[first]
            points = self._index.scale.points(traits[np.cumsum(have)[first[known]] - 1])
            self._index.update(numbers[known], points, numbers[~known])
            self._waiting.clear()
        return self._index

    def _indexed(self, run: int, as_of_ms: int) -> tuple[NeighbourIndex, I64, F32, I64]:
        """The index of a run; numbers, ascending, their points and marks."""
        numbers, values, marks = [_NOBODY], [_NO_TRAITS], [_NOBODY]
        for some, rows in queries.rows(self._store, run):
            have, found = embedding.traits(rows)
            numbers.append(some[have])
            values.append(found)
            marks.append(np.nan_to_num(rows[have, _MARKS]).astype(np.int64))
        every = np.concatenate(values)
        scale = embedding.Scale.of(every)
        keys, points = np.concatenate(numbers), scale.points(every)
        return (
            NeighbourIndex.of(run, as_of_ms, scale, keys, points),
            keys,
            points,
            np.concatenate(marks),
        )
