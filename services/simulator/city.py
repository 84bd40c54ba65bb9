"""Simulates one city by seed and writes its files and its truth."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from services.common.errors import InvalidArgument
from services.simulator import files
from services.simulator.calling import call_block
from services.simulator.collusion import Attack, collude
from services.simulator.marking import Marks, joined, mark_block
from services.simulator.population import build_city
from services.simulator.records import (
    decision_table,
    draw_ports,
    draw_refusals,
    lifecycle_table,
    refusal_table,
    registry_table,
    truth_table,
)
from services.simulator.reporters import draw_reporters
from services.simulator.rumours import unseen_marks
from services.simulator.story import telling_numbers
from services.simulator.window import Window

LEAST_NUMBERS, LEAST_DAYS, MOST_DAYS = 200, 14, 400
_BLOCK_CELLS = 1_000_000  # tenures x days simulated at once: bounds the memory
# Each purpose draws from a stream of its own, so that a change in one leaves the others alone.
_PEOPLE, _REPORTERS, _REFUSALS, _CALLS, _MARKS, _RUMOURS, _ATTACK, _RECORDS, _WRITING = range(9)


@dataclass(frozen=True)
class Summary:
    """What was written: rows by file name, and the parts of the city."""

    rows: dict[str, int]
    numbers: int
    tenures: int
    bad_tenures: int
    reporters: int
    colluding_reporters: int
    raids: int
    story: dict[str, str]


def simulate(
    numbers: int,
    days: int,
    seed: int,
    out: Path,
    end: date,
    attack: Attack | None = None,
) -> Summary:
    """Writes a city's files into `out`; the same arguments give the same bytes.

    Files: marks.csv.gz, behaviour.csv.gz, lifecycle.csv, registry.csv, refusals.csv, decisions.csv
    in the import formats; truth.csv (one row per tenure); story.json; and, as further truth,
    reporters.csv (who is how careful) and attacks.csv (what the colluders aimed at).

    Args:
        numbers: distinct numbers, at least 200.
        days: simulated days, 14 to 400.
        seed: source of all chance, not negative.
        out: folder, made if it does not exist.
        end: the day after the last simulated day, in UTC+8.
        attack: the collusion; 3 % of the reporters if not given.

    Raises:
        InvalidArgument: VALUE_OUT_OF_RANGE, naming the argument.
    """
    for name, value, least, most in (
        ("numbers", numbers, LEAST_NUMBERS, 10**8),
        ("days", days, LEAST_DAYS, MOST_DAYS),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            raise InvalidArgument(
                "VALUE_OUT_OF_RANGE",
                f"{name} must lie in [{least}, {most}], got {value}",
                field=name,
                value=value,
            )
    out.mkdir(parents=True, exist_ok=True)
    window = Window(end, days)

    def stream(purpose: int, block: int = 0) -> np.random.Generator:
        return np.random.default_rng([seed, purpose, block])

    city = build_city(stream(_PEOPLE), numbers, window)
    ports = draw_ports(stream(_RECORDS, 1), city)
    refusals = draw_refusals(stream(_REFUSALS), city, window)
    reporters = draw_reporters(stream(_REPORTERS), numbers)
    behaviour = files.BehaviourRows(city, window, ports)
    parts: list[Marks] = []
    rows = {"behaviour.csv.gz": 0}
    size = max(1, _BLOCK_CELLS // days)
    with files.opened(out / "behaviour.csv.gz") as file:
        for block, first in enumerate(range(0, len(city.role), size)):
            tenures = np.arange(first, min(first + size, len(city.role)))
            calls = call_block(
                stream(_CALLS, block), city, window, tenures,
                refusals.from_day[tenures], refusals.ignored_ratio[tenures],
            )  # fmt: skip
            files.append_csv(file, behaviour.table(tenures, calls), with_header=block == 0)
            rows["behaviour.csv.gz"] += len(calls.tenure)
            parts.append(mark_block(stream(_MARKS, block), city, window, reporters, tenures, calls))
    honest = joined(parts)
    rumours = unseen_marks(stream(_RUMOURS), city, window, reporters, honest)
    seen = joined([honest, *rumours])
    everyone, raided, raids = collude(
        stream(_ATTACK), city, window, reporters, seen, Attack() if attack is None else attack
    )
    marks = joined([seen, raided])
    marks = marks.take(np.lexsort((marks.reporter, marks.tenure, marks.source, marks.occurred_s)))

    records = stream(_RECORDS)
    tables = {
        "marks.csv.gz": files.marks_table(stream(_WRITING), city, everyone, marks),
        "lifecycle.csv": lifecycle_table(records, city, window, ports),
        "registry.csv": registry_table(records, city, window),
        "refusals.csv": refusal_table(city, refusals),
        "decisions.csv": decision_table(records, city, window),
        "truth.csv": truth_table(city),
        "reporters.csv": files.reporter_table(everyone, marks),
        "attacks.csv": files.attack_table(city, raids),
    }
    for name, table in tables.items():
        rows[name] = files.write_csv(out / name, table)
    story = telling_numbers(city, window, marks, raids)
    files.write_json(out / "story.json", story)
    return Summary(
        rows=rows,
        numbers=numbers,
        tenures=len(city.role),
        bad_tenures=int(city.bad.sum()),
        reporters=rows["reporters.csv"],
        colluding_reporters=len(everyone.token) - len(reporters.token),
        raids=len(raids),
        story={entry["part"]: entry["number"] for entry in story},
    )
