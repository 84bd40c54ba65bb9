"""How many established labels one full pass may move. Pure."""

from dataclasses import dataclass

from services.common.errors import FailedPrecondition

MAX_CHURN = 0.1
"""Share of the established labels that one full pass may move (Community Notes stops its own pass
at 0.12 to 0.30, by kind; domain/anchors.md)."""
MIN_ESTABLISHED = 1_000
"""With fewer established labels a share says little."""


@dataclass(frozen=True)
class Churn:
    """How many established labels there are, and how many of them a version would move."""

    established: int
    moved: int

    @property
    def share(self) -> float:
        """Moved of the established, in [0, 1]."""
        return self.moved / self.established if self.established else 0.0


def check_churn(churn: Churn, maximum: float) -> None:
    """Accept a version that moves no more than that share of the established labels.

    Raises:
        FailedPrecondition: CHURN_TOO_HIGH.
    """
    if churn.established < MIN_ESTABLISHED or churn.share <= maximum:
        return
    raise FailedPrecondition(
        "CHURN_TOO_HIGH",
        f"{churn.moved} of {churn.established} established labels would move "
        f"({churn.share:.1%}, at most {maximum:.1%} are allowed); nothing was published",
        moved=churn.moved,
        established=churn.established,
        share=round(churn.share, 4),
        maximum=maximum,
    )
