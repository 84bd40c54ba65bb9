"""How called people mark: who marks which number when, and what they take it for."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from services.simulator.calling import BlockCalls
from services.simulator.population import City
from services.simulator.reporters import CAREFUL, CARELESS, MISCLICKING, Reporters
from services.simulator.roles import ROLE_INDEX, ROLES
from services.simulator.vocabulary import (
    CATEGORIES,
    CATEGORY_INDEX,
    ONE_RING_WORD,
    SOURCES,
)
from services.simulator.window import DAY_S, WEEKDAY_WEIGHTS, Window, draw_seconds_of_day

KINDS = ("USER", "IMPORT", "SELF", "RULE")
USER, IMPORT, SELF, RULE = range(4)
NOBODY = -1
NEVER = -1

WORDS = tuple(sorted({word for s in SOURCES for words in s.words.values() for word in words}
                     | {ONE_RING_WORD}))  # fmt: skip
WORD_INDEX = {word: index for index, word in enumerate(WORDS)}

# First and second word of each source's menu for each category, -1 where it has none.
_MENUS = np.full((2, len(SOURCES), len(CATEGORIES)), -1, dtype=np.int64)
for _s, _source in enumerate(SOURCES):
    for _c, _code in enumerate(CATEGORIES):
        for _rank, _word in enumerate((_source.menu(_code) * 2)[:2]):
            _MENUS[_rank, _s, _c] = WORD_INDEX[_word]
_HABIT_WORDS = np.array([WORD_INDEX[source.habit_word] for source in SOURCES])
_SECOND_WORD_RATIO = 0.25
_WIDTH = max(len(role.decoys) for role in ROLES)
_DECOYS = np.array(
    [
        [CATEGORY_INDEX[role.decoys[min(rank, len(role.decoys) - 1)][0]] for rank in range(_WIDTH)]
        for role in ROLES
    ]
)
# What people take each kind for when they are right; for a private number there is no right label.
_NOTIONS = np.array([CATEGORY_INDEX.get(role.category, -1) for role in ROLES])
# Slips of attention of careful, ordinary, careless and mis-clicking reporters; ours.
_SLIP = np.array([0.03, 0.10, 0.15, 0.10])
_RANDOM_CHOICE_RATIO = 0.6  # of a careless reporter's marks
_HABIT_RATIO = 0.7  # of a mis-clicking reporter's marks
_FORGED_MARKS_PER_DAY = 1.2  # on a day when a victim's number is forged
_FRAUD, _NUISANCE, _MARKETING = (CATEGORY_INDEX[code] for code in ("A1100", "A2000", "A3000"))


@dataclass(frozen=True)
class Marks:
    """Marks as columns; times in epoch seconds, `NEVER` for no call, `NOBODY` for no reporter."""

    tenure: NDArray[np.int64]
    source: NDArray[np.int64]
    category: NDArray[np.int64]
    word: NDArray[np.int64]
    reporter: NDArray[np.int64]
    occurred_s: NDArray[np.int64]
    call_s: NDArray[np.int64]
    kind: NDArray[np.int64]
    withdrawn: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tenure)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Marks":
        """The marks of the given rows."""
        return Marks(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def joined(parts: list[Marks]) -> Marks:
    """All marks of the parts, in their order."""
    return Marks(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Marks)
        }
    )


def words_for(
    rng: np.random.Generator, source: NDArray[np.int64], category: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A word of each source's menu for each category; -1 where the menu has none."""
    rank = (rng.random(len(source)) < _SECOND_WORD_RATIO).astype(np.int64)
    return np.asarray(_MENUS[rank, source, category])


