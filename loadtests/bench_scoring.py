"""Evaluation report of scoring: table models and the risk model beside plain LightGBM, as HTML.

python -m loadtests.bench_scoring [--out FILE] [--only SET...] [--repeats N] [--ablations N]
A table set is fitted three times a repeat, and once more for each group left out: half a minute
to a minute each on two cores.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from loadtests import bars, scoring_risk, scoring_sets
from loadtests import scoring_figures as figures
from loadtests.scoring_page import page

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("ZHENGMING_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "var" / "bench" / "scoring.html"
SETS = ("sichuan", "honeypot", "risk")
FOLDERS = {
    "sichuan": "sichuan_telecom_fraud",
    "honeypot": "ftc_honeypot_2014",
    "risk": "ftc_dnc_2020_2021",
}


def main() -> int:
    """Write the report; 1 if a bar is missed, 2 without the data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--repeats", type=int, default=1, help="times that each row is kept apart")
    parser.add_argument("--ablations", type=int, default=1, help="turns to leave groups out in")
    parser.add_argument("--times", type=int, default=3, help="days that the risk is learned as of")
    parser.add_argument("--rows", type=int, default=10**9, help="rows of a table set, for a glance")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    absent = [FOLDERS[name] for name in given.only if not (DATA / FOLDERS[name]).is_dir()]
    if absent:
        print(f"no {', '.join(absent)} in {DATA}: set ZHENGMING_DATA", file=sys.stderr)
        return 2
    evaluations, ratios = [], []
    for name in given.only:
        start, folder = time.perf_counter(), DATA / FOLDERS[name]
        if name == "risk":
            evaluation, ratio = scoring_risk.evaluate(folder, given.times, given.seed)
            ratios.append(ratio)
        else:
            one = getattr(scoring_sets, name)(folder).sample(given.rows, given.seed)
            evaluation = scoring_sets.evaluate(one, given.repeats, given.ablations, given.seed)
        evaluations.append(evaluation)
        _tell(evaluation)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(page(evaluations, ratios, datetime.now(UTC)), encoding="utf-8")
    print(f"report: {given.out}")
    for ratio in ratios:
        bars.note(ratio.text, ratio.value, ratio.limit, ratio.at_least)
    every = [*ratios, *(bar for evaluation in evaluations for bar in evaluation.bars)]
    return int(not all(bar.held for bar in every))


def _tell(evaluation: figures.Evaluation) -> None:
    print(f"\n{evaluation.name}")
    print("| system | AUC | PR-AUC | F1 | ECE | Brier |\n|---|--:|--:|--:|--:|--:|")
    for system in evaluation.systems:
        told = figures.metrics(system.probability, evaluation.label)
        cells = (f"{told[metric]:.4f}" for metric in ("auc", "pr_auc", "f1", "ece", "brier"))
        print(f"| {system.name} | {' | '.join(cells)} |")
    for other, metric, mean, error in evaluation.paired:
        print(f"kept apart, ours minus {other}: {metric} {mean:+.4f} (standard error {error:.4f})")
    for group, auc, pr_auc, _, _ in evaluation.ablations:
        print(f"without {group}: AUC {auc:+.4f}, PR-AUC {pr_auc:+.4f}")
    for bar in evaluation.bars:
        bars.note(f"{evaluation.name}: {bar.text}", bar.value, bar.limit, bar.at_least)
        sign, held = ">=" if bar.at_least else "<=", "holds" if bar.held else "missed"
        print(f"{bar.text}: {bar.value:.4f} ({sign} {bar.limit:g}), {held}")


if __name__ == "__main__":
    sys.exit(main())
