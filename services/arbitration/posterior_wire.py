"""What arbitration found, as messages."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.arbitration.judging import Arbitrated
from services.common.times import timestamp
from services.common.wire import category_code
from zhengming.arbitration.v1 import arbitration_pb2 as pb
from zhengming.type.v1 import category_pb2

MIN_PROBABILITY = 0.01
MAX_EVIDENCE = 20
_COUNTS = (
    "reporter_count",
    "mark_count",
    "former_mark_count",
    "quarantined_mark_count",
    "epoch",
    "epoch_start_time",
    "first_mark_time",
    "last_mark_time",
)
"""Fields of a Posterior that are columns of Arbitrated.counts."""
_COLUMN = {"quarantined_mark_count": "quarantined_count"}
_COLUMNS = {
    "reporter_counts": "reporter_count",
    "mark_counts": "mark_count",
    "former_mark_counts": "former_mark_count",
    "epochs": "epoch",
    "first_mark_ms": "first_mark_ms",
    "last_mark_ms": "last_mark_ms",
}
"""Fields of PosteriorColumns that are columns of Arbitrated.counts."""


def posteriors(
    found: Arbitrated, names: Mapping[int, tuple[str, str]], meaning_of: Callable[[int], int]
) -> list[pb.Posterior]:
    """A message a number, in their order.

    Args:
        names: source and label by label key.
        meaning_of: category id of a label key.
    """
    columns = []
    for field in _COUNTS:
        values = found.counts[_COLUMN.get(field, field.replace("_time", "_ms"))].tolist()
        if field.endswith("_time"):
            values = [timestamp(ms) if ms else None for ms in values]
        columns.append(values)
    messages = [
        pb.Posterior(
            number_key=number,
            effective_sources=effective,
            distribution=distribution,
            **dict(zip(_COUNTS, counts, strict=True)),
        )
        for number, effective, distribution, *counts in zip(
            found.numbers.tolist(),
            found.effective_sources.tolist(),
            _distributions(found),
            *columns,
            strict=True,
        )
    ]
    for row in np.flatnonzero(found.decided_category >= 0).tolist():
        messages[row].decided_by = found.decided_by[row]
        messages[row].decided_category = _decided(int(found.decided_category[row]))
    held = found.suspicions
    at = np.searchsorted(found.numbers, held["number"])
    for row, key in zip(at.tolist(), held["mark_key"].tolist(), strict=True):
        messages[row].quarantined_mark_keys.append(key)
    _add_evidence(messages, found, names, meaning_of)
    return messages


def posterior_columns(found: Arbitrated, place: npt.NDArray[np.int64]) -> pb.PosteriorColumns:
    """The same by columns, in the order asked.

    Args:
        place: row of each number asked, (n,).
    """
    categories, indexes = np.unique(found.categories[place], return_inverse=True)
    probabilities = found.probabilities[place]
    at = np.searchsorted(found.numbers, found.suspicions["number"])
    order = np.argsort(at, kind="stable")
    first, last = (np.searchsorted(at[order], place, side) for side in ("left", "right"))
    held = [order[first[row] : last[row]] for row in np.flatnonzero(last > first)]
    return pb.PosteriorColumns(
        categories=[category_code(category) for category in categories.tolist()],
        width=found.categories.shape[1],
        category_indexes=indexes.ravel().tolist(),
        probabilities=np.where(probabilities < MIN_PROBABILITY, 0, probabilities).ravel().tolist(),
        effective_sources=found.effective_sources[place].tolist(),
        decided_categories=[_decided(i) for i in found.decided_category[place].tolist()],
        quarantined_rows=np.repeat(np.arange(len(place)), last - first).tolist(),
        quarantined_mark_keys=[
            key for some in held for key in found.suspicions["mark_key"][some].tolist()
        ],
        **{field: found.counts[name][place].tolist() for field, name in _COLUMNS.items()},
    )


def _decided(category: int) -> str:
    return "" if category < 0 else category_code(category) or "CLEARED"


def _distributions(found: Arbitrated) -> Iterator[list[category_pb2.CategoryProbability]]:
    for categories, probabilities in zip(
        found.categories.tolist(), found.probabilities.tolist(), strict=True
    ):
        yield [
            category_pb2.CategoryProbability(
                category=category_code(category), probability=probability
            )
            for category, probability in zip(categories, probabilities, strict=True)
            if probability >= MIN_PROBABILITY
        ]


def _add_evidence(
    messages: Sequence[pb.Posterior],
    found: Arbitrated,
    names: Mapping[int, tuple[str, str]],
    meaning_of: Callable[[int], int],
) -> None:
    """Tell in each message what its labels add, the most telling first."""
    evidence = found.evidence
    at = np.searchsorted(found.numbers, evidence["number"])
    for row in np.argsort(-np.abs(evidence["log_odds"]), kind="stable").tolist():
        message = messages[at[row]]
        if len(message.evidence) >= MAX_EVIDENCE:
            continue
        key = int(evidence["label"][row])
        source, label = names[key]
        message.evidence.add(
            source=source,
            label=label,
            category=category_code(meaning_of(key)),
            mark_count=int(evidence["mark_count"][row]),
            weight=float(evidence["weight"][row]),
            log_odds=float(evidence["log_odds"][row]),
            last_mark_time=timestamp(int(evidence["last_mark_ms"][row])),
        )
