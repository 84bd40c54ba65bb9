"""Whole rows of simulated cities, features then posterior, with the truth about each number."""

import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtests.judged_rows import Judged
from services.cli import importing
from services.common.numbering import parse_column
from services.simulator.city import simulate
from tests.services_in_process import import_city, in_process

END = date(2026, 11, 20)
DAYS = 60


@dataclass(frozen=True)
class CityRows:
    """Numbers of a city that the truth knows, as of its end.

    Attributes:
        numbers: keys, int64 (n,).
        names: of the columns of `rows`.
        rows: float32 (n, columns).
        bad: bool (n,).
        category: the true category's code, "" for ordinary, (n,).
    """

    numbers: npt.NDArray[np.int64]
    names: tuple[str, ...]
    rows: npt.NDArray[np.float32]
    bad: npt.NDArray[np.bool_]
    category: npt.NDArray[np.str_]


def city_rows(seed: int, numbers: int, engine: Path) -> CityRows:
    """Simulate a city, import it, run features and arbitration, and read the rows."""
    midnight = datetime(END.year, END.month, END.day, tzinfo=timezone(timedelta(hours=8)))
    now_ms = int(midnight.timestamp() * 1000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(numbers, DAYS, seed, folder / "city", END)
        (folder / "key").write_bytes(bytes(32))  # the same pseudonyms every time
        with in_process(engine, folder, f"city_{seed}", lambda: now_ms, follow=False) as running:
            import_city(running, folder / "city")
            judged = Judged(running, now_ms)
            numbers, matrix = map(np.concatenate, zip(*judged.pages(), strict=True))
        known, bad, category = _truth(folder / "city" / "truth.csv", now_ms)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    have = known[at] == numbers
    return CityRows(numbers[have], judged.names, matrix[have], bad[at[have]], category[at[have]])


def _truth(
    path: Path, now_ms: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.str_]]:
    """Numbers, ascending, whose truth holds at that time, whether bad, and their category."""
    found: dict[int, tuple[bool, str]] = {}
    for _, table in importing.read_tables(path):
        until = importing.times_ms(importing.texts(table, "valid_until"))
        keys = parse_column(table["number"]).keys.tolist()
        bad = importing.flags(importing.texts(table, "bad"))
        codes = importing.texts(table, "category")
        for key, is_bad, code, end in zip(keys, bad, codes, until.tolist(), strict=True):
            if key and (end == 0 or end > now_ms):
                found[key] = is_bad, code
    numbers = np.array(sorted(found), dtype=np.int64)
    return (
        numbers,
        np.array([found[n][0] for n in numbers.tolist()]),
        np.array([found[n][1] for n in numbers.tolist()]),
    )
