"""What a small simulated city comes out as, compared with what was reviewed before.

`make golden` rewrites the stored output; the difference is then to be reviewed.
"""

import csv
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from services.cli import exporting, importing
from services.cli.demo import FILES
from services.cli.kinds import KINDS
from services.cli.session import run_pipeline
from services.simulator.city import simulate
from tests.services_in_process import SetClock, in_process

STORED = Path(__file__).parent / "city.csv"
END = date(2026, 6, 30)
SAID = ("category", "level", "state", "mark_count", "epoch", "first_marked_at", "last_marked_at")
MEASURED = {"probability": 0.02, "risk": 0.02, "effective_sources": 0.02}
"""Sums of floats differ a little between processors."""


@pytest.fixture(scope="module")
def published(chdb_engine, chdb_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    simulate(numbers=600, days=30, seed=5, out=folder / "city", end=END)
    (folder / "key").write_bytes(bytes(32))  # pseudonyms, and the order of marks with them
    clock = SetClock()
    clock.now_ms = int(datetime(END.year, END.month, END.day, tzinfo=UTC).timestamp() * 1000)
    # Which touched numbers were published before depends on time, and hysteresis keeps them.
    with in_process(chdb_path, folder, "golden", clock, follow=False) as running:
        for kind, name in FILES:
            tally = importing.Tally()
            for line, table in importing.read_tables(folder / "city" / name):
                KINDS[kind](running.stubs, folder / "city" / name, line, table, {}, tally)
            assert not tally.rejected
        run_pipeline(running.stubs, clock.now_ms, lambda step: None)
        exporting.write(running.stubs, folder / "city.csv", clock.now_ms)
    if os.environ.get("ZHENGMING_REWRITE_GOLDEN"):
        STORED.write_bytes((folder / "city.csv").read_bytes())
    return rows(folder / "city.csv")


def rows(path):
    with path.open(newline="") as file:
        return {row["number"]: row for row in csv.DictReader(file)}


def test_the_same_numbers_are_known(published):
    assert published.keys() == rows(STORED).keys()


def test_the_same_is_said_of_every_number(published):
    stored = rows(STORED)

    differing = {
        number: {name: (stored[number][name], row[name]) for name in SAID}
        for number, row in published.items()
        if any(stored[number][name] != row[name] for name in SAID)
    }

    assert not differing


@pytest.mark.parametrize(("name", "tolerance"), MEASURED.items())
def test_what_is_measured_stays_within_tolerance(published, name, tolerance):
    stored = rows(STORED)

    differing = {
        number: (stored[number][name], row[name])
        for number, row in published.items()
        if abs(float(stored[number][name]) - float(row[name])) > tolerance
    }

    assert not differing
