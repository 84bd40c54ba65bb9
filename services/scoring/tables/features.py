"""The features of a row: its columns, its number, its links; everything but labels, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.scoring.tables import links as link_figures
from services.scoring.tables.columns import Column, Floats, Texts, encode, plan_columns
from services.scoring.tables.graph import (
    Edges,
    Graph,
    RowLinks,
    build_graph,
    fitted_links,
    links_of,
)
from services.scoring.tables.numbers import (
    NUMBER_FEATURES,
    Numbers,
    detect_reading,
    parse_numbers,
)


@dataclass(frozen=True)
class Table:
    """Rows to learn from or to ask about.

    Attributes:
        ids: of the rows.
        texts: the columns by name, without id and label, as text.
    """

    ids: Sequence[str]
    texts: Texts

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Features:
    """Named columns of floats, shape (rows, len(names)); NaN is missing."""

    names: tuple[str, ...]
    matrix: Floats

    def beside(self, other: "Features") -> "Features":
        """These columns, then the other's."""
        return Features(self.names + other.names, np.hstack([self.matrix, other.matrix]))


def named(features: link_figures.Named, row_count: int) -> Features:
    """Columns in the order they were described."""
    if not features:
        return Features((), np.zeros((row_count, 0)))
    return Features(tuple(features), np.column_stack(list(features.values())))


@dataclass(frozen=True)
class Describer:
    """How rows become features; what it keeps was learned from the fitted rows.

    Attributes:
        columns: the table's columns.
        reading: how ids are read as phone numbers, None where they are none.
        ids: of the fitted rows.
        values: the fitted rows' columns, encoded.
        graph: over the fitted rows and their neighbours, None without edges.
        link_tables: figures of the graph's nodes.
        node_numbers: the graph's nodes as phone numbers.
    """

    columns: tuple[Column, ...]
    reading: str | None
    ids: Sequence[str]
    values: Floats
    graph: Graph | None = None
    link_tables: link_figures.LinkTables | None = None
    node_numbers: Numbers | None = None

    @property
    def category_names(self) -> tuple[str, ...]:
        """The columns whose values are codes."""
        return tuple(column.name for column in self.columns if column.is_category)

    def own(self, ids: Sequence[str], values: Floats) -> Features:
        """What a row tells by itself: its columns and its number."""
        own = Features(tuple(column.name for column in self.columns), values)
        if self.reading is None:
            return own
        return own.beside(Features(NUMBER_FEATURES, parse_numbers(ids, self.reading).matrix()))

    def linked(self, ids: Sequence[str], links: RowLinks) -> Features:
        """What a row's links tell without any label."""
        assert self.graph is not None and self.link_tables is not None
        features = link_figures.link_features(self.link_tables, links)
        if self.reading is not None and self.node_numbers is not None:
            nodes = pa.concat_arrays([self.graph.ids, links.new_ids]).to_pylist()
            features |= link_figures.number_link_features(
                parse_numbers(ids, self.reading),
                parse_numbers(nodes, self.reading),
                self.node_numbers,
                links,
            )
        numeric = [i for i, column in enumerate(self.columns) if not column.is_category]
        features |= link_figures.column_link_features(
            self.values[:, numeric], [self.columns[i].name for i in numeric], links
        )
        return named(features, len(ids))

    def links(self, ids: Sequence[str], edges: Edges | None) -> RowLinks:
        """The links of any rows, the fitted graph's and those given."""
        assert self.graph is not None
        return links_of(self.graph, ids, edges)

    def fitted_links(self) -> RowLinks:
        """The links of the fitted rows."""
        assert self.graph is not None
        return fitted_links(self.graph)


def learn_describer(table: Table, edges: Edges | None) -> Describer:
    """See what columns, ids and edges a table has."""
    columns = plan_columns(table.texts)
    values = encode(columns, table.texts, len(table))
    return make_describer(columns, detect_reading(table.ids), table.ids, values, edges)


def make_describer(
    columns: tuple[Column, ...],
    reading: str | None,
    ids: Sequence[str],
    values: Floats,
    edges: Edges | None,
) -> Describer:
    """The describer of fitted rows whose columns and reading are known."""
    if edges is None or not len(edges.a):
        return Describer(columns, reading, ids, values)
    graph = build_graph(ids, edges)
    return Describer(
        columns,
        reading,
        ids,
        values,
        graph,
        link_figures.tabulate(graph),
        None if reading is None else parse_numbers(graph.ids.to_pylist(), reading),
    )


def repeated_row(ids: Sequence[str]) -> int | None:
    """The place of an id that stands in the table twice, None if there is none."""
    texts = pa.array(ids, pa.string())
    if len(pc.unique(texts)) == len(texts):
        return None
    seen: set[str] = set()
    for place, text in enumerate(ids):
        if text in seen:
            return place
        seen.add(text)
    return None
