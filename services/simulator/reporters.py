"""The people who mark: how many use each source, how carefully they choose, how much they mark."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.simulator.vocabulary import SOURCES

CARES = ("careful", "ordinary", "careless", "mis-clicking", "colluding")
CAREFUL, ORDINARY, CARELESS, MISCLICKING, COLLUDING = range(5)
_USERS_PER_NUMBER = 0.55
_LEAST_USERS = 24


@dataclass(frozen=True)
class Reporters:
    """Everybody who may mark, as columns.

    Attributes:
        token: opaque id, 16 hexadecimal digits.
        source: index of the source each uses.
        care: index into `CARES`.
        activity: relative readiness to mark.
    """

    token: list[str]
    source: NDArray[np.int64]
    care: NDArray[np.int8]
    activity: NDArray[np.float64]

    def draw(
        self, rng: np.random.Generator, source: int, count: int, *, careless_only: bool = False
    ) -> NDArray[np.int64]:
        """Draws `count` reporters of a source by their activity, with replacement."""
        pool = np.flatnonzero(self.source == source)
        if careless_only:
            # Somebody may err even where a source has no careless user at all.
            care = self.care[pool]
            erring = pool[(care == CARELESS) | (care == MISCLICKING)]
            pool = erring if len(erring) else pool
        edges = np.cumsum(self.activity[pool])
        picks = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
        return np.asarray(pool[np.minimum(picks, len(pool) - 1)])

    def joined(
        self, count: int, source: NDArray[np.int64], rng: np.random.Generator
    ) -> "Reporters":
        """The same with `count` new colluding accounts of the given sources at the end."""
        return Reporters(
            token=self.token + draw_tokens(rng, count),
            source=np.concatenate([self.source, source]),
            care=np.concatenate([self.care, np.full(count, COLLUDING, np.int8)]),
            activity=np.concatenate([self.activity, np.zeros(count)]),
        )


def draw_reporters(rng: np.random.Generator, numbers: int) -> Reporters:
    """Draws each source's users for a city of `numbers` numbers."""
    source, care = [], []
    for index, entry in enumerate(SOURCES):
        if entry.coverage == 0:
            continue
        users = max(_LEAST_USERS, round(numbers * entry.coverage * _USERS_PER_NUMBER))
        source.append(np.full(users, index, dtype=np.int64))
        care.append(rng.choice(4, size=users, p=entry.care).astype(np.int8))
    sources = np.concatenate(source)
    return Reporters(
        token=draw_tokens(rng, len(sources)),
        source=sources,
        care=np.concatenate(care),
        activity=rng.lognormal(0.0, 1.1, len(sources)),
    )


def draw_tokens(rng: np.random.Generator, count: int) -> list[str]:
    """Random opaque ids of 16 hexadecimal digits."""
    halves = rng.integers(0, 2**32, size=(count, 2))
    return [f"{high:08x}{low:08x}" for high, low in halves.tolist()]
