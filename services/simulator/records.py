"""What carriers, registrars, called people and the police record: the smaller files of the city."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.simulator import numbers as plan
from services.simulator.columns import iso_times, picked, texts
from services.simulator.population import City
from services.simulator.reporters import draw_tokens
from services.simulator.roles import CALL_CENTRES, ROLE_INDEX, ROLES
from services.simulator.window import DAY_S, FAR_FUTURE_S, Window

_PORTED_RATIO = 0.01
_KNOWN_OLD_ASSIGNMENTS = 0.55  # carriers rarely send what happened before they joined
_KNOWN_NEW_EVENTS = 0.93
_DECIDED_RATIO = 0.12  # of the illegal numbers
_CLEARED_RATIO = 0.002  # of the service numbers
_INBOUND_ONLY_RATIO = 0.8  # of registered lines that call centres hold (china.md section 4.3)
_AUTHORITIES = ("标记争议评审组", "公安机关反诈中心")
_CODES = tuple(role.category for role in ROLES)
_ILLEGAL = np.array([code.startswith("A1") for code in _CODES])
_SERVICE = np.array([code.startswith("A4") for code in _CODES])


@dataclass(frozen=True)
class Ports:
    """Which numbers moved to another carrier before the window, and where each is now."""

    ported: NDArray[np.bool_]
    carrier: NDArray[np.int8]


def draw_ports(rng: np.random.Generator, city: City) -> Ports:
    """Lets a few mobile numbers move between the three large carriers."""
    mobile = (city.numbers.kind == plan.MOBILE) & (city.numbers.carrier != plan.CBN)
    ported = mobile & (rng.random(len(mobile)) < _PORTED_RATIO)
    step = rng.integers(1, 3, len(mobile))
    moved = (city.numbers.carrier + step) % 3
    return Ports(ported, np.where(ported, moved, city.numbers.carrier).astype(np.int8))


@dataclass(frozen=True)
class Refusals:
    """Refusals as columns, and what they mean for each tenure's later calls."""

    tenure: NDArray[np.int64]
    callee: list[str]
    occurred_s: NDArray[np.int64]
    from_day: NDArray[np.int64]
    ignored_ratio: NDArray[np.float64]


def draw_refusals(rng: np.random.Generator, city: City, window: Window) -> Refusals:
    """People tell call centres and collectors to call no more; half of these call all the same."""
    first = window.first_days(city.start_s)
    last = window.last_days(city.end_s)
    refused = np.isin(city.role, [*CALL_CENTRES, ROLE_INDEX["debt collector"]]) & (last > first)
    counts = rng.poisson(0.06 * (last - first) * refused)
    tenure = np.repeat(np.arange(len(counts)), counts)
    day = rng.integers(first[tenure], last[tenure])
    from_day = np.full(len(counts), window.days, dtype=np.int64)
    np.minimum.at(from_day, tenure, day + 1)
    defiant = rng.random(len(counts)) < 0.5
    return Refusals(
        tenure=tenure,
        callee=draw_tokens(rng, len(tenure)),
        occurred_s=window.start_s + day * DAY_S + rng.integers(9 * 3600, 20 * 3600, len(tenure)),
        from_day=from_day,
        ignored_ratio=np.where(defiant, rng.uniform(0.01, 0.08, len(counts)), 0.0),
    )


def refusal_table(city: City, refusals: Refusals) -> pa.Table:
    """The rows of refusals.csv, by time."""
    order = np.argsort(refusals.occurred_s, kind="stable")
    tenure = refusals.tenure[order]
    return pa.table(
        {
            "number": picked(city.numbers.national, city.number[tenure]),
            "callee": picked(refusals.callee, order),
            "occurred_at": iso_times(refusals.occurred_s[order]),
            "industry": picked(_CODES, city.role[tenure]),
        }
    )


def lifecycle_table(rng: np.random.Generator, city: City, window: Window, ports: Ports) -> pa.Table:
    """The rows of lifecycle.csv, by time.

    Every reassignment in the window is complete (RELEASED of the former holder, ASSIGNED of the
    next); of other events some are missing, as carriers send them.
    """
    count = len(city.role)
    former = np.zeros(count, dtype=bool)
    former[city.previous[city.previous >= 0]] = True
    in_window = city.start_s >= window.start_s
    chance = rng.random(count)
    assigned = (city.previous >= 0) | (
        chance < np.where(in_window, _KNOWN_NEW_EVENTS, _KNOWN_OLD_ASSIGNMENTS)
    )
    # Short and shared-cost lines are registered, not assigned to subscribers.
    subscribers = np.isin(city.numbers.kind, [plan.MOBILE, plan.MVNO, plan.FIXED])[city.number]
    assigned &= subscribers
    assigned[city.cast["recycled"]] = True
    released = city.end_s < window.end_s
    released &= subscribers & (former | (rng.random(count) < _KNOWN_NEW_EVENTS))
    moved = ports.ported[city.number] & (city.start_s < window.start_s - 40 * DAY_S)
    moved_s = rng.integers(city.start_s, np.maximum(city.start_s, window.start_s - DAY_S) + 1)
    home = city.numbers.carrier[city.number]
    now = ports.carrier[city.number]
    parts = (
        ("ASSIGNED", assigned, city.start_s, np.where(in_window, now, home)),
        ("RELEASED", released, city.end_s, now),
        ("PORTED", moved, moved_s, now),
    )
    tenure = np.concatenate([np.flatnonzero(mask) for _, mask, _, _ in parts])
    occurred_s = np.concatenate([times[mask] for _, mask, times, _ in parts])
    carrier = np.concatenate([carriers[mask] for _, mask, _, carriers in parts])
    event = np.repeat(np.arange(3), [int(mask.sum()) for _, mask, _, _ in parts])
    order = np.lexsort((event, tenure, occurred_s))
    names = [name for name, _, _, _ in parts]
    return pa.table(
        {
            "number": picked(city.numbers.national, city.number[tenure[order]]),
            "event": picked(names, event[order]),
            "occurred_at": iso_times(occurred_s[order]),
            "carrier": picked(plan.CARRIERS, carrier[order]),
        }
    )


