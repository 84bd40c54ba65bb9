"""The catalogue of features, written from definitions.py.

Run `python -m services.features.page > docs/features.md`.
"""

import sys
from collections.abc import Iterator

from services.features.definitions import FEATURES, GROUPS, Feature, Group

_INTRODUCTION = """\
# Features

This page is written from `services/features/definitions.py` by `python -m services.features.page`;
change the definitions, never the page.

A row has {count} features of one number as of one time, float32, in this order; unknown is NaN.
The job (`BuildFeatures`) sums in the store over all numbers; of touched numbers
(`BatchGetFeatures`) the facts, kept once more by number (`services/common/facts.py`), are read and
summed in the process. Each sum has one definition (`services/features/mark_sums.py`,
`number_rows.py`), a test holds both ways to give the same bytes,
and all after the sums is the same code. Nothing that occurred later plays a part. The rows of the
risk model go on with what arbitration says of the number (docs/arbitration.md).
"""


def page(groups: tuple[Group, ...], features: tuple[Feature, ...]) -> Iterator[str]:
    """The page in pieces."""
    yield _INTRODUCTION.format(count=len(features))
    for group in groups:
        yield from _section(group, [f for f in features if f.group == group.name])


def _section(group: Group, features: list[Feature]) -> Iterator[str]:
    yield f"## {group.name.capitalize()}\n"
    yield f"From {group.tables}. {group.as_of}\n"
    yield "| feature | unit | formula | source |\n|---|---|---|---|"
    for feature in features:
        cells = (f"`{feature.name}`", feature.unit, feature.description, feature.source)
        yield f"| {' | '.join(cells)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write("\n".join(page(GROUPS, FEATURES)))
