"""Every feature: its name, unit, formula and source; nothing else defines one.

docs/features.md is written from here (`python -m services.features.page`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Features that come from the same tables by the same rule of time.

    Attributes:
        name: "marks", "block", "behaviour", "lifecycle", "registry" or "plan".
        tables: what they are computed from.
        as_of: which rows count as of a time, and what a number without any has.
    """

    name: str
    tables: str
    as_of: str


GROUPS: tuple[Group, ...] = (
    Group(
        "marks",
        "`marks`, `lifecycle`",
        "Marks that occurred at or before the time and after the number's newest assignment or "
        "release by then, but for those withdrawn by then and those in quarantine. Windows end at "
        "the time. Without marks: counts are 0, all else is unknown.",
    ),
    Group(
        "block",
        "`marks`, `lifecycle`, `block_sums`, `neighbourhoods`",
        "The same marks, on the other numbers that share all but the last digits. `block_10_…` "
        "reads them as of the time. All others are as of the newest job made for that time or "
        "before, and so is `marks_day_weighted`: such sums are wide and change slowly.",
    ),
    Group(
        "behaviour",
        "`behaviour`",
        "The 30 whole days, China time, that ended by the time; of a day's rows the one sent "
        "last. Unknown where no carrier tells anything.",
    ),
    Group(
        "alike",
        "`behaviour`, `alike_references`",
        "Other numbers of a sample of those with behaviour, by the newest job made for that time "
        "or before. Unknown without behaviour.",
    ),
    Group(
        "lifecycle",
        "`lifecycle`",
        "Events at or before the time. Unknown without an event.",
    ),
    Group(
        "registry",
        "`registry`",
        "Registrations in force at the time: of the number itself, not of a prefix. "
        "Unknown without one, but for `registered`.",
    ),
    Group("plan", "the numbering plan", "Facts of the number itself; time plays no part."),
)


@dataclass(frozen=True)
class Feature:
    """One column of a feature row.

    Attributes:
        name: with its unit as suffix.
        group: a name of GROUPS, which say the tables and the rule of time.
        unit: what one is; "1" for shares and scores.
        description: the formula.
        source: where the formula is from, "" for plain counts and shares.
    """

    name: str
    group: str
    unit: str
    description: str
    source: str = ""


GOH = "Goh & Barabási 2008, doi:10.1209/0295-5075/81/48002"
SHANNON = "Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x"
CASELLA = "empirical Bayes, Casella 1985, doi:10.1080/00031305.1985.10479400"

MARK_WINDOWS_DAYS = (1, 3, 7, 14, 30, 90)
DECAY_DAYS = (1, 3, 7, 14, 30, 60)
VOLUME_DECAY_DAYS = (1, 3, 7, 14, 30)
NTH_MARKS = (2, 3, 5, 10)
WEEKS = 12
TEN = 10
"""The block whose marks are read as of the time."""
BLOCK_SIZES = (TEN, 100, 1_000, 10_000)
"""Blocks: numbers that share all but the last 1 to 4 digits."""
NEAR_SIZES = (10_000, 1_000_000, 10_000_000)
"""Neighbourhoods: numbers that share all but the last 4, 6 or 7 digits."""
ENTITIES = ("origin", "reporter", "source", "label")
"""What marks differ in; 0 is unknown."""
WINDOWED_ENTITIES = ("origin", "reporter", "source")

