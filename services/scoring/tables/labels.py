"""What is known of a row's neighbours' labels, never of its own."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from services.scoring.tables.columns import Floats
from services.scoring.tables.graph import Graph, RowLinks
from services.scoring.tables.links import Named, largest, mean, pad, spread

PRIOR_ROWS = 2.0
"""A label rate starts from the base rate as if this many labelled neighbours had shown it."""

RESTARTS = (0.5, 0.1)
"""Restart probabilities of the walks: near neighbourhood, and wider."""

WALK_STEPS = 12
"""Steps after which a walk that restarts with 0.1 has spent 72 % of its mass, enough for a ratio
of two sums that stop at the same step."""


@dataclass(frozen=True)
class LabelTables:
    """What the known labels say of every node.

    Attributes:
        base_rate: share of positives among the known labels.
        known: 1.0 where the node's own label is known.
        positive: 1.0 where it is known and positive.
        neighbours_known: labelled neighbours a node.
        neighbours_positive: positive neighbours a node.
        walks: for each restart, (nodes, 2): mass of positive and of all labels that reaches it.
        degree: neighbours a node.
    """

    base_rate: float
    known: Floats
    positive: Floats
    neighbours_known: Floats
    neighbours_positive: Floats
    walks: tuple[Floats, ...]
    degree: Floats


def tabulate(graph: Graph, label: Floats) -> LabelTables:
    """Spread the known labels over the graph.

    The walks are personalised PageRank from the labelled nodes on the symmetrically normalised
    graph (Zhou et al. 2003, Learning with local and global consistency).

    Args:
        graph: who is linked to whom.
        label: (rows,) 0.0, 1.0, or NaN where it is hidden or unknown.
    """
    links = graph.links()
    size = len(graph.ids)
    known, positive = np.zeros(size), np.zeros(size)
    known[: len(label)] = ~np.isnan(label)
    positive[: len(label)] = np.nan_to_num(label)
    scale = sparse.diags(1 / np.sqrt(np.maximum(graph.degree, 1.0)))
    normal = scale @ links @ scale
    sources = np.column_stack([positive, known])
    walks = []
    for restart in RESTARTS:
        mass = sources.copy()
        for _ in range(WALK_STEPS):
            mass = (1 - restart) * (normal @ mass) + restart * sources
        walks.append(mass)
    return LabelTables(
        base_rate=float(positive.sum() / max(known.sum(), 1.0)),
        known=known,
        positive=positive,
        neighbours_known=np.asarray(links @ known),
        neighbours_positive=np.asarray(links @ positive),
        walks=tuple(walks),
        degree=graph.degree,
    )


def label_features(tables: LabelTables, links: RowLinks) -> Named:
    """Label rates around rows whose own labels `tables` does not know.

    Rates are smoothed towards the base rate and counts are shares, so that they mean the same
    with a fold's labels hidden as with all labels known.
    """
    size = len(links.own)
    base = tables.base_rate
    odds = np.log(base / (1 - base)) if 0 < base < 1 else 0.0
    known, positive = pad(tables.known, links)[links.node], pad(tables.positive, links)[links.node]
    degree = np.maximum(pad(tables.degree, links)[links.node] - links.is_inside + 1, 1.0)
    around = pad(tables.neighbours_known, links)[links.node]
    around_positive = pad(tables.neighbours_positive, links)[links.node]
    rate = (around_positive + PRIOR_ROWS * base) / (around + PRIOR_ROWS)

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(links.row, weights=values, minlength=size), dtype=np.float64)

    def rated(weight: Floats, prior: float, hits: Floats, seen: Floats) -> Floats:
        return (total(weight * hits) + prior * base) / (total(weight * seen) + prior)

    rare = 1 / np.log(2.0 + degree)
    features: Named = {
        "label_rate": rated(np.ones_like(rare), PRIOR_ROWS, positive, known),
        "label_rate_rare": rated(rare, PRIOR_ROWS / 3, positive, known),
        "label_rate_weight": rated(np.log1p(links.weight), PRIOR_ROWS, positive, known),
        "label_known_ratio": mean(links, known),
        "shared_rate_mean": mean(links, rate),
        "shared_rate_max": largest(links, rate),
        "shared_rate_min": -largest(links, -rate),
        "shared_rate_std": spread(links, rate),
        "shared_odds": total(np.log(rate / (1 - rate)) - odds) if 0 < base < 1 else total(rate),
        "shared_known_ratio": mean(links, (around > 0).astype(np.float64)),
        "shared_positive_ratio": mean(links, (around_positive > 0).astype(np.float64)),
        "shared_rate_inverse": rated(1 / degree, 0.5, around_positive, around),
        "shared_rate_root": rated(1 / np.sqrt(degree), 0.5, around_positive, around),
        "shared_known_inverse": np.log1p(total(around / degree)),
    }
    for restart, walk in zip(RESTARTS, tables.walks, strict=True):
        mass = np.column_stack([pad(walk[:, 0], links), pad(walk[:, 1], links)])[links.node]
        hits, seen = total(mass[:, 0] / np.sqrt(degree)), total(mass[:, 1] / np.sqrt(degree))
        name = f"walk_{int(restart * 100)}"
        features[f"{name}_rate"] = (hits + 1e-4 * base) / (seen + 1e-4)
        features[f"{name}_mass"] = np.log(seen / np.sqrt(np.maximum(links.counts, 1)) + 1e-6)
    return features
