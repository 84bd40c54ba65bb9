"""The rules as values, each as a condition on a row of `behaviour`: in SQL, and on rows read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from services.common.errors import InvalidArgument
from services.common.numbering import Kind
from services.common.taxonomy import standard
from services.features.columns import Aggregates
from services.features.number_rows import BEHAVIOUR_DAYS

FILE = Path(__file__).with_name("rules.yaml")
FORBIDDEN = "forbidden"
_CONDITION = re.compile(r"(>=|<=) (\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Value:
    """What a condition may be about: a column of a day, or its share of the sum of others.

    A share of nothing is 0.
    """

    part: str
    whole: tuple[str, ...] = ()

    @property
    def sql(self) -> str:
        """As an expression of a row of `behaviour`."""
        if not self.whole:
            return self.part
        whole = " + ".join(self.whole)
        return f"if({whole} > 0, {self.part} / ({whole}), 0)"

    def of(self, days: Aggregates) -> npt.NDArray[Any]:
        """Of rows that were read, (n,)."""
        if not self.whole:
            return days[self.part]
        whole = np.sum([days[name] for name in self.whole], axis=0)
        none = np.zeros(len(whole))
        return np.divide(days[self.part], whole, out=none, where=whole > 0)


_COUNTS = (
    "calls_out", "answered_out", "distinct_callees", "ring_only_out", "short_calls_out",
    "calls_in", "callbacks_in", "night_calls_out", "max_calls_per_callee",
    "max_callers_share_callee", "distinct_areas", "sequential_ratio", "imei_count", "cell_count",
    "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
)  # fmt: skip
VALUES: Mapping[str, Value] = {
    **{name: Value(name) for name in _COUNTS},
    "calls_per_minute": Value("max_calls_per_minute"),
    "ring_only_ratio": Value("ring_only_out", ("calls_out",)),
    "answered_ratio": Value("answered_out", ("calls_out",)),
    "short_ratio": Value("short_calls_out", ("answered_out",)),
    "talk_per_answered_s": Value("talk_s", ("answered_out",)),
    "callees_per_call": Value("distinct_callees", ("calls_out",)),
    "night_ratio": Value("night_calls_out", ("calls_out",)),
    "in_ratio": Value("calls_in", ("calls_in", "calls_out")),
    "auth_failed_ratio": Value("auth_failed_calls", ("calls_out",)),
    "intl_ratio": Value("intl_ingress_calls", ("calls_out",)),
}
"""What a condition may be about, by its name in rules.yaml."""


@dataclass(frozen=True)
class Condition:
    """One value of a day beside its threshold."""

    value: str
    relation: str
    threshold: float

    @property
    def sql(self) -> str:
        """The condition on a row."""
        return f"{VALUES[self.value].sql} {self.relation} {self.threshold:g}"

    def holds(self, days: Aggregates) -> npt.NDArray[np.bool_]:
        """On which of the rows that were read it holds, (n,)."""
        found = VALUES[self.value].of(days)
        return found >= self.threshold if self.relation == ">=" else found <= self.threshold


@dataclass(frozen=True)
class Rule:
    """A signal.

    Attributes:
        code: of axis B.
        version: moves with the conditions.
        cases: one of them must hold, of each all conditions.
        kinds: of numbers that it is about; empty: all.
        is_outbound_forbidden: only numbers registered as inbound only.
        source: what supports it.
    """

    code: str
    version: int
    cases: tuple[tuple[Condition, ...], ...]
    kinds: frozenset[Kind]
    is_outbound_forbidden: bool
    source: str

    @property
    def severity(self) -> int:
        """1 informational to 4 critical, of the standard."""
        return standard.load().behaviour(self.code).severity or 0

    @property
    def sql(self) -> str:
        """Whether it fires on a row, as an expression."""
        return " OR ".join(
            "(" + " AND ".join(condition.sql for condition in case) + ")" for case in self.cases
        )

    def holds(self, days: Aggregates) -> npt.NDArray[np.bool_]:
        """On which of the rows that were read it fires, (n,)."""
        cases = [np.all([one.holds(days) for one in case], axis=0) for case in self.cases]
        return np.any(cases, axis=0)


@dataclass(frozen=True)
class Victim:
    """When a number whose calls were forged is its victim: see rules.yaml."""

    own_days: int
    own_days_ratio: float
    failed_ratio: float


@dataclass(frozen=True)
class Signals:
    """All rules.

    Attributes:
        version: of the file.
        window_days: days before the as-of time in which a rule may have fired.
        rules: by code, ascending.
        victim: when B09 names a victim.
    """

    version: str
    window_days: int
    rules: tuple[Rule, ...]
    victim: Victim


@lru_cache(maxsize=1)
def load() -> Signals:
    """The shipped rules."""
    return parse(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def parse(given: Any) -> Signals:
    """Rules from what a YAML file holds.

    Raises:
        InvalidArgument: RULES_INVALID, naming rule and field.
    """
    try:
        rules = tuple(sorted((_rule(rule) for rule in given["rules"]), key=lambda r: r.code))
        victim = given["victim"]
        found = Signals(
            str(given["version"]),
            int(given["window_days"]),
            rules,
            Victim(
                int(victim["own_days"]),
                float(victim["own_days_ratio"]),
                float(victim["failed_ratio"]),
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid("file", str(error)) from error
    codes = [rule.code for rule in rules]
    if len(set(codes)) < len(codes):
        raise _invalid("rules", "a code is there twice")
    if not 1 <= found.window_days <= BEHAVIOUR_DAYS:
        raise _invalid(
            "window_days", f"1 to {BEHAVIOUR_DAYS} days are read, not {given['window_days']}"
        )
    return found


def _rule(given: Mapping[str, Any]) -> Rule:
    code = str(given["code"])
    known = {behaviour.code for behaviour in standard.load().behaviours}
    if code not in known:
        raise _invalid(code, "no behaviour of the standard has this code")
    cases = tuple(
        tuple(_condition(code, value, str(text)) for value, text in case.items())
        for case in given["cases"]
    )
    if not cases or not all(cases):
        raise _invalid(code, "a case without conditions would always hold")
    kinds = given.get("kinds", [])
    if unknown := [kind for kind in kinds if kind not in Kind.__members__]:
        raise _invalid(code, f"no kind of number {unknown[0]}")
    if given.get("outbound", FORBIDDEN) != FORBIDDEN:
        raise _invalid(code, f"outbound can be {FORBIDDEN} only")
    return Rule(
        code=code,
        version=int(given["version"]),
        cases=cases,
        kinds=frozenset(Kind[kind] for kind in kinds),
        is_outbound_forbidden="outbound" in given,
        source=str(given["source"]).strip(),
    )


def _condition(code: str, value: str, text: str) -> Condition:
    if value not in VALUES:
        raise _invalid(code, f"no value {value}; there are {', '.join(VALUES)}")
    found = _CONDITION.fullmatch(text)
    if not found:
        raise _invalid(code, f"{value} must read like '>= 30' or '<= 0.5', not {text!r}")
    return Condition(value, found[1], float(found[2]))


def _invalid(where: str, why: str) -> InvalidArgument:
    return InvalidArgument("RULES_INVALID", f"signals, {where}: {why}", field=where, cause=why)
