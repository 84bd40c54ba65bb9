"""Majority vote and Dawid-Skene's confusion model, by EM in log space over sparse answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from services.arbitration.truth.answers import F64, Answers, tabulate

T = TypeVar("T")
Parts = list[tuple[slice, Any]]
_TINY = 1e-300
_GATHERED_ROWS = 1 << 15
_SCORED_TASKS = 1 << 15


class MajorityVote:
    """The share of each class in a task's weighted answers.

    After `fit`: `posterior_` float64 (n_tasks, n_classes), `classes_` int64 (n_classes,). A task
    without answers has the prior, or the shares of all answers.
    """

    def fit(
        self, task: npt.ArrayLike, worker: npt.ArrayLike, label: npt.ArrayLike, **columns: Any
    ) -> Self:
        """Count. Arguments as `tabulate`."""
        return self.fit_answers(tabulate(task, worker, label, **columns))

    def fit_answers(self, answers: Answers) -> Self:
        """Count checked answers."""
        self.classes_ = np.arange(answers.n_classes)
        self.posterior_ = answers.fix(vote_shares(answers))
        return self


class DawidSkene:
    """Latent classes with one confusion matrix a worker (Dawid & Skene 1979, doi:10.2307/2346806).

    Args:
        smoothing: Dirichlet pseudo-count of each cell of each confusion row.
        shrinkage: pseudo-counts that draw each worker's rows towards those of all workers.
        max_iter: EM iterations at most.
        tolerance: stop when the mean log-likelihood of an answer rises by less.

    After `fit`:
        posterior_: float64 (n_tasks, n_classes); confusion_: float64 (n_workers, n_classes,
        n_labels), rows sum to 1; class_prior_: float64 (n_classes,); classes_: int64;
        log_likelihoods_: list of the objective before each M step (with `smoothing`, the log
        posterior density up to a constant: it never falls while `shrinkage` is 0); n_iter_: int.
    """

    def __init__(
        self,
        *,
        smoothing: float = 0.01,
        shrinkage: float = 0.0,
        max_iter: int = 100,
        tolerance: float = 1e-6,
    ) -> None:
        self.smoothing = smoothing
        self.shrinkage = shrinkage
        self.max_iter = max_iter
        self.tolerance = tolerance

    def fit(
        self, task: npt.ArrayLike, worker: npt.ArrayLike, label: npt.ArrayLike, **columns: Any
    ) -> Self:
        """Learn from coordinate arrays. Arguments as `tabulate`."""
        return self.fit_answers(tabulate(task, worker, label, **columns))

    def fit_answers(self, answers: Answers) -> Self:
        """Learn from checked answers, starting from their vote shares."""
        n_cells = answers.n_workers * answers.n_labels
        cell = answers.worker * np.int32(answers.n_labels) + answers.label
        parts = answers.in_parts(cell.astype(np.int32), n_cells)
        total = max(float(answers.weight.sum()), 1.0)
        beside = answers.fix(vote_shares(answers))
        self.classes_ = np.arange(answers.n_classes)
        self.log_likelihoods_: list[float] = []
        for iteration in range(1, self.max_iter + 1):
            counts, prior = m_step(parts, beside, answers)
            log_confusion = self._log_rows(counts)
            table = log_confusion.reshape(n_cells, -1)
            likelihood = e_step(parts, table, np.log(prior), beside)
            answers.fix(beside)
            self.n_iter_ = iteration
            self.log_likelihoods_.append(likelihood + self.smoothing * float(log_confusion.sum()))
            path = self.log_likelihoods_
            if len(path) > 1 and (path[-1] - path[-2]) / total < self.tolerance:
                break
        self.posterior_, self.class_prior_ = beside, prior.mean(axis=0)
        self._by_label = np.exp(log_confusion)
        return self

    @property
    def confusion_(self) -> F64:
        """P(label | worker, class), float64 (n_workers, n_classes, n_labels); a view."""
        return self._by_label.transpose(0, 2, 1)

    def _log_rows(self, counts: F64) -> F64:
        """Log confusion (n_workers, n_labels, n_classes) from counts of that shape."""
        smoothed = counts
        if self.smoothing or self.shrinkage:
            smoothed = counts + self.smoothing
        if self.shrinkage:
            pooled = counts.sum(axis=0) + max(self.smoothing, 1e-3)
            smoothed += self.shrinkage * pooled / pooled.sum(axis=0)
        result = np.log(np.maximum(smoothed, _TINY))
        result -= np.log(np.maximum(smoothed.sum(axis=1, keepdims=True), _TINY))
        return np.asarray(np.minimum(result, 0.0))


def vote_shares(answers: Answers) -> F64:
    """Share of each class in each task's weighted answers, float64 (n_tasks, n_classes)."""
    votes = answers.votes()
    if answers.prior is not None:
        votes = votes + answers.prior
    total = votes.sum(axis=1, keepdims=True)
    pooled = votes.sum(axis=0) if votes.any() else np.ones(answers.n_classes)
    votes /= np.maximum(total, _TINY)
    votes[total[:, 0] <= 0] = pooled / pooled.sum()
    return votes


