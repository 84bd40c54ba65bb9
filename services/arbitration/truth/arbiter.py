"""Whose label is right, and how sure: votes, confusion models and presence, pooled."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from services.arbitration.truth.answers import F64, UNKNOWN, Answers, tabulate
from services.arbitration.truth.calibration import Calibration, calibrate
from services.arbitration.truth.dawid_skene import vote_shares
from services.arbitration.truth.graded import CAUTIOUS, FREE, GradedModel, fit_graded
from services.arbitration.truth.presence import label_purity, presence_posterior

VOTES, PRESENCE = "votes", "presence"
MODELS: dict[str, GradedModel] = {"cautious": CAUTIOUS, "free": FREE}
_PURE_FROM, _PURE_TO = 0.35, 0.5
_SKILL_STRENGTH = 2.0


class LabelArbiter:
    """Truth inference on any table of answers, one setting for all.

    The posterior is a weighted mean of up to four. Half the weight is always the votes', so that
    nothing overturns a unanimous task and little data means majority. The confusion models share
    the other half, each as far as it foretells held-back answers from the other answers of the
    task better than the worker's habits do; what they do not earn goes to presence evidence as
    far as workers only ever name one class, else back to the votes. docs/arbitration.md has the
    formulas and figures.

    Args:
        vote_weight: share of the votes, at least.
        smoothing: answers' worth of an even posterior mixed into every task's.

    After `fit`:
        posterior_: float64 (n_tasks, n_classes); rows with gold are one-hot.
        free_posterior_: the same before gold is put in, to judge calibration by.
        classes_: int64 (n_classes,). n_iter_: EM iterations, all models.
        model_weights_: weight of each posterior. model_gains_: nats by model.
        calibration_: fitted on gold; changes nothing without.
        pooled_confusion_: float64 (n_classes, n_labels), P(label | class) of all workers.
        worker_answers_: float64 (n_workers,), summed weight.
        worker_accuracy_: float64 (n_workers,); worker_accuracy_interval_: (n_workers, 2), 95 %.
    """

    def __init__(self, *, vote_weight: float = 0.5, smoothing: float = 0.25) -> None:
        self.vote_weight = vote_weight
        self.smoothing = smoothing

    def fit(
        self, task: npt.ArrayLike, worker: npt.ArrayLike, label: npt.ArrayLike, **columns: Any
    ) -> Self:
        """Learn from coordinate arrays. Arguments as `tabulate`."""
        return self.fit_answers(tabulate(task, worker, label, **columns))

    def fit_answers(self, answers: Answers) -> Self:
        """Learn from checked answers."""
        self.classes_ = np.arange(answers.n_classes)
        pooled = self._pool(answers)
        total = np.add.reduceat(np.append(answers.weight, 0.0), answers.task_start[:-1])
        total = np.where(answers.answer_count > 0, total, 0.0)[:, None]
        base = 1 / answers.n_classes if answers.prior is None else answers.prior
        unsaid = self.class_share_ if answers.prior is None else answers.prior
        evened = (total * pooled + self.smoothing * base) / np.maximum(
            total + self.smoothing, 1e-12
        )
        pooled = np.where(total > 0, evened, unsaid)
        known = np.flatnonzero((answers.gold != UNKNOWN) & (answers.answer_count > 0))
        self.calibration_: Calibration = calibrate(pooled[known], answers.gold[known])
        self.free_posterior_ = self.calibration_.apply(pooled)
        self.posterior_ = answers.fix(self.free_posterior_.copy())
        self._judge_workers(answers, answers.fix(self._evidence))
        return self

    def _pool(self, answers: Answers) -> F64:
        """The weighted mean of all posteriors; sets model_weights_ and what goes with it."""
        shares = vote_shares(answers)
        self.model_weights_ = {VOTES: 1.0}
        self.model_gains_: dict[str, float] = {}
        self.n_iter_ = 0
        self.class_share_ = _mean(answers.votes() if answers.prior is None else answers.prior)
        self.pooled_confusion_ = np.full(
            (answers.n_classes, answers.n_labels), 1 / max(answers.n_labels, 1)
        )
        self._evidence = shares.copy()
        if answers.n_classes < 2 or not len(answers.worker):
            return shares
        purity = label_purity(answers)
        pure = float(np.clip((purity - _PURE_FROM) / (_PURE_TO - _PURE_FROM), 0.0, 1.0))
        presence = pure * (1 - self.vote_weight)
        open_weight = 1 - self.vote_weight - presence
        cost = answers.n_classes * max(answers.n_labels - 1, 1)
        result = presence * presence_posterior(answers) if presence else np.zeros_like(shares)
        for name, model in MODELS.items():
            found = fit_graded(answers, model)
            earned = max(found.gain, 0.0) / (max(found.gain, 0.0) + cost * model.grades)
            weight = (1 - self.vote_weight) * (1 - pure) / len(MODELS) * earned
            result += weight * found.posterior
            open_weight -= weight
            self.n_iter_ += found.n_iter
            self.model_gains_[name] = found.gain
            self.model_weights_[name] = weight
            if model is CAUTIOUS:
                self.pooled_confusion_, self.class_share_ = found.pooled.T, found.class_share
        self.model_weights_[PRESENCE] = presence
        self.model_weights_[VOTES] = self.vote_weight + open_weight
        # A share of votes is no probability of a class: workers are judged by what the models
        # say, and by the votes as far as no model has earned a word.
        self._evidence = result + open_weight * shares
        self._evidence /= np.maximum(self._evidence.sum(axis=1, keepdims=True), 1e-12)
        result += self.model_weights_[VOTES] * shares
        return result

    def _judge_workers(self, answers: Answers, evidence: F64) -> None:
        """Expected share of right answers, and a 95 % interval of the Beta posterior.

        Args:
            evidence: posterior that they are judged by, (n_tasks, n_classes).
        """
        fits = answers.support > 0
        right = np.zeros(answers.n_workers)
        for tasks, rows in answers.chunks():
            said = fits[answers.label[rows]]
            believed = np.repeat(evidence[tasks], answers.answer_count[tasks], axis=0)
            hit = np.einsum("ij,ij->i", believed, said) * answers.weight[rows]
            right += np.bincount(answers.worker[rows], hit, minlength=answers.n_workers)
        given = np.bincount(answers.worker, answers.weight, minlength=answers.n_workers)
        mean = (right.sum() + 1.0) / (given.sum() + 2.0)
        good = right + _SKILL_STRENGTH * mean
        bad = np.maximum(given - right, 0.0) + _SKILL_STRENGTH * (1 - mean)
        self.worker_answers_ = given
        self.worker_accuracy_ = good / (good + bad)
        self.worker_accuracy_interval_ = np.stack(
            [betaincinv(good, bad, 0.025), betaincinv(good, bad, 0.975)], axis=1
        )


def _mean(rows: F64) -> F64:
    total = rows.sum(axis=0)
    mass = float(total.sum())
    return np.asarray(total / mass) if mass > 0 else np.full(len(total), 1 / max(len(total), 1))
