"""Who is linked to whom: the graph a model is fitted on, and the links of rows asked about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from services.scoring.tables.columns import Floats, Ints

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Edges:
    """Undirected links between ids, as given.

    Attributes:
        a: ids at one end, text.
        b: ids at the other end, text.
        weight: float64, how often or how strongly; positive.
    """

    a: pa.Array
    b: pa.Array
    weight: Floats


@dataclass(frozen=True)
class Graph:
    """A symmetric graph over ids: the fitted rows first, then all others.

    Attributes:
        ids: text of every node.
        row_count: how many of the first nodes are fitted rows.
        weight: sparse (nodes, nodes), symmetric, without loops; pairs given twice are summed.
        degree: neighbours a node.
        strength: weight of a node's links.
    """

    ids: pa.Array
    row_count: int
    weight: sparse.csr_matrix
    degree: Floats
    strength: Floats

    def links(self) -> sparse.csr_matrix:
        """The same graph with every weight 1."""
        ones = self.weight.copy()
        ones.data = np.ones_like(ones.data)
        return ones


@dataclass(frozen=True)
class RowLinks:
    """The neighbours of some rows, as if each row alone were added to the graph.

    Entries are ordered by row. Nodes that the graph does not know come after its own and have
    no other neighbours.

    Attributes:
        starts: (rows + 1,) offsets into the entries.
        row: the row of each entry.
        node: the neighbour of each entry.
        weight: the link's weight.
        is_inside: 1.0 where the graph itself has this link (the neighbour's own figures
            count the row), 0.0 where it is new.
        own: (rows,) the row's node in the graph, -1 if it has none.
        new_ids: ids of the nodes after the graph's own.
    """

    starts: Ints
    row: Ints
    node: Ints
    weight: Floats
    is_inside: Floats
    own: Ints
    new_ids: pa.Array

    @property
    def counts(self) -> Ints:
        """Neighbours a row."""
        return np.diff(self.starts)

    def take(self, rows: Ints) -> "RowLinks":
        """The links of some rows, in the order asked; a row may be asked for twice."""
        wanted = self.counts[rows]
        starts = np.concatenate([[0], np.cumsum(wanted)]).astype(np.int64)
        row = np.repeat(np.arange(len(rows)), wanted)
        entry = np.arange(starts[-1]) - starts[row] + self.starts[rows][row]
        return RowLinks(
            starts=starts,
            row=row,
            node=self.node[entry],
            weight=self.weight[entry],
            is_inside=self.is_inside[entry],
            own=self.own[rows],
            new_ids=self.new_ids,
        )


def build_graph(row_ids: Sequence[str], edges: Edges) -> Graph:
    """Join edges into a graph whose first nodes are the rows, in their order."""
    rows = pa.array(row_ids, pa.string())
    ends = pc.unique(pa.concat_arrays([edges.a, edges.b]))
    others = ends.filter(pc.invert(pc.is_in(ends, value_set=rows)))
    ids = pa.concat_arrays([rows, others.take(pc.sort_indices(others))])
    weight = _symmetric(_places(edges.a, ids), _places(edges.b, ids), edges.weight, len(ids))
    degree = np.diff(weight.indptr).astype(np.float64)
    strength = np.asarray(weight.sum(axis=1)).ravel().astype(np.float64)
    return Graph(ids, len(rows), weight, degree, strength)


def fitted_links(graph: Graph) -> RowLinks:
    """The neighbours of the fitted rows."""
    part = graph.weight[: graph.row_count]
    starts = part.indptr.astype(np.int64)
    return RowLinks(
        starts=starts,
        row=np.repeat(np.arange(graph.row_count), np.diff(starts)),
        node=part.indices.astype(np.int64),
        weight=part.data,
        is_inside=np.ones(part.nnz),
        own=np.arange(graph.row_count),
        new_ids=pa.array([], pa.string()),
    )


def links_of(graph: Graph, row_ids: Sequence[str], edges: Edges | None) -> RowLinks:
    """The neighbours of any rows: the graph's, and those that `edges` adds.

    A pair the graph has keeps the weight it was fitted with. New links of other rows are left
    out on purpose: a row's answer does not depend on which rows are asked about with it, and
    its neighbours' figures have the same density as when the model was fitted.
    """
    rows = pa.array(row_ids, pa.string())
    # A row may be asked about twice: links are gathered for distinct ids, then spread.
    distinct = pc.unique(rows)
    own = _places(distinct, graph.ids)
    known = np.flatnonzero(own >= 0)
    part = graph.weight[own[known]]
    size = len(graph.ids)
    row = [np.repeat(known, np.diff(part.indptr))]
    node, weight = [part.indices.astype(np.int64)], [part.data]
    new_ids = pa.array([], pa.string())
    if edges is not None and len(edges.a):
        apart = pc.not_equal(edges.a, edges.b)
        edges = Edges(
            edges.a.filter(apart), edges.b.filter(apart), edges.weight[apart.to_numpy(False)]
        )
        at_a, at_b = _places(edges.a, distinct), _places(edges.b, distinct)
        from_a, from_b = np.flatnonzero(at_a >= 0), np.flatnonzero(at_b >= 0)
        other = pa.concat_arrays([edges.b.take(pa.array(from_a)), edges.a.take(pa.array(from_b))])
        ends = pc.unique(other)
        new_ids = ends.filter(pc.invert(pc.is_in(ends, value_set=graph.ids)))
        row.append(np.concatenate([at_a[from_a], at_b[from_b]]))
        node.append(_places(other, pa.concat_arrays([graph.ids, new_ids])))
        weight.append(np.concatenate([edges.weight[from_a], edges.weight[from_b]]))
    links = _join(row, node, weight, part.nnz, size + len(new_ids), own, new_ids)
    return links.take(_places(rows, distinct))


def _join(
    row: list[Ints],
    node: list[Ints],
    weight: list[Floats],
    inside_count: int,
    node_count: int,
    own: Ints,
    new_ids: pa.Array,
) -> RowLinks:
    rows, nodes, weights = np.concatenate(row), np.concatenate(node), np.concatenate(weight)
    inside = np.arange(len(rows)) < inside_count
    pair = rows * node_count + nodes
    # New links, without pairs the graph has; repeated ones are summed.
    fresh = ~inside & ~np.isin(pair, pair[inside])
    keys, places = np.unique(pair[fresh], return_inverse=True)
    summed = np.bincount(places, weights=weights[fresh], minlength=len(keys))
    pairs = np.concatenate([pair[inside], keys])
    all_weights = np.concatenate([weights[inside], summed])
    flags = np.concatenate([np.ones(inside_count), np.zeros(len(keys))])
    order = np.argsort(pairs, kind="stable")
    pairs, all_weights, flags = pairs[order], all_weights[order], flags[order]
    counts = np.bincount(pairs // node_count, minlength=len(own))
    return RowLinks(
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        row=pairs // node_count,
        node=pairs % node_count,
        weight=all_weights,
        is_inside=flags,
        own=own,
        new_ids=new_ids,
    )


def _places(texts: pa.Array, among: pa.Array) -> Ints:
    """Where each text stands in `among`, -1 if nowhere."""
    found = pc.fill_null(pc.index_in(texts, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _symmetric(a: Ints, b: Ints, weight: Floats, size: int) -> sparse.csr_matrix:
    kept = a != b
    a, b, weight = a[kept], b[kept], weight[kept]
    matrix = sparse.coo_matrix(
        (np.concatenate([weight, weight]), (np.concatenate([a, b]), np.concatenate([b, a]))),
        shape=(size, size),
    ).tocsr()
    matrix.sort_indices()
    return matrix
