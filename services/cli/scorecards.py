"""Scorecards as a table for people and as CSV for machines."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from services.console.referral_tables import plain
from zhengming.arbitration.v1 import arbitration_pb2 as pb

COLUMNS = (
    "source",
    "category",
    "week",
    "marks",
    "told",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
)


def table(cards: Sequence[pb.Scorecard]) -> Table:
    """One line a source, the most accurate first."""
    made = Table(
        "source", "marks", "in quarantine", "coverage", "names the call", "delay", "accuracy",
        "95 %", "repeats", "overturned",
    )  # fmt: skip
    for card in sorted(cards, key=lambda card: -card.overall.accuracy):
        made.add_row(
            card.source,
            f"{card.mark_count:,}",
            f"{card.quarantined_mark_count / max(card.mark_count, 1):.1%}",
            f"{card.coverage:.1%}",
            f"{card.call_ratio:.0%}",
            f"{card.median_delay_s / 60:.0f} min" if card.median_delay_s >= 0 else "",
            f"{card.overall.accuracy:.3f}",
            f"{card.overall.accuracy_lower:.3f}-{card.overall.accuracy_upper:.3f}",
            ", ".join(f"{c.source} {c.share:.0%}" for c in card.copies if c.share >= 0.1),
            f"{card.overturned_count} of {card.decided_count}",
        )
    return made


def write(cards: Sequence[pb.Scorecard], path: Path) -> int:
    """Write a row for all marks, for each category and for each week; returns how many."""
    rows: list[tuple[object, ...]] = []
    for card in cards:
        for row in (card.overall, *card.categories, *card.weeks):
            week = row.week_time.ToJsonString()[:10] if row.HasField("week_time") else ""
            rows.append(
                (
                    plain(card.source),
                    row.category,
                    week,
                    row.mark_count,
                    f"{row.told_count:.1f}",
                    f"{row.accuracy:.4f}",
                    f"{row.accuracy_lower:.4f}",
                    f"{row.accuracy_upper:.4f}",
                )
            )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return len(rows)
