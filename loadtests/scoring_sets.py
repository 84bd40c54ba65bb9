"""Table models on public sets, beside plain LightGBM on the same folds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from sklearn.model_selection import RepeatedStratifiedKFold

from loadtests import scoring_figures as figures
from loadtests.bars import Bar
from loadtests.scoring_figures import Evaluation, Flags, Floats, Scored
from services.cli.model import read_edges, read_texts
from services.scoring.tables.columns import encode, encode_label, plan_columns
from services.scoring.tables.estimator import TableClassifier
from services.scoring.tables.features import GROUPS, Table
from services.scoring.tables.graph import Edges

PLAIN: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "seed": 7,
    "num_threads": 1,
    "verbose": -1,
}
PLAIN_TREES = 400
"""What the sets' READMEs measure: LightGBM, 400 trees, learning rate 0.03, 31 leaves, seed 7."""

PARTS = 3
"""A third is kept apart, about as many rows as acceptance keeps of each set."""
TOLL_FREE = ("1800", "1833", "1844", "1855", "1866", "1877", "1888")


@dataclass(frozen=True)
class TableSet:
    """A set to learn.

    Attributes:
        name, text: for the report.
        table, label, edges: what our model is given.
        plain: (rows, features) what plain LightGBM is given.
        slices: parts of the rows.
        metric: what the set is held to, and `gain` how far ours must lie above plain.
    """

    name: str
    text: str
    table: Table
    label: Floats
    edges: Edges
    plain: Floats
    slices: Mapping[str, Flags]
    metric: str
    gain: float

    def sample(self, count: int, seed: int) -> "TableSet":
        """At most so many of the rows, drawn at random; the edges stay."""
        if count >= len(self.label):
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.label))[:count])
        return replace(
            self,
            text=f"{self.text} A sample of {count:,} rows.",
            table=self.take(rows),
            label=self.label[rows],
            plain=self.plain[rows],
            slices={name: chosen[rows] for name, chosen in self.slices.items()},
        )

    def take(self, rows: figures.Rows) -> Table:
        """Some rows of the table."""
        places = pa.array(rows)
        return Table(
            [self.table.ids[row] for row in rows],
            {name: column.take(places) for name, column in self.table.texts.items()},
        )


def sichuan(folder: Path) -> TableSet:
    """Labelled phone users: 72 columns of calls, messages, apps and bills; common contacts."""
    read = read_texts(folder / "train_users.csv.gz")
    texts = {n: read[n] for n in read.column_names if n not in ("user_id", "label")}
    table = Table(read["user_id"].to_pylist(), texts)
    edges = read_edges(folder / "common_contact_edges.csv.gz")
    values = encode(plan_columns(texts), texts, len(table))
    contacts = _degrees(table.ids, edges)
    calls = values[:, list(texts).index("opposite_count")]
    return TableSet(
        "Sichuan phone users (sichuan_telecom_fraud)",
        "Fraud among the open users; columns of calls, messages, apps and bills, and who shares "
        "contacts with whom. Plain: LightGBM on the columns.",
        table,
        encode_label(read["label"], ("0", "1")),
        edges,
        values,
        {
            "no shared contact": contacts == 0,
            "1 to 50 users with shared contacts": (contacts > 0) & (contacts <= 50),
            "more than 50": contacts > 50,
            "no call records": np.isnan(calls),
            "up to 50 calls": calls <= 50,
            "more than 50 calls": calls > 50,
        },
        "auc",
        0.966 - 0.9635,
    )


def honeypot(folder: Path) -> TableSet:
    """Callers of a honeypot: nothing but who called whom how often, and the numbers."""
    read = read_texts(folder / "caller_labels.csv.gz")
    ids = read["caller"].to_pylist()
    edges = read_edges(folder / "call_counts.csv.gz")
    callees = _degrees(ids, edges)
    toll_free = np.array([text.startswith(TOLL_FREE) for text in ids])
    return TableSet(
        "Honeypot callers (ftc_honeypot_2014)",
        "Likely robocallers among the open callers, from who called which line how often and the "
        "numbers. Plain: LightGBM on degree, calls, toll-free and equal prefixes, and how many "
        "callers a callee has.",
        Table(ids, {}),
        encode_label(read["label"], ("0", "1")),
        edges,
        _caller_features(ids, edges),
        {
            "one callee": callees == 1,
            "2 to 5 callees": (callees > 1) & (callees <= 5),
            "more than 5 callees": callees > 5,
            "toll-free caller": toll_free,
            "other caller": ~toll_free,
        },
        "pr_auc",
        0.61 - 0.578,
    )


