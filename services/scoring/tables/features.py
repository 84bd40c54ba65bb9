"""The features of a row by group: its columns, its number, its links, what its neighbours are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.scoring.tables import alike, labels
from services.scoring.tables import links as link_figures
from services.scoring.tables.columns import Column, Floats, Ints, Texts, encode, plan_columns
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


COLUMNS, NUMBER, LINKS = "columns", "number", "links"
NEIGHBOURS, LABELS = "neighbours", "labels"
GROUPS = (COLUMNS, NUMBER, LINKS, NEIGHBOURS, LABELS)
"""A row's own columns; its id as a phone number; whom it is linked to; the means of their columns;
what is known of their labels."""


@dataclass(frozen=True)
class Features:
    """Named columns of floats, shape (rows, len(names)); NaN is missing."""

    names: tuple[str, ...]
    matrix: Floats

    def take(self, rows: Ints) -> "Features":
        """Some rows, in the order asked."""
        return Features(self.names, self.matrix[rows])


Blocks = Mapping[str, Features]
"""Features of the same rows by group; groups without features are absent."""


def beside(blocks: Blocks, groups: Sequence[str]) -> Features:
    """The features of some groups side by side, in the order of `groups`."""
    parts = [blocks[group] for group in groups if group in blocks]
    names = tuple(name for part in parts for name in part.names)
    return Features(names, np.hstack([part.matrix for part in parts]))


def named(group: str, features: link_figures.Named, row_count: int) -> Features:
    """Columns in the order they were described, named GROUP:NAME so that none is a column's."""
    names = tuple(f"{group}:{name}" for name in features)
    if not features:
        return Features(names, np.zeros((row_count, 0)))
    return Features(names, np.column_stack(list(features.values())))


def group_of(name: str) -> str:
    """The group of a feature's name."""
    group, _, rest = name.partition(":")
    return group if rest and group in GROUPS else COLUMNS


@dataclass(frozen=True)
class Rows:
    """Rows to describe beyond their columns.

    Attributes:
        count: how many.
        numbers: their ids as phone numbers, None where ids are none.
        links: whom they are linked to, None without edges.
        nodes: the numbers of the graph's nodes, then of the links' new ones; None likewise.
    """

    count: int
    numbers: Numbers | None
    links: RowLinks | None
    nodes: Numbers | None

    def take(self, rows: Ints) -> "Rows":
        """Some rows, in the order asked."""
        return Rows(
            len(rows),
            None if self.numbers is None else self.numbers.take(rows),
            None if self.links is None else self.links.take(rows),
            self.nodes,
        )


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
        kinds: of the fitted rows' links and numbers, for rates of what is alike.
    """

    columns: tuple[Column, ...]
    reading: str | None
    ids: Sequence[str]
    values: Floats
    graph: Graph | None = None
    link_tables: link_figures.LinkTables | None = None
    node_numbers: Numbers | None = None
    kinds: alike.Kinds | None = None

    @property
    def category_names(self) -> tuple[str, ...]:
        """The columns whose values are codes."""
        return tuple(column.name for column in self.columns if column.is_category)

    def rows(self, ids: Sequence[str], edges: Edges | None) -> Rows:
        """Any rows, with the fitted graph's links and those given."""
        links = None if self.graph is None else links_of(self.graph, ids, edges)
        return self._rows(ids, links)

    def fitted_rows(self) -> Rows:
        """The fitted rows."""
        links = None if self.graph is None else fitted_links(self.graph)
        return self._rows(self.ids, links)

    def _rows(self, ids: Sequence[str], links: RowLinks | None) -> Rows:
        if self.reading is None:
            return Rows(len(ids), None, links, None)
        nodes = None
        if self.graph is not None and links is not None:
            texts = pa.concat_arrays([self.graph.ids, links.new_ids]).to_pylist()
            nodes = parse_numbers(texts, self.reading)
        return Rows(len(ids), parse_numbers(ids, self.reading), links, nodes)

    def blocks(self, values: Floats, rows: Rows) -> dict[str, Features]:
        """Everything but labels, by group.

        Args:
            values: (rows, columns) encoded.
            rows: the same rows.
        """
        found = {COLUMNS: Features(tuple(column.name for column in self.columns), values)}
        if rows.numbers is not None:
            digits = dict(zip(NUMBER_FEATURES, rows.numbers.matrix().T, strict=True))
            found[NUMBER] = named(NUMBER, digits, rows.count)
        if rows.links is not None and self.link_tables is not None:
            links = link_figures.link_features(self.link_tables, rows.links)
            if rows.numbers is not None and rows.nodes is not None and self.node_numbers:
                links |= link_figures.number_link_features(
                    rows.numbers, rows.nodes, self.node_numbers, rows.links
                )
            found[LINKS] = named(LINKS, links, rows.count)
            numeric = [i for i, column in enumerate(self.columns) if not column.is_category]
            means = link_figures.column_link_features(
                self.values[:, numeric], [self.columns[i].name for i in numeric], rows.links
            )
            found[NEIGHBOURS] = named(NEIGHBOURS, means, rows.count)
        return {group: features for group, features in found.items() if features.names}

    def label_block(self, rows: Rows, label: Floats) -> Features:
        """What the known labels tell of rows whose own labels are hidden in `label`.

        Args:
            rows: with links.
            label: (fitted rows,) 0.0, 1.0, or NaN where hidden or unknown.
        """
        assert self.graph is not None and self.kinds is not None and rows.links is not None
        tables = labels.tabulate(self.graph, label)
        told = labels.label_features(tables, rows.links)
        told |= alike.alike_features(self.kinds, label, rows.links, rows.numbers, rows.nodes)
        return named(LABELS, told, rows.count)


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
    nodes = None if reading is None else parse_numbers(graph.ids.to_pylist(), reading)
    own = None if reading is None else parse_numbers(ids, reading)
    return Describer(
        columns,
        reading,
        ids,
        values,
        graph,
        link_figures.tabulate(graph),
        nodes,
        alike.find_kinds(fitted_links(graph), own, nodes),
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
