"""What it costs to let risk only rise with marks, refusals and bad neighbours.

python -m loadtests.bench_monotone [FOLDER]: of simulated cities of seeds 1 to 3, each model is
learned from one and judged on another; with FOLDER, the files of ftc_dnc_2020_2021, from the times
whose outcomes were known and on the numbers asked about in loadtests.scoring_risk. The same rows
with and without the constraints, by each way that LightGBM has of keeping them.
"""

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadtests import scoring_risk
from loadtests.simulated_rows import city_rows
from services.scoring import domain, lifecycle

SEEDS = (1, 2, 3)
NUMBERS = 8_000
TIMES = 2
ROWS = 80_000
"""Of the complaints, numbers drawn to learn from: several models in bounded time."""
FREE = "free"
WAYS = (FREE, "basic", "advanced")

RISING = re.compile(
    r"(marks|mark_days|reporters|sources)_(\d+d_)?count|decayed_\d+d_count"
    r"|block_\d+_(numbers|marks)_\d+d_count|near_\d+_(active_count|repeated_ratio)"
    r"|after_refusal_ratio|auth_failed_ratio|posterior_(illegal|malicious)|effective_sources"
)
"""More of these should never be a sign of less risk, all else being equal."""


@dataclass(frozen=True)
class Rows:
    """Examples: numbers (n,), rows (n, features), whether bad and how nearly (n,)."""

    names: tuple[str, ...]
    numbers: domain.I64
    rows: domain.F32
    bad: domain.Y
    graded: domain.F32


def compare(title: str, learned: Rows, judged: Rows, seed: int) -> None:
    """Print figures of each way on rows that none learned from."""
    risks = {way: _risk(learned, judged, way, seed) for way in WAYS}
    ones = np.ones(len(judged.bad), dtype=np.float32)
    for way, risk in risks.items():
        told = " ".join(f"{k} {v:.4f}" for k, v in domain.metrics(risk, judged.bad).items())
        found = lifecycle.compare(FREE, risk, risks[FREE], judged.bad, ones)
        print(
            f"{title} {way:8} {told} log_loss {found.log_loss:.5f} "
            f"{found.difference:+.5f} [{found.lower:+.5f}, {found.upper:+.5f}]",
            flush=True,
        )


def _risk(learned: Rows, judged: Rows, way: str, seed: int) -> domain.F64:
    rising = [int(bool(RISING.fullmatch(name))) for name in learned.names]
    ones = np.ones(len(learned.bad), dtype=np.float32)
    plain = dict(domain.PARAMETERS)
    if way != FREE:
        constraints = {"monotone_constraints": rising, "monotone_constraints_method": way}
        domain.PARAMETERS.update(constraints)
    try:
        booster, slope, intercept, _, _ = domain.fit(
            learned.rows, learned.bad, learned.graded, ones, learned.numbers, seed
        )
    finally:
        domain.PARAMETERS.clear()
        domain.PARAMETERS.update(plain)
    return domain.RiskModel(booster, learned.names, slope, intercept, "bench").risk(judged.rows)


def cities() -> None:
    """Each city's model on the next one."""
    with tempfile.TemporaryDirectory() as folder:
        found = [city_rows(seed, NUMBERS, Path(folder)) for seed in SEEDS]
    made = [Rows(c.names, c.numbers, c.rows, c.bad, c.bad.astype(np.float32)) for c in found]
    for i, seed in enumerate(SEEDS):
        compare(f"city {seed}", made[i], made[(i + 1) % len(made)], seed)


def complaints(folder: Path) -> None:
    """The numbers with a complaint in the 30 days before."""
    parts, asked = scoring_risk.examples(folder, TIMES)
    some = [part.sample(ROWS // TIMES, seed=0) for part in parts]
    learned = Rows(
        asked.names,
        *(
            np.concatenate([getattr(part, field) for part in some])
            for field in ("numbers", "rows", "bad", "graded")
        ),
    )
    compare(
        "ftc", learned, Rows(asked.names, asked.numbers, asked.rows, asked.bad, asked.graded), 0
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    folder = parser.parse_args().folder
    complaints(folder) if folder else cities()


if __name__ == "__main__":
    main()
