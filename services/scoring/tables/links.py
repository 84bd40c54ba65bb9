"""Features of a row's links that need no label: its degree, its neighbours, their other links."""

from dataclasses import dataclass

import numpy as np

from services.scoring.tables.columns import Floats, Ints
from services.scoring.tables.graph import Graph, RowLinks
from services.scoring.tables.numbers import Numbers

Named = dict[str, Floats]

_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class LinkTables:
    """Figures of the graph's nodes from which links are described, each (nodes,).

    Attributes:
        degree: neighbours.
        strength: weight of links.
        log_degree_sum: sum over neighbours of log(1 + degree).
        single_count: neighbours whose only link this is.
    """

    degree: Floats
    strength: Floats
    log_degree_sum: Floats
    single_count: Floats


def tabulate(graph: Graph) -> LinkTables:
    """The figures of every node."""
    links = graph.links()
    return LinkTables(
        degree=graph.degree,
        strength=graph.strength,
        log_degree_sum=np.asarray(links @ np.log1p(graph.degree)),
        single_count=np.asarray(links @ (graph.degree == 1).astype(np.float64)),
    )


def link_features(tables: LinkTables, links: RowLinks) -> Named:
    """Describe rows by their links and by what else their neighbours are linked to.

    Every figure of a neighbour leaves out the row itself, so that a row of the graph and a new
    row are described alike.
    """
    size = len(links.own)
    degree = pad(tables.degree, links)[links.node]
    strength = pad(tables.strength, links)[links.node]
    log_degree_sum = pad(tables.log_degree_sum, links)[links.node]
    single_count = pad(tables.single_count, links)[links.node]
    own_degree = np.where(links.own >= 0, tables.degree[links.own], 0.0)[links.row]
    others = degree - links.is_inside
    shared = np.maximum(others, 1.0)
    own_part = links.is_inside * np.log1p(own_degree)
    other_degree = (log_degree_sum - own_part) / shared
    other_single = (single_count - links.is_inside * (own_degree == 1)) / shared
    other_weight = np.log1p((strength - links.is_inside * links.weight) / shared)
    popularity = np.log1p(others)
    counts = links.counts.astype(np.float64)
    totals = np.bincount(links.row, weights=links.weight, minlength=size).astype(np.float64)
    features: Named = {
        "degree": counts,
        "strength": totals,
        "weight_mean": totals / np.maximum(counts, 1.0),
        "weight_max": largest(links, links.weight),
        "weight_std": spread(links, links.weight),
        "weight_one_ratio": mean(links, (links.weight <= 1).astype(np.float64)),
        "two_hop_count": np.log1p(np.bincount(links.row, weights=others, minlength=size)),
        "popularity_mean": mean(links, popularity),
        "popularity_std": spread(links, popularity),
        "popularity_min": -largest(links, -popularity),
        "popularity_max": largest(links, popularity),
        "popularity_zero_ratio": mean(links, (others == 0).astype(np.float64)),
        "neighbour_weight_mean": mean(links, other_weight),
        "neighbour_weight_max": largest(links, other_weight),
        "other_degree_mean": mean(links, other_degree),
        "other_degree_std": spread(links, other_degree),
        "other_degree_min": -largest(links, -other_degree),
        "other_degree_max": largest(links, other_degree),
        "other_single_mean": mean(links, other_single),
        "other_single_min": -largest(links, -other_single),
        "other_single_max": largest(links, other_single),
    }
    for level, values in zip(_QUANTILES, quantiles(links, popularity), strict=True):
        features[f"popularity_q{int(level * 100)}"] = values
    return features


