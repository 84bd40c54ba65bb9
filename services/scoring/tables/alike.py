"""What is known of the labels of rows alike: of one area or block, or linked to a node likewise."""

from dataclasses import dataclass

import numpy as np

from services.scoring.tables.columns import Floats, Ints
from services.scoring.tables.graph import RowLinks
from services.scoring.tables.links import Named, largest
from services.scoring.tables.numbers import Numbers

PRIOR_LINKS = 2.0
PRIOR_NUMBERS = 5.0
"""A rate starts from the base rate as if so many labelled links or numbers had shown it."""

DEGREE_STEPS, WEIGHT_STEPS = 6, 3
"""Degrees are alike between powers of two up to 2^6, weights up to 2^3."""

_AREAS = 10**11
"""Above any country code and area code written together."""


@dataclass(frozen=True)
class Kinds:
    """The kinds of the fitted rows' links and numbers, from which rates are counted.

    Attributes:
        links: of the fitted rows.
        link_kinds: by name, (distinct kinds ascending, place of each link's kind).
        number_kinds: by name, the same of each row's number.
    """

    links: RowLinks
    link_kinds: dict[str, tuple[Ints, Ints]]
    number_kinds: dict[str, tuple[Ints, Ints]]


def find_kinds(links: RowLinks, numbers: Numbers | None, nodes: Numbers | None) -> Kinds:
    """The kinds of fitted rows.

    Args:
        links: of the fitted rows.
        numbers: of the rows, None where ids are no phone numbers.
        nodes: of the graph's nodes, likewise.
    """
    return Kinds(
        links,
        {n: _distinct(kinds) for n, kinds in link_kinds(links, numbers, nodes).items()},
        {} if numbers is None else {n: _distinct(k) for n, k in number_kinds(numbers).items()},
    )


def link_kinds(links: RowLinks, numbers: Numbers | None, nodes: Numbers | None) -> dict[str, Ints]:
    """Kinds of links, (entries,) integers each: two links of one kind lead to one node (or one
    area) from rows of the same degree, weight or area.
    """
    degree = _step(links.counts.astype(np.float64), DEGREE_STEPS)[links.row]
    kinds = {
        "degree": links.node * (DEGREE_STEPS + 1) + degree,
        "weight": links.node * (WEIGHT_STEPS + 1) + _step(links.weight, WEIGHT_STEPS),
    }
    if numbers is not None and nodes is not None:
        kinds["area"] = links.node * _AREAS + numbers.area_key[links.row] + 1
        kinds["node_area"] = (nodes.area_key[links.node] + 1) * (DEGREE_STEPS + 1) + degree
    return kinds


def number_kinds(numbers: Numbers) -> dict[str, Ints]:
    """Kinds of numbers, (rows,) integers each."""
    return {"area": numbers.area_key, "block": numbers.block_key}


def alike_features(
    fitted: Kinds,
    label: Floats,
    links: RowLinks,
    numbers: Numbers | None,
    nodes: Numbers | None,
) -> Named:
    """Label rates of what is alike, of rows whose own labels are hidden in `label`.

    Args:
        fitted: kinds of the fitted rows.
        label: (fitted rows,) 0.0, 1.0, or NaN where hidden or unknown.
        links, numbers, nodes: of the rows to describe, as for `find_kinds`.
    """
    size = len(links.counts)
    known = (~np.isnan(label)).astype(np.float64)
    positive = np.nan_to_num(label)
    base = float(positive.sum() / max(known.sum(), 1.0))
    features: Named = {}
    row = fitted.links.row
    for name, kinds in link_kinds(links, numbers, nodes).items():
        rate, _ = _rates(
            fitted.link_kinds[name], positive[row], known[row], kinds, PRIOR_LINKS, base
        )
        odds = np.log(rate / (1 - rate)) - np.log(base / (1 - base)) if 0 < base < 1 else rate * 0
        total = np.bincount(links.row, weights=odds, minlength=size).astype(np.float64)
        features[f"alike_{name}_sum"] = total
        features[f"alike_{name}_mean"] = total / np.maximum(links.counts, 1)
        features[f"alike_{name}_max"] = largest(links, odds)
    for name, kinds in ({} if numbers is None else number_kinds(numbers)).items():
        rate, seen = _rates(fitted.number_kinds[name], positive, known, kinds, PRIOR_NUMBERS, base)
        features[f"own_{name}_rate"] = rate
        # A share, so that it means the same with a fold hidden as with all labels known.
        features[f"own_{name}_known"] = np.log(seen / max(known.sum(), 1.0) + 1e-6)
    return features


def _rates(
    fitted: tuple[Ints, Ints],
    positive: Floats,
    known: Floats,
    kinds: Ints,
    prior: float,
    base: float,
) -> tuple[Floats, Floats]:
    """The smoothed positive rate of each kind asked about, and how many known labels it has."""
    distinct, place = fitted
    hits = np.bincount(place, weights=positive, minlength=len(distinct) + 1)
    seen = np.bincount(place, weights=known, minlength=len(distinct) + 1)
    at = np.minimum(np.searchsorted(distinct, kinds), max(len(distinct) - 1, 0))
    found = distinct[at] == kinds if len(distinct) else np.zeros(len(kinds), dtype=bool)
    at = np.where(found, at, len(distinct))
    return (hits[at] + prior * base) / (seen[at] + prior), seen[at].astype(np.float64)


def _step(values: Floats, steps: int) -> Ints:
    powers = np.floor(np.log2(np.maximum(values, 1.0))).astype(np.int64)
    return np.minimum(powers, steps)


def _distinct(kinds: Ints) -> tuple[Ints, Ints]:
    distinct, place = np.unique(kinds, return_inverse=True)
    return distinct, place.astype(np.int64)
