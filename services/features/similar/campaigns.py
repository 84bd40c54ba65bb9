"""Which numbers seem to be worked together. Pure.

Numbers are joined where they call alike and something else ties them; a campaign is what hangs
together. Calling alike: mutual nearest neighbours (Brito, Chavez, Quiroz & Yukich 1997, doi
10.1016/S0167-7152(96)00213-1), no further apart than the median of the distances to the K-th
(the k-distance of Ester et al. 1996).
"""

import faiss
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from services.common.numbering.keys import VALUE_MASK

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

K = 10
BLOCK = 10_000
SAME_DAYS = 0.5
"""Share of the days on which either called that both did. Ours."""
MIN_NUMBERS = 3
"""Fewer are no campaign. Ours."""
NONE = -1


def find(numbers: I64, points: F32, days: npt.NDArray[np.uint32], said: I64) -> I64:
    """The campaign of each number, from 0, largest first; NONE for most, int64 (n,).

    Args:
        numbers: ascending keys of numbers that something bad is said of.
        points: (n, d), how they call.
        days: bit i: it called i + 1 days ago.
        said: the category that is said of them most often; 0: nothing bad.
    """
    count = len(numbers)
    if count < MIN_NUMBERS:
        return np.full(count, NONE, dtype=np.int64)
    first, second = _alike(points)
    blocks = blocks_of(numbers)
    same_block = blocks[first] == blocks[second]
    both = np.bitwise_count(days[first] & days[second])
    either = np.bitwise_count(days[first] | days[second])
    same_days = both >= SAME_DAYS * np.maximum(either, 1)
    same_said = (said[first] == said[second]) & (said[first] != 0)
    tied = same_block | (same_days & same_said)
    edges = (np.ones(int(tied.sum()), dtype=bool), (first[tied], second[tied]))
    _, component = connected_components(coo_matrix(edges, shape=(count, count)), directed=False)
    sizes = np.bincount(component)
    large = np.flatnonzero(sizes >= MIN_NUMBERS)
    rank = np.full(len(sizes), NONE, dtype=np.int64)
    rank[large[np.argsort(-sizes[large], kind="stable")]] = np.arange(len(large))
    return rank[component]


def blocks_of(numbers: I64) -> I64:
    """What numbers that differ in their last four digits only have in common, (n,)."""
    # The class in the high bits is no multiple of a block; within the value it is.
    return (numbers & ~np.int64(VALUE_MASK)) | (numbers & VALUE_MASK) // BLOCK


def _alike(points: F32) -> tuple[I64, I64]:
    """Pairs of mutual neighbours within the radius, each pair once."""
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    distance, near = index.search(points, min(K + 1, len(points)))
    rows = np.repeat(np.arange(len(points)), near.shape[1])
    others, apart = near.ravel(), distance.ravel()
    within = (apart <= np.median(distance[:, -1])) & (rows != others) & (others >= 0)
    pairs = rows[within] * len(points) + others[within]
    back = others[within] * len(points) + rows[within]
    mutual = np.isin(pairs, back) & (rows[within] < others[within])
    return rows[within][mutual], others[within][mutual]