_MARKS = tuple(
    Feature(name, "marks", unit, description, *source)
    for name, unit, description, *source in (
        *(
            (f"marks_{days}d_count", "marks", f"marks of the last {days} days")
            for days in MARK_WINDOWS_DAYS
        ),
        ("marks_count", "marks", "marks"),
        ("marks_older_count", "marks", "marks older than 30 days"),
        *(
            (f"mark_days_{days}d_count", "days", f"UTC days with a mark, of the last {days} days")
            for days in MARK_WINDOWS_DAYS
        ),
        ("mark_days_count", "days", "UTC days with a mark"),
        ("mark_weeks_count", "weeks", f"of the last {WEEKS} times seven days, those with a mark"),
        *(
            (
                f"{entity}s_{days}d_count",
                f"{entity}s",
                f"distinct known {entity}s of marks in the last {days} days",
            )
            for entity in WINDOWED_ENTITIES
            for days in MARK_WINDOWS_DAYS
        ),
        *((f"{entity}s_count", f"{entity}s", f"distinct known {entity}s") for entity in ENTITIES),
        *(
            (f"decayed_{days}d_count", "marks", f"sum of 2^(-age / {days} days) over marks")
            for days in DECAY_DAYS
        ),
        *(
            (
                f"decayed_{days}v_count",
                "marks",
                f"sum of 2^(-v / {days}) over marks, v their age in volume: all marks on later "
                "days / mean marks of a day, by the last job; days on which nobody could report "
                "do not age a mark",
            )
            for days in VOLUME_DECAY_DAYS
        ),
        ("last_mark_volume_days", "mean days", "age in volume of the newest mark, by the last job"),
        (
            "first_mark_volume_days",
            "mean days",
            "age in volume of the oldest mark, by the last job",
        ),
        *((f"mark_{n}_days", "days", f"age of the newest mark but {n - 1}") for n in NTH_MARKS),
        ("last_mark_days", "days", "age of the newest mark"),
        ("first_mark_days", "days", "age of the oldest mark"),
        ("mark_gap_days", "days", "mean time between successive marks; unknown below two"),
        ("mark_gap_last_days", "days", "time between the two newest marks; unknown below two"),
        ("mark_gap_max_days", "days", "longest time between successive marks; unknown below two"),
        (
            "burstiness",
            "1",
            "(s - m) / (s + m), m and s the mean and the standard deviation of the times between "
            "successive marks: -1 regular, 0 at random, towards 1 in bursts; unknown below three "
            "marks and where all came at once",
            GOH,
        ),
        ("label_entropy_bits", "bits", "- sum of p log2 p, p the shares of the labels", SHANNON),
        ("origin_entropy_bits", "bits", "- sum of p log2 p, p the shares of the origins", SHANNON),
        ("day_entropy_bits", "bits", "- sum of p log2 p, p the shares of UTC days", SHANNON),
        ("call_proof_ratio", "1", "share of marks that name the call they are about"),
        ("origin_known_ratio", "1", "share of marks whose origin is known"),
        ("origin_top_ratio", "1", "share of marks from the commonest origin"),
        ("same_area_ratio", "1", "share of marks whose origin is the number's own area"),
        ("withdrawn_ratio", "1", "marks withdrawn by then / those and the marks that count"),
        ("marks_last_day_count", "marks", "marks on the newest day with a mark, UTC"),
        ("marks_top_day_count", "marks", "marks on the day with most marks, UTC"),
        (
            "marks_day_weighted",
            "marks",
            "sum over marks of: mean marks of a day / all marks of the mark's day, by the last job",
        ),
        ("weekend_ratio", "1", "share of marks made on a Saturday or Sunday, UTC"),
    )
)

_BLOCK = (
    *(
        Feature(
            f"block_{size}_numbers_30d_count",
            "block",
            "numbers",
            f"other numbers of the same {size:,} with a mark in the last 30 days",
        )
        for size in BLOCK_SIZES
    ),
    *(
        Feature(
            f"block_{size}_marks_30d_count",
            "block",
            "marks",
            f"marks of 30 days on the others of the same {size:,}",
        )
        for size in BLOCK_SIZES
    ),
    Feature(
        "block_10000_marks_7d_count",
        "block",
        "marks",
        "marks of 7 days on the others of the same 10,000",
    ),
    Feature(
        "block_10000_older_count",
        "block",
        "marks",
        "marks over 30 days old on the others of the same 10,000",
    ),
    *(
        Feature(f"near_{size}_{name}", "block", unit, f"{text}, among {size:,}", *source)
        for size in NEAR_SIZES
        for name, unit, text, *source in (
            ("numbers_count", "numbers", "other marked numbers"),
            ("marks_mean", "marks", "marks on another marked number, on average"),
            ("repeated_ratio", "1", "share of other marked numbers with three marks or more"),
            ("life_days", "days", "from first to last mark of another, on average"),
            (
                "return_ratio",
                "1",
                "share of others first marked over 30 days ago that got three more marks in the "
                "30 days after; five at the common rate are added",
                CASELLA,
            ),
            (
                "active_count",
                "marks",
                "sum of 2^(-age / 7 days) over the marks of others with two or more",
            ),
        )
    ),
)

