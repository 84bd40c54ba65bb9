"""The risk model on real complaints, through the project's own store, beside plain LightGBM."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np

from loadtests import scoring_figures as figures
from loadtests.bars import Bar
from loadtests.judged_rows import Judged
from loadtests.scoring_figures import Evaluation, Flags, Floats, Scored
from loadtests.scoring_sets import PLAIN, PLAIN_TREES
from services.common.clock import wall_clock_ms
from services.common.numbering.kinds import Kind
from services.configuration import environment
from services.features.definitions import FEATURES
from services.scoring import domain, queries
from tests.services_in_process import InProcess, serving

DAY_MS = 86_400_000
ASKED = datetime(2020, 9, 9, 23, 59, 59, tzinfo=UTC)
HORIZON_DAYS = RECENT_DAYS = 30
LEARNED_STEP_DAYS = 15
MINIMUM = 3
"""Asked as of that day of every number with a complaint in the 30 days before: will it have three
in the 30 days after? Learned from the times whose horizon ended by then."""

POSTERIOR = "arbitration"
HISTORY = (
    *(f"marks_{days}d_count" for days in (1, 3, 7, 14, 30)),
    "mark_days_30d_count",
    "mark_days_count",
    "origins_30d_count",
    "origins_count",
    "last_mark_days",
    "first_mark_days",
    "decayed_7d_count",
    "decayed_30d_count",
    "marks_older_count",
    "marks_count",
    "same_area_ratio",
    "number_kind",
    "block_10000_marks_30d_count",
    "block_10000_numbers_30d_count",
)
"""The nineteen features of the set's README, by our names: what plain LightGBM is given."""

SHOWN = 20
ABLATION_ROWS = 60_000
"""Numbers that the models without a group are learned from: many fits in bounded time."""

SPEED_ROWS = 200_000
SPEED_ROUNDS = 7


@dataclass(frozen=True)
class Examples:
    """Numbers as of a time: their rows, whether they turned out bad, and how nearly."""

    names: tuple[str, ...]
    numbers: domain.I64
    rows: domain.F32
    bad: Flags
    graded: domain.F32

    def only(self, kept: Sequence[str]) -> domain.F32:
        """The rows' columns of these names, in their order here."""
        return self.rows[:, [at for at, name in enumerate(self.names) if name in kept]]

    def sample(self, count: int, seed: int) -> "Examples":
        """At most so many of the numbers, drawn at random."""
        some = np.random.default_rng(seed).permutation(len(self.bad))[:count]
        parts = (self.numbers, self.rows, self.bad, self.graded)
        return Examples(self.names, *(part[some] for part in parts))


@dataclass(frozen=True)
class Fitted:
    """A model and what it says of the numbers asked about."""

    booster: lgb.Booster
    slope: float
    intercept: float
    risk: Floats


def evaluate(folder: Path, times: int, seed: int) -> tuple[Evaluation, Bar]:
    """Import the months, learn as of `times` days, judge a later one; the speed of scoring."""
    parts, asked = examples(folder, times)
    names, groups = asked.names, _groups(asked.names)
    learned = Examples(
        names,
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.bad for part in parts]),
        np.concatenate([part.graded for part in parts]),
    )
    last = parts[-1]
    del parts
    ours = _fit(learned, asked, names, seed)
    plain = lgb.train(
        dict(PLAIN), lgb.Dataset(learned.only(HISTORY), learned.bad), PLAIN_TREES
    ).predict(asked.only(HISTORY))
    print(f"risk: learned from {len(learned.bad):,} rows", flush=True)
    # A group that says nothing here (no carrier, no assignments) has no worth to measure.
    tells = [bool(np.nanmax(column) > np.nanmin(column)) if np.isfinite(column).any() else False
             for column in last.rows.T]  # fmt: skip
    few = last.sample(ABLATION_ROWS, seed)
    whole = _fit(few, asked, names, seed)
    dropped = []
    for group in dict.fromkeys(
        groups[name] for name, told in zip(names, tells, strict=True) if told
    ):
        kept = [name for name in names if groups[name] != group]
        without = _fit(few, asked, kept, seed)
        dropped.append(_ablation(group, whole.risk, without.risk, asked.bad, seed))
        print(f"risk: without {group}", flush=True)
    told = figures.metrics(ours.risk, asked.bad)
    shares = ours.booster.feature_importance("gain")
    top = sorted(range(len(names)), key=lambda at: -shares[at])[:SHOWN]
    first = datetime.fromtimestamp(_times(times)[0] / 1000, UTC)
    evaluation = Evaluation(
        "Risk of complaints to come (ftc_dnc_2020_2021)",
        f"As of {ASKED:%Y-%m-%d}: will a number with a complaint in the {RECENT_DAYS} days before "
        f"have {MINIMUM} or more in the {HORIZON_DAYS} days after? Learned as of {times} days from "
        f"{first:%Y-%m-%d} on, each with its own horizon, all ended by the day asked about; "
        "features, arbitration and store are the project's own. Plain: LightGBM on the "
        f"{sum(name in names for name in HISTORY)} features of a mark's history. Groups are left "
        f"out of a model learned from {ABLATION_ROWS:,} numbers as of the last day; errors are by "
        "bootstrap over rows.",
        asked.bad,
        (Scored("ours", ours.risk), Scored("plain LightGBM", np.asarray(plain))),
        (),
        figures.slices(ours.risk, asked.bad, _slices(asked)),
        dropped,
        [(names[at], groups[names[at]], float(shares[at] / shares.sum())) for at in top],
        (
            Bar("AUC", told["auc"], 0.93),
            Bar("PR-AUC", told["pr_auc"], 0.39),
            Bar("ECE", told["ece"], 0.01, at_least=False),
        ),
    )
    return evaluation, _speed(ours, names, asked.rows)


