"""The figures of a quarter, from the store; no number and no person is among them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.arbitration.disputes import working_days
from services.arbitration.disputes.words import Ground, Outcome
from services.arbitration.referrals.holders import OffendingHolder
from services.cli.report_periods import WEEK_MS, Period
from services.cli.report_referrals import (
    UNKNOWN_TABLE,
    ReferralFigures,
    read_holders,
    read_referrals,
)
from services.common.store import Store, StoreError
from services.common.taxonomy import crosswalk, standard

K_ANONYMITY = 20
"""Refusals are told for groups of at least so many people (ours; PIPL art. 73 asks that nobody can
be found again, and no rule names a figure)."""

CLASSES = (1, 2, 3, 4, 9)
"""Classes of axis A in order: illegal, malicious, marketing, service, unclassified."""


@dataclass(frozen=True)
class SourceFigures:
    """One source in the quarter.

    Attributes:
        mark_count, withdrawn_count: marks made, and taken back.
        compared_count: marks on numbers with a published label at the end.
        agreed_count: of these, of the same class as the label.
        decided_count, overturned_count: disputes decided over its marks, and those that found
            one or more of them wrong.
    """

    name: str
    mark_count: int
    withdrawn_count: int
    compared_count: int
    agreed_count: int
    decided_count: int
    overturned_count: int


@dataclass(frozen=True)
class Refusals:
    """Refusals of one industry; people is None below the k-anonymity floor."""

    industry: str
    refusal_count: int | None
    people_count: int | None


@dataclass(frozen=True)
class Figures:
    """What a quarter brought.

    Attributes:
        weekly: by class, marks of each week.
        published: by category code, numbers with that label at the end of the quarter.
        states: by ReputationState, numbers at the end.
        calls: (calls, ring-only calls, calls after refusal) of each week.
        outcomes: by outcome, disputes decided in the quarter; automatic_count among them.
        days: working days from proof of ownership to decision, of those decided by people.
    """

    period: Period
    weekly: Mapping[int, Sequence[int]]
    sources: Sequence[SourceFigures]
    published: Mapping[str, int]
    states: Mapping[int, int]
    calls: Sequence[tuple[int, int, int]]
    filed_count: int
    grounds: Mapping[Ground, int]
    outcomes: Mapping[Outcome, int]
    automatic_count: int
    appealed_count: int
    open_count: int
    days: Sequence[int]
    refusals: Sequence[Refusals]
    referrals: Sequence[ReferralFigures]
    holders: Sequence[OffendingHolder]

    @property
    def mark_count(self) -> int:
        """Marks made in the quarter."""
        return sum(sum(weeks) for weeks in self.weekly.values())


def read_figures(store: Store, period: Period) -> Figures:
    """Read the figures; what was never stored is empty."""
    labels = _labels(store)
    weekly, marks, withdrawn = _marks(store, period, labels)
    compared, agreed = _agreement(store, period, labels)
    decided, overturned = _source_outcomes(store, period)
    disputes = _disputes(store, period)
    published, states = _published(store, period)
    ended = [row for row in disputes if period.start_ms <= row["decided_ms"] < period.end_ms]
    filed = [row for row in disputes if period.start_ms <= row["filed_ms"] < period.end_ms]
    return Figures(
        period=period,
        weekly=weekly,
        sources=[
            SourceFigures(
                name, marks[name], withdrawn[name], compared[name], agreed[name],
                decided[name], overturned[name],
            )
            for name in sorted(marks | decided)
        ],
        published=published,
        states=states,
        calls=_calls(store, period),
        filed_count=len(filed),
        grounds=Counter(Ground(row["ground"]) for row in filed),
        outcomes=Counter(Outcome(row["outcome"]) for row in ended),
        automatic_count=sum(row["automatic"] for row in ended),
        appealed_count=sum(row["round"] == 2 for row in ended),
        open_count=sum(
            row["filed_ms"] < period.end_ms
            and not 0 < (row["closed_ms"] or row["decided_ms"]) < period.end_ms
            for row in disputes
        ),
        days=sorted(
            working_days.used(row["clock_ms"], row["decided_ms"])
            for row in ended
            if row["clock_ms"] and not row["automatic"]
        ),
        refusals=_refusals(store, period),
        referrals=read_referrals(store, period.start_ms, period.end_ms),
        holders=read_holders(store, period.end_ms),
    )  # fmt: skip


def _rows(store: Store, sql: str, period: Period, **values: Any) -> list[dict[str, Any]]:
    bounds = {"start": period.start_ms, "end": period.end_ms, "week": WEEK_MS, **values}
    try:
        rows: list[dict[str, Any]] = store.query(sql, bounds).to_pylist()
    except StoreError as error:
        if error.code == UNKNOWN_TABLE:
            return []
        raise
    return rows


def _labels(store: Store) -> dict[int, tuple[str, int]]:
    """Source's name and class of each label key."""
    walk, std = crosswalk.load(), standard.load()
    found = {}
    sql = """
        SELECT label, text, name FROM (SELECT DISTINCT label, source, text FROM labels)
        ANY LEFT JOIN (SELECT DISTINCT source, name FROM sources) USING source
    """
    for row in _rows(store, sql, Period("", 0, 0)):
        mapped = walk.map_label(row["name"], row["text"]).rows
        category = max(mapped, key=lambda pair: pair[1])[0]
        found[row["label"]] = row["name"], int(std.category_of_id(category).group[1:])
    return found


