"""Every feature: its name, group, formula and source; nothing else defines one.

Marks count if they occurred at or before the as-of time, in the present epoch, and are not
withdrawn by then. Behaviour counts the days that ended by then. Windows end at the as-of time.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One column of a feature row.

    Attributes:
        name: with its unit as suffix.
        group: "marks", "block", "behaviour", "lifecycle" or "plan".
        description: what it is and how it is computed.
    """

    name: str
    group: str
    description: str


MARK_WINDOWS_DAYS = (1, 3, 7, 14, 30, 90)
DECAY_DAYS = (1, 3, 7, 14, 30, 60)
NTH_MARKS = (2, 3, 5, 10)
BLOCK_SIZES = (10_000, 1_000_000, 10_000_000)
"""Neighbourhoods: numbers that share all but the last 4, 6 or 7 digits."""

_MARKS = (
    *(
        Feature(f"marks_{days}d_count", "marks", f"marks of the last {days} days")
        for days in MARK_WINDOWS_DAYS
    ),
    Feature("marks_count", "marks", "marks of the epoch"),
    Feature("marks_older_count", "marks", "marks older than 30 days"),
    Feature("mark_days_30d_count", "marks", "distinct UTC days with a mark in the last 30"),
    Feature("mark_days_count", "marks", "distinct UTC days with a mark"),
    Feature("origins_30d_count", "marks", "distinct known origins of marks in the last 30 days"),
    Feature("reporters_count", "marks", "distinct known reporters"),
    Feature("sources_count", "marks", "distinct sources"),
    Feature("labels_count", "marks", "distinct labels of distinct sources"),
    *(
        Feature(f"decayed_{days}d_count", "marks", f"marks weighted by 2^(-age / {days} days)")
        for days in DECAY_DAYS
    ),
    *(
        Feature(f"mark_{n}_days", "marks", f"age in days of the newest mark but {n - 1}")
        for n in NTH_MARKS
    ),
    Feature("last_mark_days", "marks", "age of the newest mark in days"),
    Feature("first_mark_days", "marks", "age of the oldest mark in days"),
    Feature("mark_gap_days", "marks", "mean days between marks; unknown below two marks"),
    Feature("call_proof_ratio", "marks", "share of marks that name the call they are about"),
    Feature("origins_count", "marks", "distinct known origins of marks"),
    Feature("origin_known_ratio", "marks", "share of marks whose origin is known"),
    Feature("origin_top_ratio", "marks", "share of marks from the commonest origin"),
    Feature("marks_last_day_count", "marks", "marks on the newest day with a mark, UTC"),
    Feature("marks_top_day_count", "marks", "marks on the day with most marks, UTC"),
    Feature(
        "marks_day_weighted",
        "marks",
        "marks, each weighted by the mean marks of a day / all marks of its day, by the last job",
    ),
    Feature("weekend_ratio", "marks", "share of marks made on a Saturday or Sunday, UTC"),
    Feature("same_area_ratio", "marks", "share of marks whose origin is the number's own area"),
)

_BLOCK = (
    Feature("block_10000_marks_30d_count", "block", "marks of 30 days on others of 10,000 numbers"),
    Feature("block_10000_numbers_30d_count", "block", "other marked numbers among the same 10,000"),
    Feature("block_10000_marks_7d_count", "block", "marks of 7 days on others of 10,000 numbers"),
    Feature("block_10000_older_count", "block", "marks over 30 days old on others of 10,000"),
    Feature("block_100_marks_30d_count", "block", "marks of 30 days on others of 100 numbers"),
    *(
        Feature(f"near_{size}_{name}", "block", f"{text}, among {size:,}; by the last job")
        for size in BLOCK_SIZES
        for name, text in (
            ("numbers_count", "other marked numbers"),
            ("marks_mean", "marks on another marked number, on average"),
            ("repeated_ratio", "share of other marked numbers with three marks or more"),
            ("life_days", "days between first and last mark of another, on average"),
            (
                "return_ratio",
                "share of others first marked over 30 days ago that got three more marks in the "
                "30 days after; five at the common rate are added",
            ),
            ("active_count", "marks weighted by 2^(-age / 7 days) on others with two or more"),
        )
    ),
)

_ORIGINS = (
    Feature(
        "block_10000_same_origin_mean",
        "block",
        "further marks from a mark's origin on the same 10,000 numbers, on average over the marks",
    ),
)

_BEHAVIOUR = (
    Feature("active_days", "behaviour", "days of the last 30 with any call"),
    Feature("calls_out_per_day", "behaviour", "calls made per active day"),
    Feature("calls_out_max", "behaviour", "most calls made in a day"),
    Feature("answered_ratio", "behaviour", "calls answered / calls made"),
    Feature("callees_per_call_ratio", "behaviour", "sum of daily distinct callees / calls made"),
    Feature("ring_only_ratio", "behaviour", "calls hung up before an answer / calls made"),
    Feature("short_ratio", "behaviour", "answered calls under 10 s / answered"),
    Feature("talk_per_answered_s", "behaviour", "seconds talked / answered"),
    Feature("in_out_ratio", "behaviour", "calls received / (calls received + made)"),
    Feature("callback_ratio", "behaviour", "received from numbers called that day / calls made"),
    Feature("night_ratio", "behaviour", "calls made from 21:00 to 08:00 / calls made"),
    Feature("calls_per_callee_max", "behaviour", "most calls to one callee in a day"),
    Feature("calls_per_minute_max", "behaviour", "most calls in one minute"),
    Feature("callers_share_callee_max", "behaviour", "most callers on one callee in ten minutes"),
    Feature("areas_per_day", "behaviour", "distinct areas called per active day"),
    Feature("sequential_ratio", "behaviour", "mean share of calls in numeric order of callees"),
    Feature("devices_max", "behaviour", "most devices in a day"),
    Feature("cells_per_day", "behaviour", "distinct cells per active day"),
    Feature("intl_ingress_ratio", "behaviour", "calls from an international trunk / calls made"),
    Feature("auth_failed_ratio", "behaviour", "calls that failed authentication / calls made"),
    Feature("after_refusal_ratio", "behaviour", "calls to people who had refused / calls made"),
    Feature("marks_per_answered_ratio", "behaviour", "marks of 30 days / calls answered"),
)

_LIFECYCLE = (
    Feature("tenure_days", "lifecycle", "days since the epoch began; unknown without an event"),
    Feature("epoch", "lifecycle", "assignments known so far"),
)

_PLAN = (
    Feature("number_kind", "plan", "kind of number in the numbering plan, as its code"),
    Feature("number_prefix", "plan", "digits of the number before its last seven"),
)

FEATURES: tuple[Feature, ...] = (*_MARKS, *_BLOCK, *_ORIGINS, *_BEHAVIOUR, *_LIFECYCLE, *_PLAN)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
