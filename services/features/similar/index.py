"""Nearest points by faiss (Douze et al. 2024, arXiv:2401.08281), with numbers as their ids."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from services.features.similar.embedding import TRAITS, Scale

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

EXACT = 200_000
"""Up to so many points every one is compared; beyond, the nearest of some cells."""
PROBED = 24
"""Cells that are looked at; loadtests/bench_neighbours.py prints what this finds."""
PER_CELL = 40
"""Points that k-means learns a cell from (faiss asks for 39)."""


@dataclass
class NeighbourIndex:
    """Points of numbers with behaviour, as of a run.

    Attributes:
        run, as_of_ms: of the features they come from.
        scale: makes points of traits.
    """

    run: int
    as_of_ms: int
    scale: Scale
    _faiss: Any

    @classmethod
    def of(
        cls,
        run: int,
        as_of_ms: int,
        scale: Scale,
        numbers: I64,
        points: F32,
        exact: int = EXACT,
    ) -> "NeighbourIndex":
        """Index points, (n, d), of distinct numbers, (n,); up to `exact` of them exactly."""
        dimensions = len(TRAITS)
        flat = faiss.IndexFlatL2(dimensions)
        index: Any
        if len(numbers) <= exact:
            index = faiss.IndexIDMap2(flat)
        else:
            cells = int(np.sqrt(len(numbers)))
            index = faiss.IndexIVFFlat(flat, dimensions, cells)
            step = max(len(points) // (PER_CELL * cells), 1)
            index.train(np.ascontiguousarray(points[::step]))
            index.nprobe = PROBED
            index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
        index.add_with_ids(points, numbers)
        return cls(run, as_of_ms, scale, index)

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    def search(self, number: int, point: F32, count: int) -> tuple[I64, F32]:
        """The nearest others of a number's point, (d,), nearest first, and their distances."""
        distance, found = self._faiss.search(point[None, :], count + 1)
        other = (found[0] >= 0) & (found[0] != number)
        return found[0][other][:count], np.sqrt(np.maximum(distance[0][other][:count], 0))

    def points(self, numbers: I64) -> F32:
        """Points of numbers that are there, (n, d)."""
        found = np.empty((len(numbers), len(TRAITS)), dtype=np.float32)
        for row, number in enumerate(numbers.tolist()):
            found[row] = self._faiss.reconstruct(number)
        return found

    def points_there(self, numbers: I64) -> F32:
        """Points of those numbers that are there, (m, d)."""
        return self.points(np.array([n for n in numbers.tolist() if self._has(n)], dtype=np.int64))

    def _has(self, number: int) -> bool:
        try:
            self._faiss.reconstruct(number)
        except RuntimeError:
            return False
        return True

    def update(self, numbers: I64, points: F32, gone: I64) -> None:
        """Put points of numbers in, in place of those they had; take out those that are gone."""
        old = np.concatenate([numbers, gone])
        # An index of cells takes ids out by an array of them only, the exact one by any selector.
        self._faiss.remove_ids(faiss.IDSelectorArray(len(old), faiss.swig_ptr(old)))
        if len(numbers):
            self._faiss.add_with_ids(points, numbers)

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all, and remove those of other runs."""
        folder.mkdir(parents=True, exist_ok=True)
        card = {
            "run": self.run,
            "as_of_ms": self.as_of_ms,
            "traits": list(TRAITS),
            "mean": self.scale.mean.tolist(),
            "deviation": self.scale.deviation.tolist(),
            "number_count": len(self),
        }
        partial = folder / f".{self.run}.part"
        faiss.write_index(self._faiss, str(partial))
        partial.replace(folder / f"{self.run}.faiss")
        partial.write_text(json.dumps(card))
        partial.replace(folder / f"{self.run}.json")
        for old in [*folder.glob("*.faiss"), *folder.glob("*.json")]:
            if old.stem != str(self.run):
                old.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, run: int) -> "NeighbourIndex | None":
        """That of a run; None if there is none or it was made of other traits."""
        try:
            card = json.loads((folder / f"{run}.json").read_text())
            if card["traits"] != list(TRAITS):
                return None
            index = faiss.read_index(str(folder / f"{run}.faiss"))
        except (OSError, ValueError, KeyError, RuntimeError):
            return None
        if index.ntotal != card["number_count"] or index.d != len(TRAITS):
            return None
        scale = Scale(
            np.array(card["mean"], dtype=np.float32), np.array(card["deviation"], dtype=np.float32)
        )
        return cls(run, int(card["as_of_ms"]), scale, index)
