"""How verdicts hold under collusion: python -m loadtests.bench_attack [--numbers N] [--share S].

Each attack is played on the same simulated city, once without and once with the colluders; both
go through the whole way: import over gRPC, pipeline, publishing. A verdict on a targeted number
is flipped if it moved to where the colluders wanted it: to a warning (level 2 and above) by
defaming, from a warning by whitewashing. Beside it the same for a majority vote.
"""

import argparse
import csv
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from services.__main__ import Application, Configuration
from services.cli import exporting, importing
from services.cli.demo import FILES
from services.cli.evaluate import evaluate
from services.cli.kinds import KINDS
from services.cli.session import Stubs, run_pipeline
from services.common import rpc
from services.common.taxonomy import crosswalk, standard
from services.simulator.city import simulate
from services.simulator.collusion import Attack
from services.simulator.window import DAY_S

END = date(2026, 6, 30)
WARNED = 2
BASE = Attack(targets_per_group=2.0)
ATTACKS = {
    "mass marking by new accounts": replace(BASE, camouflage_ratio=0.0),
    "sleepers who earn trust first": replace(BASE, camouflage_ratio=0.0, earned_marks=6.0),
    "forged calls": replace(BASE, forged_call_ratio=0.9),
    "copying vendor": replace(BASE, copied_ratio=0.8),
    "whitewashing": replace(BASE, whitewash_ratio=1.0),
    "slow drip": replace(BASE, burst_s=20 * DAY_S),
}


@dataclass(frozen=True)
class Verdicts:
    """What is published, and the figures of `evaluate`."""

    level: dict[str, int]
    category: dict[str, str]
    figures: dict[str, Any]
    voted: dict[str, bool]


def judged(folder: Path, engine: Path, database: str) -> Verdicts:
    """Everything imported, judged and published in a database of its own."""
    now_ms = int(datetime(END.year, END.month, END.day, tzinfo=UTC).timestamp() * 1000)
    (folder / "key").write_bytes(bytes(32))
    application = Application(
        Configuration(
            store=f"chdb:{engine}?database={database}",
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
            for kind, name in FILES:
                for line, table in importing.read_tables(folder / name):
                    KINDS[kind](stubs, folder / name, line, table, {}, importing.Tally())
            run_pipeline(stubs, now_ms, lambda step: None)
            exporting.write(stubs, folder / "out.csv", now_ms)
    finally:
        application.stop()
    level, category = {}, {}
    with (folder / "out.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            level[row["number"]] = int(row["level"])
            category[row["number"]] = row["category"]
    figures = evaluate(folder / "truth.csv", folder / "out.csv", folder / "marks.csv.gz")
    return Verdicts(level, category, figures, majority(folder / "marks.csv.gz"))


def majority(path: Path) -> dict[str, bool]:
    """Whether most marks of a number warn of it, by number."""
    codes, words = standard.load(), crosswalk.load()
    levels = {category.id: category.level for category in codes.categories}
    warns: dict[tuple[str, str], float] = {}
    votes: dict[str, list[float]] = {}
    for _, table in importing.read_tables(path):
        columns = (table[name].to_pylist() for name in ("number", "source", "label"))
        for raw, source, label in zip(*columns, strict=True):
            if (source, label) not in warns:
                rows = words.map_label(source, label).rows
                warns[source, label] = sum(w for c, w in rows if levels.get(c, 0) >= WARNED)
            votes.setdefault(raw, []).append(warns[source, label])
    from services.common.numbering import parse_column
    from services.common.numbering.keys import format_keys

    raw = list(votes)
    keys = parse_column(raw).keys
    sums: dict[int, list[float]] = {}
    for key, text in zip(keys.tolist(), raw, strict=True):
        sums.setdefault(key, []).extend(votes[text])
    known = [key for key in sums if key]
    names = format_keys(np.array(known, dtype=np.int64))
    return {
        str(name): float(np.mean(sums[key])) > 0.5 for key, name in zip(known, names, strict=True)
    }


def targets(folder: Path) -> dict[str, str]:
    """Goal by targeted number."""
    from services.common.numbering import parse

    with (folder / "attacks.csv").open(newline="") as file:
        return {parse(row["number"]).number: row["goal"] for row in csv.DictReader(file)}


def flips(aimed: dict[str, str], quiet: dict[str, Any], loud: dict[str, Any]) -> int:
    """Verdicts that moved where the colluders wanted them; both by number, true: warned."""
    return sum(
        quiet.get(number, False) != loud.get(number, False)
        and loud.get(number, False) == (goal == "DEFAME")
        for number, goal in aimed.items()
    )


def warned(levels: dict[str, int]) -> dict[str, bool]:
    return {number: level >= WARNED for number, level in levels.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=8_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        return run(Path(place), given)


def run(place: Path, given: argparse.Namespace) -> int:
    size = (given.numbers, given.days, given.seed)
    quiet_folder = place / "quiet"
    simulate(*size, quiet_folder, END, Attack(reporter_share=0.0))
    quiet = judged(quiet_folder, place / "store", "quiet")
    exact = quiet.figures["published"]["category"]["exact"]
    print(f"{given.numbers} numbers, {given.share:.0%} of the reporters collude; bar < 1 % flipped")
    print("| attack | targets | flipped | majority | honest verdicts lost | label lost |")
    print("|---|--:|--:|--:|--:|--:|")
    held = True
    for at, (name, attack) in enumerate(ATTACKS.items()):
        if given.only not in name:
            continue
        began = time.monotonic()
        folder = place / f"attack{at}"
        simulate(*size, folder, END, replace(attack, reporter_share=given.share))
        loud = judged(folder, place / "store", f"attack{at}")
        aimed = targets(folder)
        flipped = flips(aimed, warned(quiet.level), warned(loud.level))
        voted = flips(aimed, quiet.voted, loud.voted)
        lost = exact_among(quiet_folder, quiet, aimed) - exact_among(quiet_folder, loud, aimed)
        gone = sum(bool(quiet.category.get(n)) and not loud.category.get(n) for n in aimed)
        count = len(aimed)
        held &= flipped < 0.01 * count and lost < 0.002
        print(
            f"| {name} | {count} | {flipped} ({flipped / count:.1%}) | {voted / count:.1%} "
            f"| {100 * lost:+.2f} points | {gone / count:.1%} |",
            flush=True,
        )
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"without attack the category is right for {exact:.3f} of the marked numbers")
    return 0 if held else 1


def exact_among(folder: Path, found: Verdicts, aimed: dict[str, str]) -> float:
    """Share of right categories among numbers with a right one that nobody aimed at."""
    from services.common.numbering import parse

    right = total = 0
    with (folder / "truth.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["valid_until"] or not row["category"]:
                continue
            number = parse(row["number"]).number
            if number in aimed or number not in found.voted:
                continue
            total += 1
            right += found.category.get(number, "") == row["category"]
    return right / max(total, 1)


if __name__ == "__main__":
    sys.exit(main())
