"""Truth inference: whose label is right and how sure, from answers alone."""

from services.arbitration.truth.answers import UNKNOWN, Answers, tabulate
from services.arbitration.truth.arbiter import LabelArbiter
from services.arbitration.truth.dawid_skene import DawidSkene, MajorityVote, posterior

__all__ = [
    "UNKNOWN",
    "Answers",
    "DawidSkene",
    "LabelArbiter",
    "MajorityVote",
    "posterior",
    "tabulate",
]
