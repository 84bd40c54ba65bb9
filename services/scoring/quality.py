"""How good a risk model is on time and numbers kept apart, and in slices. Pure."""

import lightgbm as lgb
import numpy as np

from services.common.numbering import Kind
from services.scoring import domain

FEW_MARKS = 2
"""Slice "few_marks": at most so many marks; three within the horizon make a number bad."""
NEW_TENURE_DAYS = 90
"""Slice "new_tenure": assigned or released at most so long ago; 90 days is the shortest rest that
is told of before a number is sold again (china.md section 5, S92)."""
MIN_SLICE = 50
"""Fewer rows than these are no slice."""
MAX_ROWS = 100_000
"""Rows drawn to learn from, and to judge, on times and numbers kept apart: the figures are not
worth the time and the memory of a second training on all rows."""


def slices(
    names: tuple[str, ...],
    rows: domain.F32,
    risk: domain.F64,
    bad: domain.Y,
    weights: domain.F32,
    is_judged: domain.Y,
) -> dict[str, dict[str, float]]:
    """Figures of parts of the judged rows, by name; see `domain.metrics`.

    Args:
        names: of the columns.
        rows: float32 (n, features).
        risk, bad, weights: (n,), as for `domain.metrics`.
        is_judged: bool (n,).
    """
    found = {}
    for name, part in _parts(names, rows).items():
        chosen = part & is_judged
        if int(chosen.sum()) >= MIN_SLICE:
            found[name] = described(risk[chosen], bad[chosen], weights[chosen])
    return found


def described(risk: domain.F64, bad: domain.Y, weights: domain.F32) -> dict[str, float]:
    """`domain.metrics` with the counts of the rows."""
    counts = {"row_count": len(bad), "positive_count": int(bad.sum())}
    return {**counts, **domain.metrics(risk, bad, weights)}


def _parts(names: tuple[str, ...], rows: domain.F32) -> dict[str, domain.Y]:
    found: dict[str, domain.Y] = {}
    if "number_kind" in names:
        kind = rows[:, names.index("number_kind")]
        for code in np.unique(kind[np.isfinite(kind)]).astype(int).tolist():
            found[f"number_kind={Kind(code).name}"] = kind == code
    if "marks_count" in names:
        found["few_marks"] = rows[:, names.index("marks_count")] <= FEW_MARKS
    if "tenure_days" in names:
        found["new_tenure"] = rows[:, names.index("tenure_days")] <= NEW_TENURE_DAYS
    return found


def kept_apart(
    rows: domain.F32,
    bad: domain.Y,
    graded: domain.F32,
    weights: domain.F32,
    numbers: domain.I64,
    is_early: domain.Y,
    is_judged: domain.Y,
    trees: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Figures of a model that learned from early rows alone, and without a fold of the numbers.

    "time_split": of the judged rows; "group_split": of those, of the numbers of the fold. What
    calibrates are the early rows of the fold. {} where there are too few early
    rows, or none to judge. At most MAX_ROWS of each kind of rows are used.

    Args:
        rows, bad, graded, weights, numbers, seed: as for `domain.fit`.
        is_early: bool (n,), rows whose outcomes were known when those of the judged rows began.
        is_judged: bool (n,).
        trees: how many to grow.
    """
    held = domain.fold_of(numbers, seed) == 0
    chance = np.random.default_rng(seed)
    learned, calibrated = _drawn(is_early & ~held, chance), _drawn(is_early & held, chance)
    later = _drawn(is_judged, chance)
    if not len(later):
        return {}
    for part in (learned, calibrated):
        if min(bad[part].sum(), (~bad[part]).sum()) < domain.MIN_EXAMPLES:
            return {}
    parameters = domain.parameters(len(rows), seed)
    booster = lgb.train(parameters, lgb.Dataset(rows[learned], graded[learned]), trees)
    slope, intercept = domain.platt(
        domain.margins(booster, rows[calibrated]), bad[calibrated], weights[calibrated]
    )
    risk = domain.sigmoid(slope * domain.margins(booster, rows[later]) + intercept)
    found = {}
    for name, part in (("time_split", np.ones(len(later), bool)), ("group_split", held[later])):
        if part.any():
            found[name] = described(risk[part], bad[later][part], weights[later][part])
    return found


def _drawn(chosen: domain.Y, chance: np.random.Generator) -> domain.I64:
    """Places of the chosen rows, ascending; MAX_ROWS of them where there are more."""
    at = np.flatnonzero(chosen)
    return at if len(at) <= MAX_ROWS else np.sort(chance.choice(at, MAX_ROWS, replace=False))
