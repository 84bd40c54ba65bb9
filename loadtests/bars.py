"""Figures beside their limits, printed by the benchmarks and kept for the report."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "ZHENGMING_BARS"
"""Names the file that figures are added to, a line of JSON each; without it they are not kept."""


@dataclass(frozen=True)
class Bar:
    """A figure against its limit."""

    text: str
    value: float
    limit: float
    at_least: bool = True

    @property
    def held(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def note(text: str, value: float, limit: float, at_least: bool = True) -> bool:
    """Keep a figure for the report; whether it holds."""
    bar = Bar(text, float(value), limit, at_least)
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as file:
            file.write(json.dumps(asdict(bar), ensure_ascii=False) + "\n")
    return bar.held


def at_most(text: str, value: float, limit: float) -> bool:
    """Keep a figure that is to be small; whether it holds."""
    return note(text, value, limit, at_least=False)


def noted(path: Path) -> list[Bar]:
    """The figures of a file, in their order."""
    return [Bar(**json.loads(line)) for line in path.read_text().splitlines()]