_BEHAVIOUR = tuple(
    Feature(name, "behaviour", unit, description)
    for name, unit, description in (
        ("active_days", "days", "days with any call"),
        ("calls_out_per_day", "calls", "calls made / active days"),
        ("calls_out_max", "calls", "most calls made in a day"),
        ("answered_ratio", "1", "calls answered / calls made"),
        ("callees_per_call_ratio", "1", "sum of daily distinct callees / calls made"),
        ("ring_only_ratio", "1", "calls hung up before an answer / calls made"),
        ("short_ratio", "1", "answered calls under 10 s / answered"),
        ("talk_per_answered_s", "s", "time talked / calls answered"),
        ("in_out_ratio", "1", "calls received / (calls received + made)"),
        ("callback_ratio", "1", "calls received from numbers called that day / calls made"),
        ("night_ratio", "1", "calls made from 21:00 to 08:00 / calls made"),
        ("calls_per_callee_max", "calls", "most calls to one callee in a day"),
        ("calls_per_minute_max", "calls", "most calls in one minute"),
        ("callers_share_callee_max", "numbers", "most callers on one callee in ten minutes"),
        ("areas_per_day", "areas", "sum of daily distinct areas called / active days"),
        ("sequential_ratio", "1", "mean share of calls in numeric order of callees"),
        ("devices_max", "devices", "most devices in a day"),
        ("cells_per_day", "cells", "sum of daily distinct cells / active days"),
        ("intl_ingress_ratio", "1", "calls from an international trunk / calls made"),
        ("auth_failed_ratio", "1", "calls that failed authentication / calls made"),
        ("after_refusal_ratio", "1", "calls to people who had refused / calls made"),
        ("marks_per_answered_ratio", "marks per call", "marks of 30 days / calls answered"),
    )
)

_LIFECYCLE = (
    Feature("tenure_days", "lifecycle", "days", "time since the newest assignment or release"),
    Feature("epoch", "lifecycle", "assignments", "assignments so far; 0 without an event"),
    Feature(
        "released_days",
        "lifecycle",
        "days",
        "time since a release that no assignment followed: the number rests; otherwise unknown",
    ),
    Feature("ported_days", "lifecycle", "days", "time since the newest change of carrier"),
)

_REGISTRY = (
    Feature("registered", "registry", "1", "1 where a registration is in force, else 0"),
    Feature("registered_days", "registry", "days", "time since it came into force"),
    Feature(
        "registered_outbound",
        "registry",
        "1",
        "1 where it allows outbound calls, 0 where it forbids them; unknown where it says nothing",
    ),
)

_PLAN = (
    Feature("number_kind", "plan", "code", "kind of number in the numbering plan, as its code"),
    Feature("number_prefix", "plan", "digits", "digits of the number before its last seven"),
)

_ALIKE = (
    Feature(
        "alike_distance",
        "alike",
        "deviations",
        "mean distance of the 20 that call most alike, in deviations of the logarithms",
    ),
)

FEATURES: tuple[Feature, ...] = (
    *(*_MARKS, *_BLOCK, *_BEHAVIOUR, *_ALIKE),
    *(*_LIFECYCLE, *_REGISTRY, *_PLAN),
)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
