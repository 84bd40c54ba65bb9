"""Learning anew on a schedule: a new model takes over only if it is better."""

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from services.common.clock import Clock
from services.common.errors import FailedPrecondition
from services.common.wire import as_of_ms
from services.scoring import domain
from services.scoring.registry import Registry
from services.scoring.training import DAY_MS, Trainer
from zhengming.scoring.v1 import scoring_pb2 as pb

F64 = npt.NDArray[np.float64]
Z95 = 1.96
LEVEL_RISK = 0.7
"""Risk from which a number nobody marked is noticed: where scores decide levels most, see
BEHAVIOUR_RISK of the reputation's rules."""


@dataclass(frozen=True)
class Comparison:
    """A new model beside the active one, on the same rows, which neither learned from.

    Attributes:
        active: version of the active model.
        row_count: rows judged.
        log_loss, active_log_loss: mean of each model.
        difference: of the two, below 0 where the new one is better.
        lower, upper: 95 % interval of the difference, from its spread over the rows.
        activated: whether the new one took over.
    """

    active: str
    row_count: int
    log_loss: float
    active_log_loss: float
    difference: float
    lower: float
    upper: float
    activated: bool


def compare(active: str, new: F64, old: F64, bad: domain.Y, weights: domain.F32) -> Comparison:
    """Judge two models by their risks, (n,) each, of rows that stand for `weights` rows."""
    share = weights / weights.sum(dtype=np.float64)
    ours, theirs = log_losses(new, bad), log_losses(old, bad)
    gap = ours - theirs
    mean = float(share @ gap)
    error = float(np.sqrt((share**2) @ (gap - mean) ** 2))
    return Comparison(
        active=active,
        row_count=len(bad),
        log_loss=float(share @ ours),
        active_log_loss=float(share @ theirs),
        difference=mean,
        lower=mean - Z95 * error,
        upper=mean + Z95 * error,
        activated=mean < 0,
    )


def log_losses(risk: F64, bad: domain.Y) -> F64:
    """-log of the probability given to what came true, (n,)."""
    return np.asarray(-np.log(np.clip(np.where(bad, risk, 1 - risk), 1e-12, 1.0)))


@dataclass(frozen=True)
class Differences:
    """How far two models differ on the same rows.

    Attributes:
        mean_absolute: of the difference of the risks.
        rank_correlation: Spearman's, in [-1, 1]; 0 where a model says the same of all.
        flipped_ratio: of the rows that either puts at LEVEL_RISK or above, the share of those that
            only one does.
    """

    mean_absolute: float
    rank_correlation: float
    flipped_ratio: float


def differences(old: domain.F32, new: domain.F32) -> Differences:
    """Of risks of two models, (n,) each, n at least 1."""
    high, high_too = old >= LEVEL_RISK, new >= LEVEL_RISK
    either = int((high | high_too).sum())
    varied = len(old) > 1 and np.ptp(old) > 0 and np.ptp(new) > 0
    return Differences(
        mean_absolute=float(np.abs(new - old).mean(dtype=np.float64)),
        rank_correlation=float(spearmanr(old, new).statistic) if varied else 0.0,
        flipped_ratio=int((high ^ high_too).sum()) / either if either else 0.0,
    )


class Retrainer:
    """Learns before a window, judges in it."""

    def __init__(self, registry: Registry, trainer: Trainer, clock: Clock) -> None:
        self._registry, self._trainer, self._clock = registry, trainer, clock

    def train(self, request: pb.TrainModelRequest) -> pb.Model:
        """Learn and store a model; activate it if it is better in the window after as_of_time.

        The last outcomes that it learns from end where the window begins. An active model that
        does not know the features of today cannot score, and gives way.

        Raises:
            FailedPrecondition: TRAINING_SET_TOO_SMALL.
            NotFound: MODEL_NOT_FOUND, where no model is active.
        """
        window = as_of_ms(request, self._clock)
        before = pb.TrainModelRequest()
        before.CopyFrom(request)
        before.as_of_time.FromMilliseconds(window - (request.horizon_days or 30) * DAY_MS)
        learned = self._trainer.train(before)
        new, old = self._registry.load_risk(learned.version), self._registry.active("risk")
        names, _, rows, weights, bad, _ = self._trainer.examples(request, window)
        if min(bad.sum(), (~bad).sum()) < domain.MIN_EXAMPLES:
            raise FailedPrecondition(
                "TRAINING_SET_TOO_SMALL",
                f"{int(bad.sum())} positive examples in the window are too few to judge by; "
                "the active model stays",
                positive_count=int(bad.sum()),
                negative_count=int((~bad).sum()),
                minimum=domain.MIN_EXAMPLES,
            )
        if old.names == names:
            found = compare(old.version, new.risk(rows), old.risk(rows), bad, weights)
            said = asdict(found)
        else:
            said = {"active": old.version, "activated": True, "reason": "MODEL_FEATURES_MISMATCH"}
        if said["activated"]:
            self._registry.activate("risk", learned.version)
        card = self._registry.annotate("risk", learned.version, "comparison", said)
        learned.active, learned.card_json = bool(said["activated"]), json.dumps(card)
        return learned