def _speed(fitted: Fitted, names: tuple[str, ...], rows: domain.F32) -> Bar:
    """Calibrated scoring beside the booster's own predict on the same rows, taking turns."""
    model = domain.RiskModel(fitted.booster, names, fitted.slope, fitted.intercept, "bench")
    some = np.ascontiguousarray(rows[:SPEED_ROWS])
    spent: dict[str, list[float]] = {"raw": [], "scored": []}
    for _ in range(SPEED_ROUNDS):
        start = time.perf_counter()
        fitted.booster.predict(some, num_threads=2)
        between = time.perf_counter()
        model.risk(some)
        spent["raw"].append(between - start)
        spent["scored"].append(time.perf_counter() - between)
    ratio = min(spent["raw"]) / min(spent["scored"])
    print(f"scoring at {ratio:.3f} x the speed of raw Booster.predict on {len(some):,} rows")
    return Bar(f"Scoring / raw Booster.predict, rows a second on {len(some):,} rows", ratio, 0.9)


def _fit(learned: Examples, asked: Examples, names: Sequence[str], seed: int) -> Fitted:
    rows = learned.only(names)
    weights = np.ones(len(rows), dtype=np.float32)
    booster, slope, intercept, _, _ = domain.fit(
        rows, learned.bad, learned.graded, weights, learned.numbers, seed
    )
    model = domain.RiskModel(booster, tuple(names), slope, intercept, "bench")
    return Fitted(booster, slope, intercept, model.risk(asked.only(names)))


def _ablation(
    group: str, whole: Floats, without: Floats, bad: Flags, seed: int
) -> tuple[str, float, float, float, float]:
    chance = np.random.default_rng(seed)

    def change(rows: figures.Rows | slice) -> tuple[float, float]:
        full = figures.metrics(whole[rows], bad[rows])
        part = figures.metrics(without[rows], bad[rows])
        return part["auc"] - full["auc"], part["pr_auc"] - full["pr_auc"]

    samples = [change(chance.integers(0, len(bad), len(bad))) for _ in range(30)]
    auc_error, pr_error = np.std(samples, axis=0, ddof=1)
    return group, *change(slice(None)), float(auc_error), float(pr_error)


def _groups(names: Sequence[str]) -> dict[str, str]:
    known = {feature.name: feature.group for feature in FEATURES}
    return {name: known.get(name, POSTERIOR) for name in names}


def _slices(asked: Examples) -> dict[str, Flags]:
    def column(name: str) -> Floats:
        if name not in asked.names:
            return np.full(len(asked.bad), np.nan)
        return np.asarray(asked.rows[:, asked.names.index(name)], dtype=np.float64)

    kind, marks, tenure = column("number_kind"), column("marks_count"), column("tenure_days")
    first = column("first_mark_days")
    kinds = {
        f"kind {Kind(int(code)).name}": kind == code
        for code in np.unique(kind[~np.isnan(kind)])
        if (kind == code).mean() >= 0.001
    }
    others = {
        "one mark": marks == 1,
        "2 to 4 marks": (marks >= 2) & (marks <= 4),
        "5 marks and more": marks >= 5,
        "first marked within 30 days": first < RECENT_DAYS,
        "first marked before": first >= RECENT_DAYS,
        "new tenure (under 30 days)": tenure < RECENT_DAYS,
        "older tenure": tenure >= RECENT_DAYS,
        "tenure unknown": np.isnan(tenure),
    }
    return {name: rows for name, rows in (kinds | others).items() if rows.any()}


def _times(count: int) -> list[int]:
    last = int(ASKED.timestamp() * 1000) - HORIZON_DAYS * DAY_MS
    return [last - back * LEARNED_STEP_DAYS * DAY_MS for back in range(count - 1, -1, -1)]


def examples(folder: Path, times: int) -> tuple[list[Examples], Examples]:
    files = sorted(str(path) for path in folder.glob("*.csv.gz"))
    with tempfile.TemporaryDirectory() as made:
        store = f"chdb:{made}/store"
        code = "import sys; from services.cli.main import run; sys.exit(run())"
        command = [sys.executable, "-c", code, "--store", store, "import", "ftc-dnc", *files]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print("risk: imported", flush=True)
        settings = {"ZHENGMING_STORE": store, "ZHENGMING_ADDRESS": "127.0.0.1:0"}
        with serving(environment(settings), wall_clock_ms, follow=False) as running:
            learned = [_as_of(running, at) for at in _times(times)]
            asked = _as_of(running, int(ASKED.timestamp() * 1000))
    return learned, asked


def _as_of(running: InProcess, as_of: int) -> Examples:
    """Examples as of a time: the numbers marked in the 30 days before."""
    judged = Judged(running, as_of)
    recent, _ = queries.marks_between(running.store, as_of - RECENT_DAYS * DAY_MS, as_of)
    numbers, rows = [], []
    for some, some_rows in judged.pages():
        kept = np.isin(some, recent)
        numbers.append(some[kept])
        rows.append(some_rows[kept])
    found = np.concatenate(numbers)
    later, count = queries.marks_between(running.store, as_of, as_of + HORIZON_DAYS * DAY_MS)
    bad = np.isin(found, later[count >= MINIMUM])
    nearly = np.isin(found, later[count >= MINIMUM - 1])
    print(f"risk: {len(found):,} numbers, {int(bad.sum()):,} bad", flush=True)
    graded = ((bad.astype(np.float32) + nearly) / 2).astype(np.float32)
    return Examples(judged.names, found, np.concatenate(rows), bad, graded)