_HOLDERS = {
    "shop": ("示例商店", "C03"), "customer service": ("示例企业客服", "C04"),
    "public service": ("示例政务服务热线", "C01"),
}  # fmt: skip


def registry_table(rng: np.random.Generator, city: City, window: Window) -> pa.Table:
    """The rows of registry.csv: every 95, 400 and public line, some firms, and the 700 prefix."""
    columns: dict[str, list[str]] = {
        name: []
        for name in ("number", "holder", "identity", "purpose", "outbound_allowed", "valid_from")
    }
    since = [str(time) for time in iso_times(city.start_s)]
    chance = rng.random((len(city.role), 2))
    for tenure, (number, index) in enumerate(
        zip(city.number.tolist(), city.role.tolist(), strict=True)
    ):
        role, kind = ROLES[index], int(city.numbers.kind[number])
        line = kind in (plan.N95, plan.N400, plan.SHORT)
        verified = role.name in ("shop", "customer service") and chance[tenure, 0] < 0.12
        if not (line or verified or role.name == "public service"):
            continue
        holder, identity = _HOLDERS.get(role.name, ("示例企业", "C04"))
        if kind in (plan.N95, plan.N400):
            identity = "C04"
        elif role.name == "public service" and kind == plan.FIXED and chance[tenure, 0] < 0.5:
            identity = "C02"
        elif verified:
            identity = "C03"
        # A firm that calls out to sell has registered the line for its customers' questions.
        inbound_only = role.bad and chance[tenure, 1] < _INBOUND_ONLY_RATIO
        columns["number"].append(city.numbers.national[number])
        columns["holder"].append(f"{holder}{tenure:06d}")
        columns["identity"].append(identity)
        columns["purpose"].append("A4200" if role.bad else role.category)
        columns["outbound_allowed"].append("0" if inbound_only else "1")
        columns["valid_from"].append(since[tenure])
    first = str(iso_times(np.array([window.start_s - 400 * DAY_S]))[0])
    for name, value in zip(columns, ("700*", "号码保护平台", "C05", "", "1", first), strict=True):
        columns[name].append(value)
    columns["valid_until"] = [""] * len(columns["number"])
    return pa.table({name: texts(values) for name, values in columns.items()})


def decision_table(rng: np.random.Generator, city: City, window: Window) -> pa.Table:
    """The rows of decisions.csv: the police confirm some crimes, reviewers clear a few numbers."""
    chance = rng.random(len(city.role))
    crime, service = _ILLEGAL[city.role], _SERVICE[city.role]
    chosen = (crime & (chance < _DECIDED_RATIO)) | (service & (chance < _CLEARED_RATIO))
    chosen[list(city.cast.values())] = False
    tenure = np.flatnonzero(chosen)
    earliest_s = np.maximum(city.start_s[tenure], window.start_s) + 2 * DAY_S
    latest_s = np.minimum(city.end_s[tenure], window.end_s) - 1
    fits = earliest_s < latest_s
    tenure, earliest_s, latest_s = tenure[fits], earliest_s[fits], latest_s[fits]
    decided_s = rng.integers(earliest_s, latest_s)
    order = np.argsort(decided_s, kind="stable")
    tenure, decided_s = tenure[order], decided_s[order]
    illegal = _ILLEGAL[city.role[tenure]]
    return pa.table(
        {
            "number": picked(city.numbers.national, city.number[tenure]),
            "category": picked(
                [*_CODES, "CLEARED"], np.where(illegal, city.role[tenure], len(_CODES))
            ),
            "decided_at": iso_times(decided_s),
            "authority": picked(_AUTHORITIES, illegal.astype(np.int64)),
            "valid_until": iso_times(np.where(illegal, decided_s + 365 * DAY_S, -1)),
        }
    )


def truth_table(city: City) -> pa.Table:
    """The rows of truth.csv: one per tenure, by number and time; numbers in canonical form."""
    order = np.lexsort((city.start_s, city.number))
    number, end_s = city.number[order], city.end_s[order]
    return pa.table(
        {
            "number": picked(city.numbers.wire, number),
            "category": picked(_CODES, city.role[order]),
            "bad": pa.array(city.bad[order].astype(np.int8)),
            "valid_from": iso_times(city.start_s[order]),
            "valid_until": iso_times(np.where(end_s == FAR_FUTURE_S, -1, end_s)),
        }
    )