def evaluate(one: TableSet, repeats: int, ablations: int, seed: int) -> Evaluation:
    """Keep every third of the rows apart in turn; leave out groups of features in some turns."""
    label = one.label > 0
    ours, plain = np.zeros(len(label)), np.zeros(len(label))
    compared: dict[str, list[float]] = {"auc": [], "pr_auc": [], "f1": [], "ece": []}
    dropped: dict[str, list[tuple[float, float]]] = {}
    gains: dict[str, float] = {}
    groups: dict[str, str] = {}
    turns = RepeatedStratifiedKFold(n_splits=PARTS, n_repeats=repeats, random_state=seed)
    for turn, (trained, held) in enumerate(turns.split(label, label)):
        probability, model = _ours(one, trained, held)
        other = _plain(one, trained, held)
        if turn < PARTS:
            ours[held], plain[held] = probability, other
        full = figures.metrics(probability, label[held])
        base = figures.metrics(other, label[held])
        for metric, values in compared.items():
            values.append(full[metric] - base[metric])
        for name, group, gain in model.importances():
            gains[name] = gains.get(name, 0.0) + gain / (PARTS * repeats)
            groups[name] = group
        used = [group for group in GROUPS if group in set(groups.values())]
        for group in used if turn < ablations and len(used) > 1 else ():
            reduced, _ = _ours(one, trained, held, (group,))
            without = figures.metrics(reduced, label[held])
            change = without["auc"] - full["auc"], without["pr_auc"] - full["pr_auc"]
            dropped.setdefault(group, []).append(change)
        print(f"{one.name}: turn {turn + 1} of {PARTS * repeats}", flush=True)
    paired = {metric: figures.mean_and_error(values) for metric, values in compared.items()}
    top = sorted(gains, key=lambda name: -gains[name])[:20]
    return Evaluation(
        one.name,
        f"{one.text} A third of the rows is kept apart and judged by models fitted on the others, "
        f"{PARTS * repeats} turns; curves are of the first {PARTS}, in which each row is judged "
        "once. The edges are known of all rows, as they are to whoever asks. Groups are left out "
        f"in {min(ablations, PARTS * repeats)} of them.",
        label,
        (Scored("ours", ours), Scored("plain LightGBM", plain)),
        [("plain LightGBM", metric, *paired[metric]) for metric in compared],
        figures.slices(ours, label, one.slices),
        [_ablation(group, changes) for group, changes in dropped.items()],
        [(name, groups[name], gains[name]) for name in top],
        (
            Bar(
                f"{one.metric} above plain LightGBM, rows kept apart",
                paired[one.metric][0],
                one.gain,
            ),
            Bar("ECE, rows kept apart", figures.metrics(ours, label)["ece"], 0.03, False),
        ),
    )


def _ablation(
    group: str, changes: Sequence[tuple[float, float]]
) -> tuple[str, float, float, float, float]:
    auc, auc_error = figures.mean_and_error([change for change, _ in changes])
    pr_auc, pr_error = figures.mean_and_error([change for _, change in changes])
    return group, auc, pr_auc, auc_error, pr_error


def _ours(
    one: TableSet, trained: figures.Rows, held: figures.Rows, without: tuple[str, ...] = ()
) -> tuple[Floats, TableClassifier]:
    model = TableClassifier(without=without)
    model.fit(one.take(trained), one.label[trained], one.edges)
    return model.predict(one.take(held), one.edges), model


def _plain(one: TableSet, trained: figures.Rows, held: figures.Rows) -> Floats:
    rows = lgb.Dataset(one.plain[trained], one.label[trained])
    booster = lgb.train(dict(PLAIN), rows, PLAIN_TREES)
    return np.asarray(booster.predict(one.plain[held]), dtype=np.float64)


def _degrees(ids: Sequence[str], edges: Edges) -> Floats:
    counts: dict[str, int] = {}
    for ends in (edges.a, edges.b):
        for text in ends.to_pylist():
            counts[text] = counts.get(text, 0) + 1
    return np.array([counts.get(text, 0) for text in ids], dtype=np.float64)


def _caller_features(ids: Sequence[str], edges: Edges) -> Floats:
    """The plain features of the set's README: nothing learned from labels."""
    callers, callees = edges.a.to_pylist(), edges.b.to_pylist()
    popularity: dict[str, int] = {}
    for callee in callees:
        popularity[callee] = popularity.get(callee, 0) + 1
    calls: dict[str, list[tuple[float, ...]]] = {}
    for caller, callee, weight in zip(callers, callees, edges.weight.tolist(), strict=True):
        link = (
            weight,
            popularity[callee],
            caller[:4] == callee[:4],
            caller[:7] == callee[:7],
            callee.startswith(TOLL_FREE),
        )
        calls.setdefault(caller, []).append(link)
    summaries: tuple[Callable[[Floats], float], ...] = (np.mean, np.median, np.min, np.max)  # type: ignore[assignment]
    rows = []
    for text in ids:
        weight, popular, area, block, free = np.array(calls[text], dtype=np.float64).T
        rows.append(
            [
                len(weight),
                weight.sum(),
                weight.mean(),
                weight.max(),
                *(summary(popular) for summary in summaries),
                area.mean(),
                block.mean(),
                free.mean(),
                text.startswith(TOLL_FREE),
            ]
        )
    return np.array(rows, dtype=np.float64)
