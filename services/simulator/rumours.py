"""Marks that no called person gave: copies, repeats, bulk imports, own submissions, rules."""

import numpy as np
from numpy.typing import NDArray

from services.simulator.marking import (
    IMPORT,
    NEVER,
    NOBODY,
    RULE,
    SELF,
    USER,
    WORD_INDEX,
    Marks,
    joined,
    latest_s,
    words_for,
)
from services.simulator.population import City
from services.simulator.reporters import Reporters
from services.simulator.roles import CALL_CENTRES, ROLE_INDEX
from services.simulator.vocabulary import (
    CATEGORY_INDEX,
    COPIED,
    COPIER,
    IMPORTER,
    ONE_RING_WORD,
)
from services.simulator.window import DAY_S, Window

_COPIED_RATIO = 0.45
_REPEATED_RATIO = 0.03
_ONE_RING_RULE_PER_DAY = 0.25
# Shares of each kind that platforms import or holders submit; a few private numbers carry a
# platform's label of former days (china.md section 6, bulk imports), some sellers and swindlers
# have got themselves a service label. Our assumption.
_IMPORTED = {
    "courier": (0.60, "A4100"), "delivery": (0.65, "A4110"), "taxi": (0.75, "A4120"),
    "shop": (0.20, "A4300"), "customer service": (0.35, "A4200"), "private": (0.006, "A4100"),
    "loans": (0.04, "A4200"), "insurance": (0.04, "A4200"),
    "fake customer service": (0.06, "A4200"),
}  # fmt: skip
_IMPORTED_WRONG_RATIO = 0.05  # a platform's row that names another of its services
_IMPORT_DAYS = (0.1, 0.5, 0.8)  # of the window, at three in the night


def unseen_marks(
    rng: np.random.Generator, city: City, window: Window, reporters: Reporters, honest: Marks
) -> list[Marks]:
    """All marks that follow from the honest ones or from no mark at all."""
    copies = _copies(rng, city, window, reporters, honest)
    return [
        copies,
        _repeats(rng, city, window, joined([honest, copies])),
        _imports(rng, city, window),
        _own_submissions(rng, city, window),
        _one_ring_rule(rng, city, window),
    ]


def _copies(
    rng: np.random.Generator, city: City, window: Window, reporters: Reporters, honest: Marks
) -> Marks:
    """One vendor takes over another's marks a day or two later, without any call."""
    original = honest.take((honest.source == COPIED) & (rng.random(len(honest)) < _COPIED_RATIO))
    count = len(original)
    source = np.full(count, COPIER)
    delay_s = (36 * 3600 * rng.lognormal(0.0, 0.7, count)).astype(np.int64)
    accounts = reporters.draw(rng, COPIER, count)
    copies = Marks(
        tenure=original.tenure,
        source=source,
        category=original.category,
        word=words_for(rng, source, original.category),
        reporter=np.where(rng.random(count) < 0.5, accounts, NOBODY),
        occurred_s=original.occurred_s + delay_s,
        call_s=np.full(count, NEVER),
        kind=np.full(count, USER),
        withdrawn=np.zeros(count, dtype=bool),
    )
    in_time = copies.occurred_s <= latest_s(city, window, copies.tenure)
    return copies.take(in_time & (copies.word >= 0))


def _repeats(rng: np.random.Generator, city: City, window: Window, marks: Marks) -> Marks:
    """Some people mark the same number again in the same words."""
    again = marks.take((marks.reporter != NOBODY) & (rng.random(len(marks)) < _REPEATED_RATIO))
    later_s = again.occurred_s + rng.integers(3600, 5 * DAY_S, len(again))
    fits = later_s <= latest_s(city, window, again.tenure)
    again.occurred_s[:] = later_s
    again.withdrawn[:] = False
    return again.take(fits)


def _imports(rng: np.random.Generator, city: City, window: Window) -> Marks:
    tenures, categories = [], []
    for name, (ratio, code) in _IMPORTED.items():
        of_role = np.flatnonzero(city.role == ROLE_INDEX[name])
        chosen = of_role[rng.random(len(of_role)) < ratio]
        tenures.append(chosen)
        categories.append(np.full(len(chosen), CATEGORY_INDEX[code]))
    tenure, category = np.concatenate(tenures), np.concatenate(categories)
    wrong = rng.random(len(tenure)) < _IMPORTED_WRONG_RATIO
    category = np.where(wrong, rng.permutation(category), category)
    batch_days = np.floor(np.array(_IMPORT_DAYS) * window.days).astype(np.int64)
    day = batch_days[rng.integers(0, len(batch_days), len(tenure))]
    night_s = rng.integers(3 * 3600, 3 * 3600 + 900, len(tenure))
    occurred_s = window.start_s + day * DAY_S + night_s
    held = (occurred_s >= city.start_s[tenure]) & (occurred_s < city.end_s[tenure])
    held[np.isin(tenure, list(city.cast.values()))] = False
    return _anonymous(rng, IMPORTER, IMPORT, tenure, category, occurred_s).take(held)


def _own_submissions(rng: np.random.Generator, city: City, window: Window) -> Marks:
    """Holders submit a service label: shops and service lines, and call centres that pose so."""
    service = np.isin(city.role, [ROLE_INDEX["shop"], ROLE_INDEX["customer service"]])
    posing = np.isin(city.role, CALL_CENTRES)
    chance = rng.random(len(city.role))
    chosen = (service & (chance < 0.10)) | (posing & (chance < 0.05))
    chosen[list(city.cast.values())] = False
    tenure = np.flatnonzero(chosen)
    category = np.full(len(tenure), CATEGORY_INDEX["A4200"])
    occurred_s = _any_time(rng, city, window, tenure)
    return _anonymous(rng, COPIED, SELF, tenure, category, occurred_s)


def _one_ring_rule(rng: np.random.Generator, city: City, window: Window) -> Marks:
    """One vendor detects one-ring calls by itself and says so (china.md section 2.2, 360)."""
    of_role = np.flatnonzero(city.role == ROLE_INDEX["one-ring"])
    days = window.last_days(city.end_s[of_role]) - window.first_days(city.start_s[of_role])
    tenure = np.repeat(of_role, rng.poisson(_ONE_RING_RULE_PER_DAY * np.maximum(days, 0)))
    category = np.full(len(tenure), CATEGORY_INDEX["A2000"])
    marks = _anonymous(rng, COPIED, RULE, tenure, category, _any_time(rng, city, window, tenure))
    marks.word[:] = WORD_INDEX[ONE_RING_WORD]
    return marks


def _any_time(
    rng: np.random.Generator, city: City, window: Window, tenure: NDArray[np.int64]
) -> NDArray[np.int64]:
    first_s = np.maximum(city.start_s[tenure], window.start_s)
    return np.asarray(rng.integers(first_s, latest_s(city, window, tenure) + 1), dtype=np.int64)


def _anonymous(
    rng: np.random.Generator,
    source: int,
    kind: int,
    tenure: NDArray[np.int64],
    category: NDArray[np.int64],
    occurred_s: NDArray[np.int64],
) -> Marks:
    count = len(tenure)
    sources = np.full(count, source)
    return Marks(
        tenure=tenure,
        source=sources,
        category=category,
        word=words_for(rng, sources, category),
        reporter=np.full(count, NOBODY),
        occurred_s=occurred_s,
        call_s=np.full(count, NEVER),
        kind=np.full(count, kind),
        withdrawn=np.zeros(count, dtype=bool),
    )