def _marks(
    store: Store, period: Period, labels: Mapping[int, tuple[str, int]]
) -> tuple[dict[int, list[int]], Counter[str], Counter[str]]:
    weekly = {group: [0] * period.week_count for group in CLASSES}
    made: Counter[str] = Counter()
    withdrawn: Counter[str] = Counter()
    sql = """
        SELECT label, intDiv(occurred_ms - %(start)s, %(week)s) AS week, withdrawn,
            count() AS marks
        FROM marks WHERE occurred_ms >= %(start)s AND occurred_ms < %(end)s
        GROUP BY label, week, withdrawn
    """
    for row in _rows(store, sql, period):
        name, group = labels[row["label"]]
        if row["withdrawn"]:
            withdrawn[name] += row["marks"]
        else:
            made[name] += row["marks"]
            weekly[group][row["week"]] += row["marks"]
    return weekly, made, withdrawn


def _agreement(
    store: Store, period: Period, labels: Mapping[int, tuple[str, int]]
) -> tuple[Counter[str], Counter[str]]:
    """Marks on numbers with a label at the end of the quarter, and those of its class."""
    compared: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    std = standard.load()
    sql = """
        SELECT label, shown, count() AS marks
        FROM (SELECT number, label FROM marks
              WHERE occurred_ms >= %(start)s AND occurred_ms < %(end)s AND withdrawn = 0)
        ALL INNER JOIN (
            SELECT number, argMax(category, version) AS shown FROM published
            WHERE lineage = 0 AND update_ms < %(end)s GROUP BY number
        ) USING number
        WHERE shown > 0 GROUP BY label, shown
    """
    for row in _rows(store, sql, period):
        name, group = labels[row["label"]]
        compared[name] += row["marks"]
        if int(std.category_of_id(row["shown"]).group[1:]) == group:
            agreed[name] += row["marks"]
    return compared, agreed


def _published(store: Store, period: Period) -> tuple[Counter[str], Counter[int]]:
    sql = """
        SELECT shown, how, count() AS numbers FROM (
            SELECT number, argMax(category, version) AS shown, argMax(state, version) AS how
            FROM published WHERE lineage = 0 AND update_ms < %(end)s GROUP BY number
        ) GROUP BY shown, how
    """
    categories: Counter[str] = Counter()
    states: Counter[int] = Counter()
    for row in _rows(store, sql, period):
        states[row["how"]] += row["numbers"]
        if row["shown"]:
            code = standard.load().category_of_id(row["shown"]).code
            categories[code] += row["numbers"]
    return categories, states


def _calls(store: Store, period: Period) -> list[tuple[int, int, int]]:
    weeks = [(0, 0, 0)] * period.week_count
    sql = """
        SELECT intDiv((toInt64(day) * 86400000 - 28800000) - %(start)s, %(week)s) AS week,
            sum(calls_out) AS calls, sum(ring_only_out) AS rings, sum(after_refusal_calls) AS after
        FROM behaviour FINAL
        WHERE toInt64(day) * 86400000 - 28800000 >= %(start)s
            AND toInt64(day) * 86400000 - 28800000 < %(end)s
        GROUP BY week
    """
    for row in _rows(store, sql, period):
        weeks[row["week"]] = row["calls"], row["rings"], row["after"]
    return weeks


def _disputes(store: Store, period: Period) -> list[dict[str, Any]]:
    sql = """
        SELECT ground, outcome, automatic, round, filed_ms, clock_ms, decided_ms, closed_ms
        FROM disputes FINAL WHERE filed_ms < %(end)s
    """
    return _rows(store, sql, period)


def _source_outcomes(store: Store, period: Period) -> tuple[Counter[str], Counter[str]]:
    sql = """
        SELECT source, count() AS decided, sum(wrong_count > 0) AS overturned
        FROM dispute_sources FINAL
        WHERE what = 3 AND right_count + wrong_count > 0
            AND occurred_ms >= %(start)s AND occurred_ms < %(end)s
        GROUP BY source
    """
    rows = _rows(store, sql, period)
    return (
        Counter({row["source"]: row["decided"] for row in rows}),
        Counter({row["source"]: row["overturned"] for row in rows}),
    )


def _refusals(store: Store, period: Period) -> list[Refusals]:
    """Refusals by industry; below the floor neither how many nor by how many people."""
    sql = """
        SELECT industry, count() AS refusals, uniqExact(callee) AS people
        FROM refusals FINAL WHERE occurred_ms >= %(start)s AND occurred_ms < %(end)s
        GROUP BY industry ORDER BY people DESC, industry
    """
    std = standard.load()
    found = []
    for row in _rows(store, sql, period):
        code = std.category_of_id(row["industry"]).code if row["industry"] else ""
        if row["people"] >= K_ANONYMITY:
            found.append(Refusals(code, row["refusals"], row["people"]))
        else:
            found.append(Refusals(code, None, None))
    return found
