"""How the numbers call: the carriers' daily aggregates of each number, block by block."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from services.simulator.numbers import MOBILE, MVNO
from services.simulator.population import City
from services.simulator.roles import ROLE_INDEX, ROLES, Calling
from services.simulator.window import Window

COUNTS = (
    "calls_out", "answered_out", "distinct_callees", "ring_only_out", "short_calls_out", "talk_s",
    "calls_in", "callbacks_in", "night_calls_out", "max_calls_per_callee", "max_calls_per_minute",
    "max_callers_share_callee", "distinct_areas", "sequential_ratio", "imei_count", "cell_count",
    "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
)  # fmt: skip
_LEVELS = {
    field.name: np.array([getattr(role.calling, field.name) for role in ROLES], dtype=np.float64)
    for field in fields(Calling)
}
# A number may call in part as another kind does: nuisance callers spread calls over many cards and
# behave, some people of good faith call a lot. Styles with weights, and the share that style takes
# of a tenure's habits (a Beta distribution, mostly small for the good). Ours.
_BAD_STYLES = (("private", 0.30), ("courier", 0.22), ("shop", 0.18), ("customer service", 0.14),
               ("taxi", 0.16))  # fmt: skip
_GOOD_STYLES = (("private", 0.40), ("property", 0.22), ("courier", 0.18), ("loans", 0.12),
                ("debt collector", 0.05), ("investment fraud", 0.03))  # fmt: skip
_BAD_SHARE, _GOOD_SHARE, _PRIVATE_SHARE = (1.5, 2.3), (1.0, 3.5), (0.35, 3.5)
_BAD = np.array([role.bad for role in ROLES])
_SPOOFED_CALLS = 120.0  # forged calls a day on a victim's number; ours


@dataclass(frozen=True)
class BlockCalls:
    """The calls of one block of tenures.

    Attributes:
        active: days with calls of the number's own, bool (tenures, days).
        spoofed: days with forged calls, bool (tenures, days).
        volume: each tenure's own factor on its kind's volume, float64 (tenures,).
        tenure: row's tenure, index within the block.
        day: row's day.
        columns: the aggregates of `COUNTS`, one array per name, one entry per row.
    """

    active: NDArray[np.bool_]
    spoofed: NDArray[np.bool_]
    volume: NDArray[np.float64]
    tenure: NDArray[np.int64]
    day: NDArray[np.int64]
    columns: dict[str, NDArray[np.int64] | NDArray[np.float64]]


def call_block(
    rng: np.random.Generator,
    city: City,
    window: Window,
    tenures: NDArray[np.int64],
    refused_from_day: NDArray[np.int64],
    ignores_refusal: NDArray[np.float64],
) -> BlockCalls:
    """Lets a block of tenures call through the window.

    Args:
        rng: source of chance.
        city: the population.
        window: the simulated days.
        tenures: indices of the block's tenures.
        refused_from_day: first day after someone refused the tenure's calls; `days` if nobody did.
        ignores_refusal: share of later calls that go to people who refused.
    """
    role = city.role[tenures]
    days = np.arange(window.days)
    first = window.first_days(city.start_s[tenures])[:, None]
    last = window.last_days(city.end_s[tenures])[:, None]
    held = (days >= first) & (days < last)
    spoofed = (days >= city.spoof_first[tenures][:, None]) & (
        days < city.spoof_last[tenures][:, None]
    )
    levels = _draw_levels(rng, role, np.isin(tenures, list(city.cast.values())))
    active = held & (
        rng.random((len(tenures), window.days), dtype=np.float32) < levels["active_ratio"][:, None]
    )
    volume = np.exp(rng.standard_normal(len(tenures)) * levels["spread"])
    shares = city.shares_behaviour[city.number[tenures]][:, None]
    row, day = np.nonzero((active | spoofed) & shares)
    columns = _aggregate(rng, levels, volume, row, active[row, day], window.weekdays[day] == 6)
    kind = city.numbers.kind[city.number[tenures]]
    by_radio = ((kind == MOBILE) | (kind == MVNO))[row]
    columns["imei_count"] *= by_radio
    columns["cell_count"] *= by_radio

    refused = day >= refused_from_day[row]
    columns["after_refusal_calls"] = rng.binomial(
        columns["calls_out"].astype(np.int64), np.where(refused, ignores_refusal[row], 0.0)
    )
    _add_forged(rng, columns, np.flatnonzero(spoofed[row, day]))
    kept = (columns["calls_out"] > 0) | (columns["calls_in"] > 0)
    return BlockCalls(
        active=active,
        spoofed=spoofed,
        volume=volume,
        tenure=row[kept],
        day=day[kept],
        columns={name: columns[name][kept] for name in COUNTS},
    )


def _draw_levels(
    rng: np.random.Generator, role: NDArray[np.int64], typical: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Each tenure's own levels: its kind's, bent towards another style (geometric mixture).

    `typical` tenures, those of the story, keep to their kind.
    """
    count = len(role)
    style = np.empty(count, dtype=np.int64)
    for bad, styles in ((True, _BAD_STYLES), (False, _GOOD_STYLES)):
        of_side = np.flatnonzero(_BAD[role] == bad)
        weights = [weight for _, weight in styles]
        indices = np.array([ROLE_INDEX[name] for name, _ in styles])
        style[of_side] = indices[rng.choice(len(styles), size=len(of_side), p=weights)]
    shares = np.array([_BAD_SHARE if bad else _GOOD_SHARE for bad in _BAD])
    shares[ROLE_INDEX["private"]] = _PRIVATE_SHARE
    share = rng.beta(shares[role, 0], shares[role, 1])
    share = np.where(typical, 0.05, share)
    return {
        name: np.exp(
            (1 - share) * np.log(np.maximum(level[role], 1e-4))
            + share * np.log(np.maximum(level[style], 1e-4))
        )
        for name, level in _LEVELS.items()
    }


