"""Call records to behaviour: python -m loadtests.bench_cdr [--rows N] [--files N].

Rows a second and peak memory of `aggregate-cdr` over generated CSV files, each run in a process of
its own that has done the same with a small file before, so that imports do not count; beside it
the limit, which reads the same files into columns of text and counts rows, and DuckDB doing the
columns that one GROUP BY can do, numbers not normalised, where it is installed.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from loadtests import bars

DAY_MS = 86_400_000
START_MS = 1_790_006_400_000  # midnight in China
PART = 500_000


def generate(path: Path, rows: int, numbers: int, seed: int) -> None:
    """A day's records; a tenth of the calls are made by a thousand heavy callers."""
    rng = np.random.default_rng(seed)
    with pyarrow.csv.CSVWriter(path, _SCHEMA) as writer:
        for start in range(0, rows, PART):
            count = min(PART, rows - start)
            heavy = rng.random(count) < 0.1
            caller = np.where(heavy, rng.integers(0, 1000, count), rng.integers(0, numbers, count))
            at = np.sort(rng.integers(0, DAY_MS, count)) // 1000 * 1000 + START_MS
            talk = np.where(rng.random(count) < 0.6, rng.integers(1, 300, count), 0)
            written = pc.strftime(
                pa.array(at + 8 * 3_600_000).cast(pa.timestamp("ms")).cast(pa.timestamp("s")),
                format="%Y-%m-%dT%H:%M:%S+08:00",
            )
            writer.write_table(
                pa.table(
                    {
                        "caller": pa.array(13_800_000_000 + caller).cast(pa.string()),
                        "callee": pa.array(13_800_000_000 + rng.integers(0, numbers, count)).cast(
                            pa.string()
                        ),
                        "started_at": written,
                        "duration_s": pa.array(talk).cast(pa.string()),
                        "released_by": pa.array(
                            np.array(["CALLER", "CALLEE"])[rng.integers(0, 2, count)]
                        ),
                        "trunk": pa.array(np.array(["DOMESTIC", ""])[rng.integers(0, 2, count)]),
                        "imei": pa.array(860_000_000_000_000 + caller * 7).cast(pa.string()),
                        "cell": pa.array(
                            460_00_000_000 + caller % 5000 + rng.integers(0, 3, count)
                        ).cast(pa.string()),
                    },
                    schema=_SCHEMA,
                )
            )


_SCHEMA = pa.schema(
    [(n, pa.string()) for n in ("caller", "callee", "started_at", "duration_s", "released_by",
                                "trunk", "imei", "cell")]
)  # fmt: skip


def aggregate(files: list[Path], folder: Path) -> int:
    """The command's work."""
    from services.cli.cdr.run import aggregate_files

    return aggregate_files(files, folder / "behaviour.parquet", "CMCC").records


def scan(files: list[Path], folder: Path) -> int:
    """The limit: columns of text, counted."""
    from services.cli.importing import read_tables

    return sum(len(table) for file in files for _, table in read_tables(file))


def duckdb_sums(files: list[Path], folder: Path) -> int:
    """The columns of one GROUP BY, by DuckDB on two threads."""
    import duckdb

    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"""
            COPY (
                SELECT caller, CAST(started_at AS TIMESTAMPTZ)::DATE AS day, count(*) AS calls_out,
                    count(*) FILTER (duration_s > 0) AS answered_out, sum(duration_s) AS talk_s,
                    count(DISTINCT callee) AS distinct_callees, count(DISTINCT imei) AS imei_count,
                    count(DISTINCT cell) AS cell_count
                FROM read_csv({[str(file) for file in files]}) GROUP BY ALL
            ) TO '{folder}/duckdb.parquet'
            """
        )
    return 0


WORK = {"aggregate-cdr": aggregate, "scan": scan, "duckdb, easy columns": duckdb_sums}


def main() -> None:
    """Generate, then run each piece of work in its own process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--files", type=int, default=3)
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.work:
        files = sorted(given.folder.glob("*.csv"))
        with tempfile.TemporaryDirectory() as name:
            small = Path(name) / "small.csv"
            generate(small, 1000, 1000, 0)
            WORK[given.work]([small], Path(name))
        began, cpu_began_s = time.perf_counter(), time.process_time()
        WORK[given.work](files, given.folder)
        taken, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began_s
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{taken} {peak_mib} {cpu_s}")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        for i in range(given.files):
            generate(folder / f"calls-{i}.csv", given.rows // given.files, given.rows // 3, i)
        os.sync()  # else the files are still being written while they are read
        size = sum(file.stat().st_size for file in folder.glob("*.csv"))
        print(f"{given.rows:,} records, {size / 2**20:,.0f} MiB, {datetime.now(UTC):%F}")
        rates = {}
        for work in WORK:
            command = [sys.executable, "-m", "loadtests.bench_cdr", "--work", work]
            done = subprocess.run(
                [*command, "--folder", str(folder)], capture_output=True, text=True
            )
            if done.returncode:
                print(f"{work:22} not run: {done.stderr.strip().splitlines()[-1]}")
                continue
            taken, peak_mib, cpu = map(float, done.stdout.split())
            rates[work] = given.rows / taken
            print(
                f"{work:22} {rates[work] / 1e6:6.2f} M rows/s   {cpu / given.rows * 1e6:5.2f} "
                f"CPU s per M rows   peak {peak_mib:,.0f} MiB"
            )
        bars.note("aggregate-cdr, million rows a second", rates["aggregate-cdr"] / 1e6, 1)
        print(f"aggregate-cdr / scan   {rates['aggregate-cdr'] / rates['scan']:.2f}")


if __name__ == "__main__":
    main()
