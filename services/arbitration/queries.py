"""The SQL of the arbitration service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.runs import kept_runs
from services.common.store import Store
from services.common.taxonomy import confirmed

I64 = npt.NDArray[np.int64]

RUN_TABLES = (
    "posteriors", "evidence", "accuracies", "label_noise", "honesty", "source_honesty", "copying",
    "reporters", "suspicions", "scorecards", "source_counts", "half_lives",
    "cells", "prior_weight",
)  # fmt: skip


LOWEST, HIGHEST = -(2**63), 2**63 - 1
PARTS = 1_000_000


@dataclass(frozen=True)
class Span:
    """Numbers from `low` on, below `high`; HIGHEST has no end."""

    low: int
    high: int


@dataclass(frozen=True)
class Sampled:
    """So many of PARTS of the numbers, by a hash, and all with a decision."""

    parts: int


Scope = I64 | Span | Sampled | None
"""Which numbers: ascending ones, a range, a sample; None: all."""


def _only(scope: Scope) -> str:
    if scope is None:
        return ""
    if isinstance(scope, Span):
        end = "" if scope.high == HIGHEST else f" AND number < {scope.high}"
        return f" AND number >= {scope.low}{end}" if scope.low != LOWEST else end
    if isinstance(scope, Sampled):
        return (
            f" AND (intHash64(number) % {PARTS} < {scope.parts}"
            " OR number IN (SELECT number FROM decisions))"
        )
    return " AND number IN (SELECT number FROM {asked})"


def _asked(scope: Scope) -> dict[str, dict[str, npt.NDArray[Any]]]:
    return {"asked": {"number": scope}} if isinstance(scope, np.ndarray) else {}


def block_counts(store: Store, size: int) -> pa.Table:
    """block and marks: marks of each block of `size` numbers, ascending."""
    return store.query(
        f"""
        SELECT intDiv(number, {size}) AS block, count() AS marks FROM marks
        GROUP BY block ORDER BY block
        """
    )


def number_count(store: Store) -> int:
    """How many numbers have marks, about."""
    return int(store.query("SELECT uniqCombined(number) AS n FROM marks")["n"][0].as_py())


def first_marks(store: Store, as_of_ms: int) -> pa.Table:
    """reporter and first_ms, the time of the first mark of each known reporter, ascending."""
    return store.query(
        """
        SELECT reporter, min(occurred_ms) AS first_ms FROM marks
        WHERE occurred_ms <= %(as_of)s AND withdrawn = 0 AND reporter != 0
        GROUP BY reporter ORDER BY reporter
        """,
        {"as_of": as_of_ms},
    )


def callers(store: Store, as_of_ms: int, scope: Scope, kind: int, most: int) -> pa.Table:
    """source, people and without: marks of that kind by source, and those that name no call.

    Only where a source has at most so many on a number: a crowd that names no call must not make
    that look usual.
    """
    return store.query(
        f"""
        SELECT source, sum(made) AS people, sum(bare) AS without FROM (
            SELECT source, count() AS made, countIf(call_ms = 0) AS bare FROM marks
            WHERE occurred_ms <= %(as_of)s AND withdrawn = 0 AND kind = %(kind)s{_only(scope)}
            GROUP BY number, source HAVING made <= %(most)s
        ) GROUP BY source
        """,
        {"as_of": as_of_ms, "kind": kind, "most": most},
    )


def crowds(store: Store, as_of_ms: int, scope: Scope, least: int) -> pa.Table:
    """number, source, occurred_ms and reporter where a source has so many marks on a number."""
    counted = f"""
        FROM marks
        WHERE occurred_ms <= %(as_of)s AND withdrawn = 0 AND reporter != 0{_only(scope)}
    """
    return store.query(
        f"""
        SELECT number, source, occurred_ms, reporter {counted} AND (number, source) IN (
            SELECT number, source {counted} GROUP BY number, source HAVING count() >= %(least)s
        ) ORDER BY number, occurred_ms, mark_key
        """,
        {"as_of": as_of_ms, "least": least},
    )


def marks(store: Store, as_of_ms: int, scope: Scope) -> pa.Table:
    """Marks made by then and withdrawals made by then, ascending by number."""
    asked, only = "", _only(scope)
    if isinstance(scope, np.ndarray):  # a quarter faster than to leave it to the engine
        asked, only = "PREWHERE number IN (SELECT number FROM {asked})", ""
    sql = f"""
        SELECT number, source, label, reporter, occurred_ms, call_ms > 0 AS has_call, kind,
            mark_key, withdrawn
        FROM marks {asked} WHERE occurred_ms <= %(as_of)s{only}
        ORDER BY number, occurred_ms, mark_key
    """
    return store.query(sql, {"as_of": as_of_ms}, _asked(scope))


def verdicts(store: Store, as_of_ms: int, scope: Scope) -> pa.Table:
    """number and shown_ms: when its first category was published, ascending by number."""
    sql = f"""
        SELECT number, min(update_ms) AS shown_ms FROM published
        WHERE lineage = 0 AND category != 0 AND update_ms <= %(as_of)s{_only(scope)}
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, _asked(scope))


