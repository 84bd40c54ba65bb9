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


def slices(
    names: tuple[str, ...],
    rows: domain.F32,
    risk: domain.F64,
    bad: domain.Y,
    weights: domain.F32,
) -> dict[str, dict[str, float]]:
    """Figures of parts of the rows, by name; see `domain.metrics`.

    Args:
        names: of the columns.
        rows: float32 (n, features).
        risk, bad, weights: (n,), as for `domain.metrics`.
    """
    found = {}
    for name, chosen in _parts(names, rows).items():
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
    calibrates are the early rows of the fold. {} where the early rows are too few.

    Args:
        rows, bad, graded, weights, numbers, seed: as for `domain.fit`.
        is_early: bool (n,), rows whose outcomes were known when those of the judged rows began.
        is_judged: bool (n,).
        trees: how many to grow.
    """
    held = domain.fold_of(numbers, seed) == 0
    learned, calibrated = is_early & ~held, is_early & held
    for part in (learned, calibrated):
        if min(bad[part].sum(), (~bad[part]).sum()) < domain.MIN_EXAMPLES:
            return {}
    parameters = domain.parameters(len(rows), seed)
    of_early = lgb.Dataset(rows[learned], graded[learned], weight=weights[learned])
    booster = lgb.train(parameters, of_early, trees)
    slope, intercept = domain.platt(
        domain.margins(booster, rows[calibrated]), bad[calibrated], weights[calibrated]
    )
    found = {}
    for name, part in (("time_split", is_judged), ("group_split", is_judged & held)):
        if part.any():
            risk = domain.sigmoid(slope * domain.margins(booster, rows[part]) + intercept)
            found[name] = described(risk, bad[part], weights[part])
    return found
