"""What the marks say that is bad: labels of the illegal, malicious or marketing class."""

import numpy as np
import numpy.typing as npt

from services.common.store import Store
from services.common.taxonomy import confirmed
from services.features.similar import queries

I64 = npt.NDArray[np.int64]
CLASSES = (1, 2, 3)
"""Of axis A."""


def hostile(store: Store, as_of_ms: int, numbers: I64) -> tuple[I64, I64]:
    """Hostile marks of the last 30 days on ascending numbers, and the category they name most often
    (0 without any); both (n,).
    """
    table = queries.said(store, as_of_ms, numbers)
    category_of = _categories(store)
    category = np.array([category_of.get(x, 0) for x in table["label"].to_pylist()], dtype=np.int64)
    bad = category > 0
    at = np.searchsorted(numbers, table["number"].to_numpy().astype(np.int64)[bad])
    times, category = table["times"].to_numpy().astype(np.int64)[bad], category[bad]
    count = np.bincount(at, times, minlength=len(numbers)).astype(np.int64)
    pairs, place = np.unique(np.stack([at, category]), axis=1, return_inverse=True)
    sums = np.bincount(place.ravel(), times, minlength=pairs.shape[1])
    most = np.zeros(len(numbers), dtype=np.int64)
    order = np.argsort(sums, kind="stable")
    most[pairs[0, order]] = pairs[1, order]  # the last one written holds
    return count, most


def _categories(store: Store) -> dict[int, int]:
    """The hostile category that each label most probably means."""
    crosswalk = confirmed.crosswalk_with(queries.confirmed_meanings(store))
    table = queries.labels(store)
    found = {}
    columns = (table[name].to_pylist() for name in ("label", "name", "text"))
    for label, source, text in zip(*columns, strict=True):
        rows = crosswalk.map_label(source, text).rows
        if rows:
            category = max(rows, key=lambda row: row[1])[0]
            if int(str(category)[0]) in CLASSES:
                found[label] = category
    return found
