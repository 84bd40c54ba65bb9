"""How verdicts hold under collusion: python -m loadtests.bench_attack [--seed S ...] [--plot FILE].

Each attack is played on the same simulated city, once without and once with the colluders; both
go through the whole way: import over gRPC, pipeline, publishing. A verdict on a targeted number
is flipped if it moved to where the colluders wanted it: to a warning (level 2 and above) by
defaming, from a warning by whitewashing. Beside it the same for a majority vote. `--floor` plays
no attack but leaves out one mark in a hundred, drawn at random: what the numbers that lost none
then lose is the noise that any change of the marks makes.
"""

import argparse
import csv
import gzip
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from loadtests import bars
from services.cli import exporting, importing
from services.cli.evaluate import evaluate
from services.cli.session import run_pipeline
from services.common.taxonomy import crosswalk, standard
from services.simulator.city import simulate
from services.simulator.collusion import Attack
from services.simulator.window import DAY_S
from tests.services_in_process import import_city, in_process

END = date(2026, 6, 30)
WARNED = 2
LEFT_OUT = 0.01
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
    (folder / "key").write_bytes(bytes(32))  # the same pseudonyms every time
    with in_process(engine, folder, database, lambda: now_ms, follow=False) as running:
        import_city(running, folder)
        run_pipeline(running.stubs, now_ms, lambda step: None)
        exporting.write(running.stubs, folder / "out.csv", now_ms)
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


@dataclass
class Outcome:
    """What one attack did, over all seeds: counts of targets, and honest verdicts lost."""

    targets: int = 0
    flipped: int = 0
    voted: int = 0
    unlabelled: int = 0
    lost: list[float] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, nargs="+", default=[11])
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--only", default="")
    parser.add_argument("--floor", action="store_true", help="the noise alone, no attack")
    parser.add_argument("--plot", type=Path, help="also draw it, SVG")
    given = parser.parse_args()
    if given.floor:
        return print_floor((given.numbers, given.days), given.seed)
    outcomes = {name: Outcome() for name in ATTACKS if given.only in name}
    exact = []
    for seed in given.seed:
        with tempfile.TemporaryDirectory() as place:
            size = (given.numbers, given.days, seed)
            exact.append(play(Path(place), size, given.share, outcomes))
    print(
        f"{given.numbers} numbers, seeds {given.seed}, {given.share:.0%} of the reporters collude"
    )
    print("| attack | targets | flipped | by majority vote | honest verdicts lost | label lost |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, found in outcomes.items():
        print(
            f"| {name} | {found.targets} | {found.flipped / found.targets:.1%} "
            f"| {found.voted / found.targets:.1%} | {100 * np.mean(found.lost):+.2f} points "
            f"| {found.unlabelled / found.targets:.1%} |"
        )
    print(f"without attack the category is right for {np.mean(exact):.3f} of the marked numbers")
    print("bars: flipped < 1 %, honest verdicts lost < 0.2 points")
    if given.plot:
        draw(outcomes, given.plot)
    for name, found in outcomes.items():
        bars.at_most(f"attack, {name}: verdicts flipped", found.flipped / found.targets, 0.01)
        bars.at_most(f"attack, {name}: honest verdicts lost", float(np.mean(found.lost)), 0.002)
    held = [f.flipped < 0.01 * f.targets and np.mean(f.lost) < 0.002 for f in outcomes.values()]
    return 0 if all(held) else 1


def play(
    place: Path, size: tuple[int, int, int], share: float, outcomes: dict[str, Outcome]
) -> float:
    """Play the attacks on one city; the share of right categories without any."""
    quiet_folder = place / "quiet"
    simulate(*size, quiet_folder, END, Attack(reporter_share=0.0))
    quiet = judged(quiet_folder, place / "store", "quiet")
    for at, (name, outcome) in enumerate(outcomes.items()):
        began = time.monotonic()
        folder = place / f"attack{at}"
        simulate(*size, folder, END, replace(ATTACKS[name], reporter_share=share))
        loud = judged(folder, place / "store", f"attack{at}")
        aimed = targets(folder)
        outcome.targets += len(aimed)
        outcome.flipped += flips(aimed, warned(quiet.level), warned(loud.level))
        outcome.voted += flips(aimed, quiet.voted, loud.voted)
        outcome.unlabelled += sum(
            bool(quiet.category.get(n)) and not loud.category.get(n) for n in aimed
        )
        outcome.lost.append(
            exact_among(quiet_folder, quiet, aimed) - exact_among(quiet_folder, loud, aimed)
        )
        print(f"seed {size[2]}, {name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return float(quiet.figures["published"]["category"]["exact"])


def print_floor(size: tuple[int, int], seeds: list[int]) -> int:
    """Print by city what verdicts lose, and how many move, where some marks are left out."""
    print("| seed | numbers that keep all marks | verdicts lost | categories that move |")
    print("|---|--:|--:|--:|")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            whole, thin = Path(place) / "whole", Path(place) / "thin"
            simulate(*size, seed, whole, END, Attack(reporter_share=0.0))
            shutil.copytree(whole, thin)
            touched = leave_out(thin / "marks.csv.gz", seed)
            before = judged(whole, Path(place) / "store", "whole")
            after = judged(thin, Path(place) / "store", "thin")
            lost = exact_among(whole, before, touched) - exact_among(whole, after, touched)
            kept = [n for n in before.voted if n not in touched]
            moved = np.mean([before.category.get(n) != after.category.get(n) for n in kept])
            print(f"| {seed} | {len(kept)} | {100 * lost:+.2f} points | {moved:.2%} |", flush=True)
    return 0


def leave_out(path: Path, seed: int) -> dict[str, str]:
    """Take one mark in a hundred out of a file; the numbers that lose one."""
    from services.common.numbering import parse

    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = np.random.default_rng(seed).random(len(rows)) >= LEFT_OUT
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row, stays in zip(rows, kept, strict=True) if stays)
    gone = [row["number"] for row, stays in zip(rows, kept, strict=True) if not stays]
    return {parse(number).number: "" for number in gone}


def draw(outcomes: dict[str, Outcome], path: Path) -> None:
    """Shares of flipped verdicts as bars, ours beside the majority's."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "zhengming"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.4))
    places = np.arange(len(outcomes))
    for shift, name, colour in ((-0.2, "majority vote", "#b9c4cc"), (0.2, "Zhengming", "#0b5563")):
        shares = [
            100 * (o.voted if shift < 0 else o.flipped) / o.targets for o in outcomes.values()
        ]
        bars = axes.barh(places + shift, shares, height=0.36, label=name, color=colour)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    axes.set_yticks(places, list(outcomes))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("verdicts flipped where the colluders wanted, % of their targets")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


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
