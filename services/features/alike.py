"""How unusual a number's behaviour is: how far those are that call most alike. Pure.

A sample of the numbers with behaviour stands for all: comparing a million with a million would take
hours, and a density needs no more. docs/similar.md has what was tried besides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from services.common.places import place
from services.features.similar.embedding import TRAITS, Scale, active, traits_of

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

SAMPLE = 20_000
"""Numbers that others are compared with, at most."""
NEIGHBOURS = 20
FEW = 19
"""From twenty points on, faiss multiplies matrices and divides these among threads."""


@dataclass(frozen=True)
class References:
    """The sample as of a run.

    Attributes:
        numbers: int64 (r,), ascending.
        traits: float32 (r, d), as `embedding.TRAITS`.
    """

    numbers: I64
    traits: F32
    _scale: Scale = field(init=False)
    _index: Any = field(init=False)

    def __post_init__(self) -> None:
        scale = Scale.of(self.traits)
        index = faiss.IndexFlatL2(len(TRAITS))
        index.add(scale.points(self.traits))
        object.__setattr__(self, "_scale", scale)
        object.__setattr__(self, "_index", index)

    @classmethod
    def sample(cls, numbers: I64, traits: F32) -> "References":
        """SAMPLE of the numbers or fewer, chosen by a hash of the number.

        Args:
            numbers: ascending, those with behaviour, (n,).
            traits: (n, d).
        """
        if len(numbers) <= SAMPLE:
            return cls(numbers, traits)
        # Knuth, TAOCP 6.4: the same numbers in every run, as far as they are there.
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        at = np.sort(np.argpartition(mixed, SAMPLE)[:SAMPLE])
        return cls(numbers[at], traits[at])

    @classmethod
    def nobody(cls) -> "References":
        """Where no carrier has told anything."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros((0, len(TRAITS)), dtype=np.float32))

    def distances(self, numbers: I64, features: Mapping[str, npt.NDArray[Any]]) -> F64:
        """Mean distance of the NEIGHBOURS nearest others, (n,); NaN without behaviour or others.

        Args:
            numbers: int64 (n,).
            features: by name, (n,) each, at least TRAITS.
        """
        found = np.full(len(numbers), np.nan)
        have = np.flatnonzero(active(features))
        if not len(have) or len(self.numbers) <= NEIGHBOURS:
            return found
        points = self._scale.points(traits_of(features, have))
        squares, at = self._search(points)
        own, there = place(self.numbers, numbers[have])
        is_own = (at == own[:, None]) & there[:, None]
        is_own[~is_own.any(axis=1), -1] = True  # one too many where it is not among them
        others = squares[~is_own].reshape(-1, NEIGHBOURS)
        found[have] = np.sqrt(np.maximum(others, 0.0)).sum(axis=1) / NEIGHBOURS
        return found

    def _search(self, points: F32) -> tuple[F32, I64]:
        """Squared distances and places of the nearest of each point, nearest first."""
        threads = faiss.omp_get_max_threads()
        if len(points) > FEW:
            return self._index.search(points, NEIGHBOURS + 1)
        # Waking another thread takes longer than a few searches do. The setting is this thread's.
        faiss.omp_set_num_threads(1)
        try:
            return self._index.search(points, NEIGHBOURS + 1)
        finally:
            faiss.omp_set_num_threads(threads)