def _aggregate(
    rng: np.random.Generator,
    levels: dict[str, NDArray[np.float64]],
    volume: NDArray[np.float64],
    row: NDArray[np.int64],
    own: NDArray[np.bool_],
    sunday: NDArray[np.bool_],
) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
    """Draws every column for the rows; `own` is False where only forged calls were made."""

    def level(name: str) -> NDArray[np.float64]:
        return levels[name][row]

    def ratio(name: str, spread: float) -> NDArray[np.float64]:
        """The kind's ratio, shifted on the logit scale by each number's own habit."""
        mean = np.clip(levels[name], 1e-4, 1 - 1e-4)
        habit = np.log(mean / (1 - mean)) + spread * rng.standard_normal(len(volume))
        return np.asarray((1 / (1 + np.exp(-habit)))[row])

    def own_level(name: str, spread: float) -> NDArray[np.float64]:
        """The kind's mean count, scaled by each number's own habit."""
        habit = np.exp(spread * rng.standard_normal(len(volume)))
        return np.asarray((levels[name] * habit)[row])

    mood = np.where(sunday, level("sunday"), 1.0) * rng.gamma(8.0, 1 / 8.0, len(row)) * own
    calls_out = rng.poisson(level("calls_out") * volume[row] * mood)
    answered = rng.binomial(calls_out, ratio("answered_ratio", 0.6))
    distinct = np.maximum(
        rng.binomial(calls_out, ratio("distinct_ratio", 0.8)), (calls_out > 0).astype(np.int64)
    )
    short = rng.binomial(answered, ratio("short_ratio", 0.7))
    longer = answered - short
    talk = rng.gamma(np.maximum(longer, 1) * 0.9, own_level("talk_s", 0.5) / 0.9) * (longer > 0)
    calls_in = rng.poisson(own_level("calls_in", 0.9) * own)
    busy = np.sqrt(calls_out / np.maximum(level("calls_out"), 1.0))
    repeats = rng.poisson(own_level("repeats", 0.4) * busy)
    in_a_minute = rng.poisson(own_level("per_minute", 0.3) * busy)
    areas = rng.poisson(level("areas_ratio") * distinct)
    abroad = rng.random(len(volume)) < levels["intl_share"]
    order = np.clip(rng.gamma(1.5, own_level("sequential", 0.8) / 1.5), 0.0, 1.0)
    return {
        "calls_out": calls_out,
        "answered_out": answered,
        "distinct_callees": distinct,
        "ring_only_out": rng.binomial(calls_out - answered, ratio("ring_only_ratio", 0.8)),
        "short_calls_out": short,
        "talk_s": np.rint(talk + 5 * short).astype(np.int64),
        "calls_in": calls_in,
        "callbacks_in": rng.binomial(calls_in, ratio("callback_ratio", 0.8)),
        "night_calls_out": rng.binomial(calls_out, ratio("night_ratio", 0.9)),
        "max_calls_per_callee": np.minimum(1 + repeats, calls_out - distinct + 1) * (calls_out > 0),
        "max_calls_per_minute": np.minimum(1 + in_a_minute, calls_out),
        "max_callers_share_callee": (1 + rng.poisson(own_level("shared_callee", 0.5)))
        * (calls_out > 0),
        "distinct_areas": np.minimum(1 + areas, distinct),
        "sequential_ratio": np.round(np.where(calls_out > 4, order, 0.0), 3),
        "imei_count": 1 + rng.poisson(level("extra_imei")),
        "cell_count": np.maximum(rng.poisson(own_level("cells", 0.4)), 1),
        "intl_ingress_calls": rng.binomial(calls_out, np.where(abroad[row], 0.85, 0.0)),
        "auth_failed_calls": rng.binomial(calls_out, np.where(abroad[row], 0.6, 0.0005)),
    }


def _add_forged(
    rng: np.random.Generator,
    columns: dict[str, NDArray[np.int64] | NDArray[np.float64]],
    rows: NDArray[np.int64],
) -> None:
    """Adds the calls that others made under a victim's number: these fail authentication."""
    forged = 1 + rng.poisson(rng.gamma(3.0, _SPOOFED_CALLS / 3.0, len(rows)))
    answered = rng.binomial(forged, 0.35)
    added = {
        "calls_out": forged,
        "answered_out": answered,
        "distinct_callees": forged,
        "ring_only_out": rng.binomial(forged - answered, 0.2),
        "short_calls_out": rng.binomial(answered, 0.5),
        "talk_s": answered * 40,
        "callbacks_in": (callers := rng.binomial(forged, 0.06)),
        "calls_in": callers,
        "distinct_areas": 1 + rng.binomial(forged, 0.2),
        "intl_ingress_calls": rng.binomial(forged, 0.8),
        "auth_failed_calls": rng.binomial(forged, 0.97),
    }
    for name, extra in added.items():
        columns[name][rows] += extra
    columns["max_calls_per_callee"][rows] = np.maximum(columns["max_calls_per_callee"][rows], 1)
    columns["max_callers_share_callee"][rows] = np.maximum(
        columns["max_callers_share_callee"][rows], 1
    )
    columns["max_calls_per_minute"][rows] = np.maximum(
        columns["max_calls_per_minute"][rows], 1 + rng.poisson(1.5, len(rows))
    )
