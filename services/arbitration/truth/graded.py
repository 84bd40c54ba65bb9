"""Confusion matrices that borrow strength from all workers, with graded (easy, hard) classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from services.arbitration.truth.answers import F64, I64, Answers

_TINY = 1e-12


@dataclass(frozen=True)
class GradedModel:
    """How classes, grades and workers are tied together.

    A latent state is a class and a grade within it. Two grades let a class hold a part on which
    workers err together (after the sub-types of Li, Rubinstein & Cohn 2019, "Exploiting worker
    correlation for label aggregation", ICML), so that a shared difficulty is not taken for a class.

    Attributes:
        grades: states a class.
        shrinkage: pseudo-counts drawing a worker's rows to the pooled rows at the worker's skill.
        level: share by which the pooled rows' own hits are evened out over the classes: a class
            seen rarely cannot then be emptied or filled by a few odd workers.
        anchor: share of the first, vote-based posterior in what the M step sees.
        max_iter, tolerance: EM stops there, or when the mean move of a task is below.
    """

    grades: int
    shrinkage: float
    level: float
    anchor: float
    max_iter: int = 15
    tolerance: float = 1e-4


CAUTIOUS = GradedModel(grades=1, shrinkage=10.0, level=1.0, anchor=0.3)
FREE = GradedModel(grades=2, shrinkage=4.0, level=0.0, anchor=0.0)


@dataclass(frozen=True)
class GradedFit:
    """What one graded model found.

    Attributes:
        posterior: float64 (n_tasks, n_classes); every answer is judged by counts that leave its
            own task out, and no row is fixed to gold.
        gain: nats by which it foretells each answer from the task's others better than the
            worker's own label shares do, summed over the answers.
        pooled: float64 (n_labels, n_classes), P(label | class) of all workers.
        class_share: float64 (n_classes,), grades summed.
        n_iter: EM iterations.
    """

    posterior: F64
    gain: float
    pooled: F64
    class_share: F64
    n_iter: int


class _Cells:
    """The (worker, label) cells that occur: memory follows answers, not workers x labels."""

    def __init__(self, answers: Answers) -> None:
        key = answers.worker.astype(np.int64) * answers.n_labels + answers.label
        present, index = np.unique(key, return_inverse=True)
        self.of_answer = index.astype(np.int32)
        self.worker: I64 = present // answers.n_labels
        self.label: I64 = present % answers.n_labels
        self.votes = answers.by_task(self.of_answer, len(present))
        ones = np.ones(len(present))
        shape = (answers.n_workers, len(present))
        at = np.arange(len(present))
        self.to_worker = sparse.csr_array(sparse.coo_array((ones, (self.worker, at)), shape))
        shape = (answers.n_labels, len(present))
        self.to_label = sparse.csr_array(sparse.coo_array((ones, (self.label, at)), shape))


def fit_graded(answers: Answers, model: GradedModel) -> GradedFit:
    """EM in log space from the vote shares; `answers` must hold two classes or more."""
    cells = _Cells(answers)
    classes = np.repeat(np.arange(answers.n_classes), model.grades)
    fits = answers.support[:, classes] > 0
    shares = _shares(answers)
    first = _to_states(_smoothed_votes(answers, shares), model.grades)
    inside, beside = first, first
    mass = float(answers.weight.sum())
    n_iter = 0
    for _ in range(model.max_iter):
        n_iter += 1
        seen = (1 - model.anchor) * inside + model.anchor * first
        seen = _fix_states(answers, seen, classes)
        counts = np.asarray(cells.votes.T @ seen)
        per_worker = np.asarray(cells.to_worker @ counts)
        pooled = _pooled(np.asarray(cells.to_label @ counts), per_worker, fits, model)
        expected = _expected_rows(cells, counts, per_worker, pooled, fits, model.shrinkage, mass)
        log_prior, class_share = _log_state_prior(answers, inside, shares, model.grades)
        before = beside
        counts += model.shrinkage * expected
        per_worker += model.shrinkage
        beside, foretold = _judge(answers, cells, seen, counts, per_worker, log_prior)
        inside = _fix_states(answers, beside, classes)
        if float(np.abs(beside - before).sum()) < model.tolerance * answers.n_tasks:
            break
    by_class = beside.reshape(answers.n_tasks, answers.n_classes, model.grades).sum(axis=2)
    weight_in = inside.sum(axis=0).reshape(answers.n_classes, model.grades)
    rows = pooled.reshape(answers.n_labels, answers.n_classes, model.grades)
    mixed = (rows * weight_in).sum(axis=2) / np.maximum(weight_in.sum(axis=1), _TINY)
    return GradedFit(
        posterior=by_class,
        gain=foretold - _habit(answers, cells, model.shrinkage),
        pooled=mixed,
        class_share=class_share,
        n_iter=n_iter,
    )


def _shares(answers: Answers) -> F64:
    votes = answers.votes().sum(axis=0)
    return np.asarray((votes + _TINY) / (votes + _TINY).sum())


def _smoothed_votes(answers: Answers, shares: F64) -> F64:
    base = shares if answers.prior is None else answers.prior
    votes = answers.votes() + 0.5 * answers.n_classes * base
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def _to_states(posterior: F64, grades: int) -> F64:
    """Split each class: the second grade takes as much as the votes of the task disagree."""
    if grades == 1:
        return posterior
    n_tasks, n_classes = posterior.shape
    dispute = (1 - posterior.max(axis=1)) / (1 - 1 / n_classes)
    hard = np.clip(dispute, 0.02, 0.98)[:, None] / (grades - 1)
    parts = [posterior * (1 - hard * (grades - 1))] + [posterior * hard] * (grades - 1)
    return np.stack(parts, axis=2).reshape(n_tasks, n_classes * grades)


def _fix_states(answers: Answers, states: F64, classes: I64) -> F64:
    """The states with those of other classes emptied where the truth is known."""
    known = np.flatnonzero(answers.gold >= 0)
    if not len(known):
        return states
    fixed = states.copy()
    rows = (states[known] + _TINY) * (classes == answers.gold[known][:, None])
    fixed[known] = rows / rows.sum(axis=1, keepdims=True)
    return fixed


def _pooled(by_label: F64, per_worker: F64, fits: npt.NDArray[np.bool_], model: GradedModel) -> F64:
    """P(label | state) over all workers, (n_labels, n_states), hits evened out by `level`."""
    pooled = by_label + fits + 0.1
    pooled /= pooled.sum(axis=0)
    if not model.level:
        return np.asarray(pooled)
    hit = np.where(fits, pooled, 0).sum(axis=0)
    mass = per_worker.sum(axis=0) + _TINY
    even = (1 - model.level) * hit + model.level * float(mass @ hit) / float(mass.sum())
    miss = np.maximum(1 - hit, _TINY)
    return np.where(fits, pooled * even / hit, pooled * (1 - even) / miss)


def _expected_rows(
    cells: _Cells,
    counts: F64,
    per_worker: F64,
    pooled: F64,
    fits: npt.NDArray[np.bool_],
    shrinkage: float,
    mass: float,
) -> F64:
    """Pooled rows at each worker's own skill, (n_cells, n_states).

    A worker's misses over those that the pooled rows expect of the same tasks, shrunk to 1,
    scale the worker's whole off-diagonal.
    """
    fit_cells = fits[cells.label]
    missed = np.asarray(cells.to_worker @ np.where(fit_cells, 0, counts).sum(axis=1))
    hit = np.where(fits, pooled, 0).sum(axis=0)
    miss = np.maximum(1 - hit, 1e-9)
    due = per_worker @ miss
    steady = shrinkage * float(missed.sum()) / max(mass, 1.0) + _TINY
    ratio = (missed + steady) / (due + steady)
    scale = np.minimum(ratio[:, None], 0.98 / miss)[cells.worker]
    row = pooled[cells.label]
    return np.where(fit_cells, row * ((1 - scale * miss) / hit), row * scale)


def _log_state_prior(answers: Answers, inside: F64, shares: F64, grades: int) -> tuple[F64, F64]:
    """Log P(state), 2-D, and the class shares: half what the model finds, half what votes say."""
    found = inside.sum(axis=0).reshape(answers.n_classes, grades)
    total = max(answers.n_tasks, 1)
    overall = found.sum(axis=0) / total
    within = found + total / answers.n_classes * overall
    within /= found.sum(axis=1, keepdims=True) + total / answers.n_classes
    class_share = (found.sum(axis=1) / total + shares) / 2
    of_class = class_share[None, :] if answers.prior is None else answers.prior
    joint = of_class[:, :, None] * within
    return np.log(np.maximum(joint, _TINY)).reshape(len(of_class), -1), class_share


def _judge(
    answers: Answers, cells: _Cells, seen: F64, counts: F64, per_worker: F64, log_prior: F64
) -> tuple[F64, float]:
    """E step with each task's own part taken out of the counts, and how well answers are foretold.

    Returns:
        The posterior of states (n_tasks, n_states), and the summed weighted log-probability of
        each answer given the other answers of its task.
    """
    result = np.empty_like(seen)
    foretold = 0.0
    for tasks, rows in answers.chunks():
        weight = answers.weight[rows]
        per_task = answers.answer_count[tasks]
        own = np.repeat(seen[tasks], per_task, axis=0)
        own *= weight[:, None]
        said = counts[cells.of_answer[rows]]
        said -= own
        np.maximum(said, _TINY, out=said)
        given = per_worker[answers.worker[rows]]
        given -= own
        said /= given
        log_said = np.log(said)
        score = _sum_by_task(log_said, weight, answers.task_start[tasks.start : tasks.stop + 1])
        score += log_prior if len(log_prior) == 1 else log_prior[tasks]
        result[tasks] = _softmax(score)
        without = np.repeat(score, per_task, axis=0)
        without -= weight[:, None] * log_said
        foretold += float(weight @ np.log(np.einsum("ij,ij->i", _softmax(without), said)))
    return result, foretold


def _sum_by_task(rows: F64, weight: F64, start: I64) -> F64:
    gather = sparse.csr_array((len(start) - 1, len(rows)), dtype=np.float64)
    gather.data, gather.indices = weight, np.arange(len(rows), dtype=np.int32)
    gather.indptr = (start - start[0]).astype(np.int32)
    summed: Any = gather @ rows
    return np.asarray(summed)


def _softmax(score: F64) -> F64:
    result = score - score.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return np.asarray(result)


def _habit(answers: Answers, cells: _Cells, shrinkage: float) -> float:
    """Summed log-probability of each answer by its worker's other answers alone."""
    weight = answers.weight
    by_cell = np.bincount(cells.of_answer, weight, minlength=len(cells.worker))
    by_worker = np.bincount(answers.worker, weight, minlength=answers.n_workers)
    by_label = np.bincount(answers.label, weight, minlength=answers.n_labels)
    share = (by_label + 0.1) / (by_label + 0.1).sum()
    own = by_cell[cells.of_answer] - weight + shrinkage * share[answers.label]
    return float(weight @ np.log(own / (by_worker[answers.worker] - weight + shrinkage)))
