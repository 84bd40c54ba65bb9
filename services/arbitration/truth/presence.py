"""What the mere presence of an answer says, for sources that only ever name one class."""

import numpy as np

from services.arbitration.truth.answers import F64, UNKNOWN, Answers

HUNCH_PRECISION = 0.7
"""How often a source is right of which nothing is known but what it says."""
HIGHEST_PRECISION = 0.95
_COVERAGE_SLACK = 0.9
_GOLD_STRENGTH = 5.0
"""Answers' worth of what is believed of a source before any of its answers is known."""
_EVENING = 0.1
_EVENING_ROUNDS = 10


def label_purity(answers: Answers) -> float:
    """Share of the variety of labels that goes with who speaks, not what is spoken of, in [0, 1].

    (J - J0) / (1 - J0), where J is the chance that two answers of one worker carry one label,
    and J0 that two answers of anyone do. Workers count by their answers. Unbiased for workers
    with few answers: a pair of two different answers is drawn without putting back. About 1 for
    rules that only ever say one thing, near 0 for a crowd that reads the task.
    """
    if not len(answers.worker):
        return 0.0
    key = answers.worker.astype(np.int64) * answers.n_labels + answers.label
    cell, count = np.unique(key, return_counts=True)
    said = np.bincount(answers.worker, minlength=answers.n_workers)
    pairs = np.bincount(cell // answers.n_labels, count * (count - 1), minlength=len(said))
    several = said > 1
    if not several.any():
        return 0.0
    same = pairs[several] / (said[several] * (said[several] - 1))
    within = float(np.average(same, weights=said[several]))
    overall = np.bincount(answers.label) / len(answers.label)
    by_chance = float((overall**2).sum())
    if by_chance >= 1.0:
        return 0.0
    return float(np.clip((within - by_chance) / (1 - by_chance), 0.0, 1.0))


def presence_posterior(answers: Answers) -> F64:
    """Posterior (n_tasks, n_classes) by votes that count more the fewer tasks a source claims.

    A source that names class k on a share f of all tasks cannot be right more often than the
    class is frequent over f; with nothing known, classes are taken as equally frequent. Its
    precision is min(0.7, 0.9 / (f K)). What is left undecided goes to the class that fewer votes
    claim: the shares of the classes are evened out a little (their logarithms by a tenth).
    Gold teaches: what is known of answers moves the precision of all sources by their common rate
    and then that of each (source, label) by its own. A task with gold is judged without its own.
    """
    n_classes = answers.n_classes
    key = answers.worker.astype(np.int64) * answers.n_labels + answers.label
    cell, index = np.unique(key, return_inverse=True)
    claimed = np.bincount(index, answers.weight, minlength=len(cell)) / max(answers.n_tasks, 1)
    hunch = np.minimum(HUNCH_PRECISION, _COVERAGE_SLACK / n_classes / np.maximum(claimed, 1e-9))
    by_cell = answers.by_task(index.astype(np.int32), len(cell))
    means = answers.support[cell % answers.n_labels]
    known = np.flatnonzero(answers.gold != UNKNOWN)
    said = by_cell[known]  # sparse (gold tasks, cells)
    right = said.multiply((means[:, answers.gold[known]] > 0).T).tocsr()
    hits, seen = np.asarray(right.sum(axis=0)).ravel(), np.asarray(said.sum(axis=0)).ravel()
    score = by_cell @ (_strength(hunch, hits, seen, n_classes)[:, None] * means)
    for row, task in enumerate(known.tolist()):
        one, its = said[[row]], right[[row]]
        own = _strength(hunch, hits - its.toarray()[0], seen - one.toarray()[0], n_classes)
        score[task] = (one @ (own[:, None] * means))[0]
    if answers.prior is not None:
        score = score + np.log(answers.prior)
        return _softmax(score)
    return _even_out(score)


def _strength(hunch: F64, hits: F64, seen: F64, n_classes: int) -> F64:
    """Log odds that one answer of each cell adds to the class it names, (cells,).

    Args:
        hunch: precision of each cell before any answer is known.
        hits, seen: its known answers, the right ones and all.
    """
    common = (hits.sum() + _GOLD_STRENGTH) / (seen @ hunch + _GOLD_STRENGTH)
    believed = np.minimum(hunch * common, HIGHEST_PRECISION)
    precision = (hits + _GOLD_STRENGTH * believed) / (seen + _GOLD_STRENGTH)
    precision = np.clip(precision, 1 / n_classes + 0.02, HIGHEST_PRECISION)
    return np.asarray(np.log(precision * (n_classes - 1) / (1 - precision)))


def _even_out(score: F64) -> F64:
    posterior = _softmax(score)
    wanted = np.maximum(posterior.mean(axis=0), 1e-9) ** (1 - _EVENING)
    wanted /= wanted.sum()
    shift = np.zeros(score.shape[1])
    for _ in range(_EVENING_ROUNDS):
        shift += 0.7 * np.log(wanted / np.maximum(posterior.mean(axis=0), 1e-9))
        posterior = _softmax(score + shift)
    return posterior


def _softmax(score: F64) -> F64:
    result = score - score.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return np.asarray(result)