def latest_s(city: City, window: Window, tenure: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last second in which a mark still belongs to the tenure."""
    return np.minimum(city.end_s[tenure], window.end_s) - 1


def mark_block(
    rng: np.random.Generator,
    city: City,
    window: Window,
    reporters: Reporters,
    tenures: NDArray[np.int64],
    calls: BlockCalls,
) -> Marks:
    """The marks that the called people give to a block of tenures, in good faith."""
    role = city.role[tenures]
    per_day = np.array([entry.marks_per_day for entry in ROLES])[role]
    loudness = np.sqrt(np.minimum(calls.volume, 9.0))
    rate = np.asarray(per_day * city.mark_factor[tenures] * loudness, dtype=np.float64)
    coverage = np.array([source.coverage for source in SOURCES])
    own = _draw(rng, window, reporters, calls.active, rate, coverage, role == ROLE_INDEX["private"])
    forged_rate = np.where(calls.spoofed.any(axis=1), _FORGED_MARKS_PER_DAY, 0.0)
    forged = _draw(
        rng, window, reporters, calls.spoofed, forged_rate, coverage, np.zeros(len(role), bool)
    )
    marks = []
    for (row, source, reporter, call_s), is_forged in ((own, False), (forged, True)):
        tenure = tenures[row]
        category, word = _perceive(rng, city, reporters, tenure, source, reporter, is_forged)
        delay_s = _draw_delays(rng, len(row))
        proof = np.array([entry.call_proof for entry in SOURCES])[source]
        named = np.array([entry.names_reporters for entry in SOURCES])[source]
        said = Marks(
            tenure=tenure,
            source=source,
            category=category,
            word=word,
            reporter=np.where(rng.random(len(row)) < named, reporter, NOBODY),
            occurred_s=np.minimum(call_s + delay_s, latest_s(city, window, tenure)),
            call_s=np.where(rng.random(len(row)) < proof, call_s, NEVER),
            kind=np.full(len(row), USER),
            withdrawn=rng.random(len(row)) < 0.015,
        )
        marks.append(said.take(word >= 0))
    return joined(marks)


def _draw(
    rng: np.random.Generator,
    window: Window,
    reporters: Reporters,
    days: NDArray[np.bool_],
    rate: NDArray[np.float64],
    coverage: NDArray[np.float64],
    by_careless: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draws row of the block, source, reporter and time of call of each mark."""
    expected = (rate * days.sum(axis=1))[:, None] * coverage
    counts = rng.poisson(expected)
    flat = np.repeat(np.arange(counts.size), counts.ravel())
    row, source = np.divmod(flat, len(coverage))
    reporter = np.empty(len(row), dtype=np.int64)
    for index in np.flatnonzero(coverage > 0).tolist():
        careless = by_careless[row] & (rng.random(len(row)) < 0.6)
        for chosen, only in ((careless, True), (~careless, False)):
            at = np.flatnonzero((source == index) & chosen)
            reporter[at] = reporters.draw(rng, index, len(at), careless_only=only)
    # One running sum over all rows turns the choice of a weighted day into one sorted search.
    edges = np.cumsum(days * WEEKDAY_WEIGHTS[window.weekdays])
    ends = edges[window.days - 1 :: window.days]
    starts = np.concatenate([[0.0], ends[:-1]])
    spots = starts[row] + rng.random(len(row)) * (ends - starts)[row]
    day = np.searchsorted(edges, spots, side="right") - row * window.days
    day = np.clip(day, 0, window.days - 1)
    call_s = window.start_s + day * DAY_S + draw_seconds_of_day(rng, len(row))
    return row, source, reporter, call_s


def _perceive(
    rng: np.random.Generator,
    city: City,
    reporters: Reporters,
    tenure: NDArray[np.int64],
    source: NDArray[np.int64],
    reporter: NDArray[np.int64],
    forged: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each reporter takes the caller for, and the word chosen for it.

    Errors are of four origins, so that no single confusion matrix describes them: the number
    itself is hard to tell (all its reporters lean to the same decoy), the reporter slips, the
    source's users or menu lean, the reporter does not care.
    """
    role, care = city.role[tenure], reporters.care[reporter]
    count = len(tenure)
    decoy = _DECOYS[role, city.decoy[tenure]]
    category = np.where(_NOTIONS[role] >= 0, _NOTIONS[role], decoy)
    if forged:
        category = np.full(count, _FRAUD)
    else:
        hard = city.difficulty[tenure] * np.where(care == CAREFUL, 0.5, 1.0)
        category = np.where(rng.random(count) < hard, decoy, category)
    slipped = rng.random(count) < _SLIP[care]
    other = _DECOYS[role, rng.integers(0, _WIDTH, count)]
    category = np.where(slipped, other, category)
    chance = rng.random(count)
    for index, entry in enumerate(SOURCES):
        for code, ratio in entry.hostile_to.items():
            leaning = (source == index) & (category == CATEGORY_INDEX[code]) & (chance < ratio)
            hostile = np.where(rng.random(count) < 0.6, _NUISANCE, _MARKETING)
            category = np.where(leaning, hostile, category)
        for taken, given, ratio in entry.confuses:
            mixed = (source == index) & (category == CATEGORY_INDEX[taken]) & (chance < ratio)
            category = np.where(mixed, CATEGORY_INDEX[given], category)
            chance = np.where(mixed, 1.0, chance)
    random_choice = (care == CARELESS) & (rng.random(count) < _RANDOM_CHOICE_RATIO)
    category = np.where(random_choice, rng.integers(0, len(CATEGORIES), count), category)
    word = words_for(rng, source, category)
    habit = (care == MISCLICKING) & (rng.random(count) < _HABIT_RATIO)
    return category, np.where(habit, _HABIT_WORDS[source], word)


def _draw_delays(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Seconds from call to mark: minutes for most, hours for some, up to three days for a few."""
    which = rng.random(count)
    minutes = rng.exponential(240, count)
    hours = rng.exponential(4 * 3600, count).clip(max=2 * DAY_S)
    days = rng.uniform(0, 2.9 * DAY_S, count)
    delay = np.where(which < 0.85, minutes, np.where(which < 0.96, hours, days))
    return (15 + delay).astype(np.int64)