def e_step(parts: Parts, log_table: F64, log_prior: F64, out: F64) -> float:
    """Write the posterior of each task; returns the log-likelihood of all answers.

    Args:
        parts: of a sparse (n_tasks, n_cells), weight of each answer at its (worker, label) cell.
        log_table: (n_cells, n_classes), log P(label | worker, class) of each cell.
        log_prior: (1 or n_tasks, n_classes).
        out: (n_tasks, n_classes).
    """
    priors, ones = np.broadcast_to(log_prior, out.shape), np.ones(out.shape[1])

    def of_part(tasks: slice, matrix: Any) -> float:
        likelihood = 0.0
        for first in range(tasks.start, tasks.stop, _SCORED_TASKS):
            some = slice(first, min(first + _SCORED_TASKS, tasks.stop))
            score = matrix[first - tasks.start : some.stop - tasks.start] @ log_table
            score += priors[some]
            top = score.max(axis=1, keepdims=True)
            score -= top
            np.exp(score, out=score)
            norm = (score @ ones)[:, None]  # ten times as fast as a sum over so short rows
            np.divide(score, norm, out=out[some])
            likelihood += float(np.log(norm).sum() + top.sum())
        return likelihood

    return sum(_of_each(of_part, parts))


def m_step(parts: Parts, posterior: F64, answers: Answers) -> tuple[F64, F64]:
    """Expected counts (n_workers, n_labels, n_classes) and the class prior, 2-D."""

    def of_part(tasks: slice, matrix: Any) -> F64:
        return np.asarray(matrix.T @ posterior[tasks])

    counts, *others = _of_each(of_part, parts)
    for other in others:
        counts += other
    prior = answers.prior
    if prior is None:
        mass = posterior.sum(axis=0)
        prior = np.maximum(mass / max(mass.sum(), 1.0), 1e-12)[None, :]
    return counts.reshape(answers.n_workers, answers.n_labels, answers.n_classes), prior


def _of_each(work: Callable[[slice, Any], T], parts: Parts) -> list[T]:
    """In a thread for each part: sparse products and numpy release the interpreter's lock."""
    if len(parts) == 1:
        return [work(*parts[0])]
    with ThreadPoolExecutor(len(parts), "truth") as threads:
        return list(threads.map(lambda part: work(*part), parts))


def posterior(
    task: npt.ArrayLike,
    worker: npt.ArrayLike,
    label: npt.ArrayLike,
    weight: npt.ArrayLike | None,
    log_prior: npt.ArrayLike,
    log_confusion: npt.ArrayLike,
) -> F64:
    """Posterior of every row of `log_prior` under fixed accuracies: full and incremental alike.

    log post_i(k) = log prior_i(k) + sum_j w_j log C[worker_j, k, label_j] - log Z, in time
    proportional to the answers given.

    Args:
        task, worker, label: integer codes (n,).
        weight: (n,) in [0, 1]; None: all 1.
        log_prior: (n_tasks, n_classes).
        log_confusion: (n_workers, n_classes, n_labels).
    """
    score = np.array(log_prior, dtype=np.float64, ndmin=2)
    table = np.asarray(log_confusion)
    tasks, workers, labels = np.asarray(task), np.asarray(worker), np.asarray(label)
    weights = np.ones(len(tasks)) if weight is None else np.asarray(weight, dtype=np.float64)
    for first in range(0, len(tasks), _GATHERED_ROWS):
        rows = slice(first, first + _GATHERED_ROWS)
        said = table[workers[rows], :, labels[rows]]
        at = np.arange(len(said))
        present, place = np.unique(tasks[rows], return_inverse=True)
        shape = (len(present), len(said))
        near = sparse.csr_array(sparse.coo_array((weights[rows], (place, at)), shape))
        score[present] += near @ said
    score -= score.max(axis=1, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(axis=1, keepdims=True)
    return score
