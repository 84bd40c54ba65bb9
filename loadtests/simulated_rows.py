"""Whole rows of simulated cities, features then posterior, with the truth about each number."""

import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.application import Application, store_of
from services.cli import importing
from services.cli.demo import FILES
from services.cli.kinds import KINDS
from services.cli.session import Stubs
from services.common import operations, rpc
from services.common.numbering import parse_column
from services.configuration import Configuration
from services.scoring.rows import RunRows
from services.simulator.city import simulate
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.features.v1 import features_pb2

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
        (folder / "key").write_bytes(bytes(32))
        application = Application(
            Configuration(
                store=f"chdb:{engine}?database=city_{seed}",
                address="127.0.0.1:0",
                models=folder / "models",
                key_file=folder / "key",
                peers={},
                signing_key_file=folder / "signing",
                snapshots=folder / "snapshots",
            ),
            clock=lambda: now_ms,
        )
        try:
            with rpc.connect(application.address) as channel:
                stubs = Stubs.of(channel)
                for kind, file in FILES:
                    path = folder / "city" / file
                    for line, table in importing.read_tables(path):
                        KINDS[kind](stubs, path, line, table, {}, importing.Tally())
                return _rows(application, stubs, folder / "city" / "truth.csv", now_ms)
        finally:
            application.stop()


def _rows(application: Application, stubs: Stubs, truth: Path, now_ms: int) -> CityRows:
    build = features_pb2.BuildFeaturesRequest()
    build.as_of_time.FromMilliseconds(now_ms)
    built = features_pb2.BuildFeaturesResponse()
    operations.wait(stubs.operations, stubs.features.BuildFeatures(build, timeout=60), built)
    judge = arbitration_pb2.RunArbitrationRequest(run_id=built.run_id)
    judge.as_of_time.FromMilliseconds(now_ms)
    judged = arbitration_pb2.RunArbitrationResponse()
    operations.wait(stubs.operations, stubs.arbitration.RunArbitration(judge, timeout=60), judged)
    reader = RunRows(store_of(application), stubs.features)
    run, after = int(built.run_id), -1
    keys, rows = [], []
    while True:
        some, values = reader.after(run, after)
        if not len(some):
            break
        after = int(some[-1])
        keys.append(some)
        rows.append(values)
    known, bad, category = _truth(truth, now_ms)
    numbers, matrix = np.concatenate(keys), np.concatenate(rows)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    have = known[at] == numbers
    return CityRows(
        numbers[have], reader.names(run), matrix[have], bad[at[have]], category[at[have]]
    )


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