def delays(store: Store, as_of_ms: int) -> dict[int, tuple[int, int]]:
    """By source: marks that name their call, and the median seconds from call to mark."""
    found = store.query(
        """
        SELECT source, count() AS called,
            toInt64(quantileDeterministic(0.5)(occurred_ms - call_ms, mark_key) / 1000) AS delay_s
        FROM marks
        WHERE occurred_ms <= %(as_of)s AND withdrawn = 0 AND call_ms > 0 AND call_ms <= occurred_ms
        GROUP BY source
        """,
        {"as_of": as_of_ms},
    )
    return {row["source"]: (row["called"], row["delay_s"]) for row in found.to_pylist()}


@dataclass(frozen=True)
class SourceCard:
    """What a run found of one source.

    Attributes:
        marks, quarantined, numbers, all_numbers, called: counts, see schema/0004_ledger.sql.
        delay_s: median from call to mark, -1 unknown.
        told, right: marks that could be judged, by how much, and those found right.
        by_category, by_week: (category or week's start, marks in the sample, told, right).
        copies: (name of another source, share of its errors repeated), largest first.
    """

    name: str
    marks: int
    quarantined: int
    numbers: int
    all_numbers: int
    called: int
    delay_s: int
    told: float
    right: float
    by_category: list[tuple[int, int, float, float]]
    by_week: list[tuple[int, int, float, float]]
    copies: list[tuple[str, float]]

    @classmethod
    def unjudged(cls, name: str, marks: int) -> "SourceCard":
        """The card of a source of which no run has judged anything."""
        return cls(name, marks, 0, 0, 0, 0, -1, 0.0, 0.0, [], [], [])


def received_counts(store: Store) -> dict[int, int]:
    """Marks received, by source key."""
    found = store.query("SELECT source, count() AS marks FROM marks GROUP BY source")
    return dict(zip(found["source"].to_pylist(), found["marks"].to_pylist(), strict=True))


def source_cards(store: Store, run: int, names: Mapping[int, str]) -> list[SourceCard]:
    """The cards of a run, by name."""
    where = {"run": run}
    counts = store.query("SELECT * FROM source_counts WHERE run = %(run)s", where).to_pylist()
    judged = store.query("SELECT * FROM scorecards WHERE run = %(run)s", where).to_pylist()
    copied = store.query(
        "SELECT original, copier, share FROM copying WHERE run = %(run)s AND share > 0", where
    ).to_pylist()
    cards = []
    for row in counts:
        mine = [r for r in judged if r["source"] == row["source"]]
        whole = [r for r in mine if not r["category"] and not r["week_ms"]]
        copies = [
            (names[r["original"]], r["share"]) for r in copied if r["copier"] == row["source"]
        ]
        cards.append(
            SourceCard(
                name=names[row["source"]],
                **{
                    field: int(row[field])
                    for field in (
                        "marks", "quarantined", "numbers", "all_numbers", "called", "delay_s",
                    )
                },
                told=sum(r["told"] for r in whole),
                right=sum(r["right"] for r in whole),
                by_category=sorted(
                    (r["category"], r["marks"], r["told"], r["right"])
                    for r in mine
                    if r["category"]
                ),
                by_week=sorted(
                    (r["week_ms"], r["marks"], r["told"], r["right"]) for r in mine if r["week_ms"]
                ),
                copies=sorted(copies, key=lambda pair: -pair[1]),
            )
        )  # fmt: skip
    return sorted(cards, key=lambda card: card.name)


def source_weeks(store: Store) -> list[tuple[str, float, float]]:
    """(source's name, told, right) of each source and week of the newest run, by week; see
    schema/0004_ledger.sql."""
    found = store.query(
        """
        SELECT name, week_ms, told, right FROM (
            SELECT source, week_ms, told, right FROM scorecards
            WHERE category = 0 AND week_ms > 0 AND run IN (
                SELECT run FROM arbitration_runs ORDER BY as_of_ms DESC, run DESC LIMIT 1
            )
        )
        ANY LEFT JOIN (SELECT DISTINCT source, name FROM sources) USING source
        ORDER BY week_ms, name
        """
    )
    columns = (found[name].to_pylist() for name in ("name", "told", "right"))
    return list(zip(*columns, strict=True))


def epochs(store: Store, as_of_ms: int, scope: Scope) -> pa.Table:
    """number, start_ms and epoch (assignments so far), ascending by number."""
    sql = f"""
        SELECT number, max(occurred_ms) AS start_ms, sum(kind = 1) AS epoch
        FROM (SELECT DISTINCT number, occurred_ms, kind FROM lifecycle
              WHERE occurred_ms <= %(as_of)s AND kind IN (1, 2){_only(scope)})
        GROUP BY number ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, _asked(scope))


def labels(store: Store) -> pa.Table:
    """label, source, text and the source's name of every label, ascending by label."""
    return store.query(
        """
        SELECT label, source, text, name
        FROM (SELECT DISTINCT label, source, text FROM labels)
        ANY LEFT JOIN (SELECT DISTINCT source, name FROM sources) USING source
        ORDER BY label
        """
    )


