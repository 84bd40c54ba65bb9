"""Half a year of marks from which a risk model can be learned."""

import csv
import random
from datetime import UTC, datetime
from pathlib import Path

DAY_MS = 86_400_000
OFTEN, SELDOM = 120, 300
"""Numbers that are marked every few days, and numbers that are marked once or twice."""


def write(path: Path, until_ms: int) -> None:
    """A file of marks for `import marks`, the last of them before a time."""
    chance = random.Random(4)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "number", "label", "occurred_at", "reporter"])
        for i in range(OFTEN + SELDOM):
            days = [chance.uniform(1, 180) for _ in range(chance.randint(1, 2))]
            if i < OFTEN:
                days = [day + chance.random() for day in range(1, 180, 4)]
            for day in days:
                at = datetime.fromtimestamp((until_ms - day * DAY_MS) / 1000, UTC).isoformat()
                number = f"138{10_000_000 + i * 7919 % 90_000_000:08d}"
                rows.writerow(["app", number, "诈骗电话", at, f"r{chance.randrange(500)}"])