def number_link_features(
    numbers: Numbers, nodes: Numbers, fitted: Numbers, links: RowLinks
) -> Named:
    """Compare a row's number with its neighbours' (neighbour spoofing shows as a shared block).

    Args:
        numbers: of the rows asked about.
        nodes: of the graph's nodes, then the links' new nodes.
        fitted: of the graph's nodes, from whose blocks frequencies are taken.
        links: of the rows.
    """
    area, block = nodes.area_key[links.node], nodes.block_key[links.node]
    same_area = (area == numbers.area_key[links.row]) & (area >= 0)
    same_block = (block == numbers.block_key[links.row]) & (block >= 0)
    # Of the node itself, one is taken off: a block met for the first time counts zero.
    frequency = _frequency(fitted.block_key, block)
    known = links.node < len(fitted.block_key)
    block_nodes = np.log1p(np.maximum(frequency - known, 0.0))
    is_fitted = (links.own >= 0).astype(np.float64)
    return {
        "same_area_ratio": mean(links, same_area.astype(np.float64)),
        "same_area_any": largest(links, same_area.astype(np.float64)),
        "same_block_ratio": mean(links, same_block.astype(np.float64)),
        "same_block_any": largest(links, same_block.astype(np.float64)),
        "toll_free_ratio": mean(links, nodes.toll_free[links.node].astype(np.float64)),
        "area_count": _distinct(links, area),
        "block_count": _distinct(links, block),
        "neighbour_block_nodes_mean": mean(links, block_nodes),
        "neighbour_block_nodes_max": largest(links, block_nodes),
        "own_area_nodes": np.log1p(_frequency(fitted.area_key, numbers.area_key) - is_fitted),
        "own_block_nodes": np.log1p(_frequency(fitted.block_key, numbers.block_key) - is_fitted),
    }


def column_link_features(columns: Floats, names: list[str], links: RowLinks) -> Named:
    """The mean of each numeric column over the neighbours that are fitted rows."""
    features: Named = {}
    is_row = links.node < len(columns)
    rows, nodes = links.row[is_row], links.node[is_row]
    size = len(links.own)
    for index, name in enumerate(names):
        values = columns[nodes, index]
        there = ~np.isnan(values)
        sums = np.bincount(rows[there], weights=values[there], minlength=size)
        counts = np.bincount(rows[there], minlength=size)
        features[f"neighbour_mean_{name}"] = np.where(
            counts > 0, sums / np.maximum(counts, 1), np.nan
        )
    return features


def pad(values: Floats, links: RowLinks) -> Floats:
    """Node figures with zeros for the links' new nodes."""
    return np.concatenate([values, np.zeros(len(links.new_ids))])


def mean(links: RowLinks, values: Floats) -> Floats:
    """Mean of the entries of each row, NaN without any."""
    counts = links.counts
    sums = np.bincount(links.row, weights=values, minlength=len(counts))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def spread(links: RowLinks, values: Floats) -> Floats:
    """Standard deviation of the entries of each row, NaN without any."""
    centred = values - mean(links, values)[links.row]
    return np.sqrt(mean(links, centred * centred))


def largest(links: RowLinks, values: Floats) -> Floats:
    """Maximum of the entries of each row, NaN without any."""
    result = np.full(len(links.counts), np.nan)
    there = links.counts > 0
    if there.any():
        result[there] = np.maximum.reduceat(values, links.starts[:-1][there])
    return result


def quantiles(links: RowLinks, values: Floats) -> list[Floats]:
    """Lower quartile, median and upper quartile of the entries of each row."""
    ordered = values[np.lexsort((values, links.row))]
    results = []
    there = links.counts > 0
    for level in _QUANTILES:
        result = np.full(len(links.counts), np.nan)
        place = np.floor(level * (links.counts[there] - 1)).astype(np.int64)
        result[there] = ordered[links.starts[:-1][there] + place]
        results.append(result)
    return results


def _distinct(links: RowLinks, keys: Ints) -> Floats:
    pairs = np.unique(np.column_stack([links.row, keys]), axis=0)
    return np.bincount(pairs[:, 0], minlength=len(links.counts)).astype(np.float64)


def _frequency(among: Ints, keys: Ints) -> Floats:
    """How often each key stands in `among`; 0 for -1, which is no number."""
    known, counts = np.unique(among, return_counts=True)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found = (known[place] == keys) & (keys >= 0) if len(known) else np.zeros(len(keys), bool)
    return np.where(found, counts[place] if len(known) else 0, 0).astype(np.float64)