def mapping_count(store: Store) -> int:
    """How many meanings reviewers have confirmed."""
    return int(store.query("SELECT count() AS n FROM mappings")["n"][0].as_py())


def mappings(store: Store, until_ms: int | None = None) -> pa.Table:
    """What reviewers confirmed, up to a time, in order of time."""
    only = "" if until_ms is None else "WHERE confirmed_ms <= %(until)s"
    return store.query(
        f"SELECT {', '.join(confirmed.COLUMNS)} FROM mappings {only} ORDER BY confirmed_ms, label",
        {} if until_ms is None else {"until": until_ms},
    )


def prior_classes(store: Store, run: int) -> tuple[int, ...]:
    """What the priors of a run tell apart; nothing where it has none of any number."""
    found = store.query(
        "SELECT classes FROM prior_runs WHERE run = %(run)s AND number_count > 0", {"run": run}
    )
    return tuple(map(int, str(found["classes"][0].as_py()).split(","))) if found.num_rows else ()


def priors(store: Store, run: int, scope: Scope) -> tuple[I64, npt.NDArray[np.float32]]:
    """Numbers in scope with priors in a run, ascending, and their log ratios (n, classes)."""
    table = store.query(
        f"""
        SELECT number, log_ratios FROM priors WHERE run = %(run)s{_only(scope)} ORDER BY number
        """,
        {"run": run},
        _asked(scope),
    )
    values = table["log_ratios"].combine_chunks().flatten().to_numpy().astype(np.float32)
    count = table.num_rows
    return (
        table["number"].to_numpy().astype(np.int64),
        values.reshape(count, -1) if count else values.reshape(0, 0),
    )


def sources_with_proof(store: Store) -> set[int]:
    """Keys of the sources that name the call in one mark of a hundred or more."""
    found = store.query("SELECT source FROM marks GROUP BY source HAVING avg(call_ms > 0) >= 0.01")
    return set(found["source"].to_pylist())


def decisions(store: Store, as_of_ms: int, scope: Scope) -> pa.Table:
    """The newest decision in force of each number: number, decided_ms, category, authority."""
    sql = f"""
        SELECT number, max(decided_ms) AS decided_at, argMax(category, decided_ms) AS decided,
            argMax(authority, decided_ms) AS decided_by,
            argMax(valid_until_ms, decided_ms) AS until_ms
        FROM decisions
        WHERE decided_ms <= %(as_of)s{_only(scope)}
        GROUP BY number HAVING until_ms = 0 OR until_ms > %(as_of)s ORDER BY number
    """
    return store.query(sql, {"as_of": as_of_ms}, _asked(scope))


def insert_decisions(store: Store, columns: Mapping[str, Sequence[object]]) -> None:
    """Append decisions."""
    store.insert("decisions", dict(columns))


def insert_run_rows(
    store: Store, table: str, run: int, columns: Mapping[str, npt.NDArray[Any] | pa.Array]
) -> None:
    """Append rows of a run to posteriors, evidence or accuracies."""
    count = len(next(iter(columns.values())))
    rows = {"run": np.full(count, run, dtype=np.uint64), **columns}
    store.insert(table, pa.table(rows))


def finish_run(
    store: Store,
    run: int,
    as_of_ms: int,
    number_count: int,
    mark_count: int,
    iteration_count: int,
    finished_ms: int,
) -> None:
    """Record that a run is whole, and drop the rows of those no longer kept."""
    store.insert(
        "arbitration_runs",
        {
            "run": [run],
            "as_of_ms": [as_of_ms],
            "number_count": [number_count],
            "mark_count": [mark_count],
            "iteration_count": [iteration_count],
            "finished_ms": [finished_ms],
        },
    )
    kept = kept_runs(store, "arbitration_runs")
    for table in RUN_TABLES:
        for old in store.query(f"SELECT DISTINCT run FROM {table}")["run"].to_pylist():
            if old not in kept:
                store.execute(f"ALTER TABLE {table} DROP PARTITION {int(old)}")


def last_run(store: Store) -> int:
    """The whole run for the latest time, the newest of these; 0 before the first."""
    found = store.query("SELECT run FROM arbitration_runs ORDER BY as_of_ms DESC, run DESC LIMIT 1")
    return int(found["run"][0].as_py()) if found.num_rows else 0


def accuracies(store: Store, run: int) -> pa.Table:
    """label, category and log_probability of a run."""
    return store.query(
        "SELECT label, category, log_probability FROM accuracies WHERE run = %(run)s", {"run": run}
    )


def learned(store: Store, table: str, run: int) -> pa.Table:
    """All rows of a run in a table of what was learned."""
    names = {
        "label_noise": "label, log_probability",
        "honesty": "source, trait, share",
        "source_honesty": "source, missing",
        "copying": "original, copier, share",
        "reporters": "reporter, first_ms, ring, ratio",
        "half_lives": "category, days, standard_days, pairs",
        "prior_weight": "weight",
    }[table]
    order = {"reporters": " ORDER BY reporter", "half_lives": " ORDER BY category"}.get(table, "")
    return store.query(f"SELECT {names} FROM {table} WHERE run = %(run)s{order}", {"run": run})
