"""Compares published reputations with a truth file, beside majority vote and each single source."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.cli.evaluate_files import (
    encoded,
    floats,
    number_keys,
    pc,
    read_texts,
    times_ms,
    truths,
)
from services.common.errors import InvalidArgument
from services.common.taxonomy import crosswalk, standard
from services.simulator import accuracy
from services.simulator.accuracy import NO_CATEGORY, Truth, Verdicts

_FAR_MS = 2**62
_TRUTH_COLUMNS = ("number", "category", "bad", "valid_from", "valid_until")
_REPUTATION_COLUMNS = ("number", "category", "risk", "level", "state", "mark_count")
_MARK_COLUMNS = ("source", "number", "label", "occurred_at")
_DIGITS = 6


def evaluate(
    truth: Path, reputations: Path, marks: Path | None = None, at: int | None = None
) -> dict[str, Any]:
    """Measures reputations against the truth.

    Judged are the truth's numbers with a holder at `at` (valid_from <= at < valid_until), each
    once. A number is *marked* if `marks` holds a mark on it up to `at` that is not withdrawn, of
    any holder; without `marks`, if its reputation counts marks.

    The answer is plain (JSON) and its keys are stable:

    - `at_ms`: the time judged at, None for "now" (the tenures still open);
    - `numbers`: `truth` (judged), `bad`, `good`, `marked`, `known` (with a reputation whose state
      is not UNKNOWN) and `known_share`; `truth_invalid` rows whose number cannot be read;
    - `published`: the judgement of the reputations;
    - `majority`: the same of a majority vote over all marks (None without `marks`);
    - `sources`: the same of each source's own majority, by name;
    - `best_source`: the source with the highest exact category accuracy over all marked numbers,
      where a number that it does not know counts as wrong: what a user of one feed would get.

    A judgement has `category` (over marked numbers that have a right category: `n`,
    `labelled_share`, `exact`, `group`, `lineage`, `exact_labelled`), `bad` (over all judged) and
    `bad_marked` (over the marked): `auc`, `pr_auc`, `precision`, `recall`, `f1`, `ece`, `brier`,
    `false_bad` with `count`, `good`, `rate`, `upper_95`. `accuracy` defines each.

    Args:
        truth: truth.csv, .csv.gz or .parquet as FORMATS has it.
        reputations: what `export reputations` wrote.
        marks: the marks file that was imported, for the votes.
        at: epoch milliseconds; by default the end of time, i.e. the present holders.

    Raises:
        InvalidArgument: FILE_UNREADABLE or COLUMN_MISSING, naming file and column; TRUTH_EMPTY if
            no number of the truth has a holder at `at`.
    """
    codes = standard.load()
    level = {category.id: category.level for category in codes.categories}
    keys, judged_truth, invalid = _read_truth(truth, at)
    published, known, counted = _read_reputations(reputations, keys)
    wider = _wider(codes)
    votes = _read_votes(marks, keys, at) if marks is not None else None
    if votes is None:
        marked = counted
    else:
        marked = np.zeros(len(keys), dtype=bool)
        marked[votes["number"]] = True
    answer: dict[str, Any] = {
        "at_ms": at,
        "numbers": {
            "truth": len(keys),
            "truth_invalid": invalid,
            "bad": int(judged_truth.bad.sum()),
            "good": int((~judged_truth.bad).sum()),
            "marked": int(marked.sum()),
            "known": int(known.sum()),
            "known_share": float(known.mean()),
        },
        "published": accuracy.judge(judged_truth, published, wider, marked),
        "majority": None,
        "sources": {},
        "best_source": None,
    }
    if votes is not None:
        names = cast(list[str], votes["names"])

        def judged(rows: NDArray[np.bool_]) -> dict[str, Any]:
            verdicts = accuracy.vote(
                votes["number"][rows], votes["category"][rows], votes["weight"][rows],
                len(keys), level,
            )  # fmt: skip
            return accuracy.judge(judged_truth, verdicts, wider, marked)

        answer["majority"] = judged(np.ones(len(votes["number"]), dtype=bool))
        answer["sources"] = {
            name: judged(votes["source"] == index) for index, name in enumerate(names)
        }
        answer["best_source"] = max(
            answer["sources"],
            key=lambda name: answer["sources"][name]["category"]["exact"] or 0.0,
            default=None,
        )
    return cast(dict[str, Any], _rounded(answer))


def _read_truth(path: Path, at: int | None) -> tuple[NDArray[np.int64], Truth, int]:
    """Keys of the judged numbers, ascending, their truth, and how many rows have no valid key."""
    table = read_texts(path, _TRUTH_COLUMNS)
    keys = number_keys(table["number"])
    begins = times_ms(table["valid_from"], -_FAR_MS)
    ends = times_ms(table["valid_until"], _FAR_MS)
    moment = _FAR_MS - 1 if at is None else at
    rows = np.flatnonzero((keys != 0) & (begins <= moment) & (moment < ends))
    # Should two tenures overlap, the later one holds the number.
    rows = rows[np.lexsort((begins[rows], keys[rows]))]
    rows = rows[np.append(np.diff(keys[rows]) != 0, True)] if len(rows) else rows
    if len(rows) == 0:
        raise InvalidArgument("TRUTH_EMPTY", f"{path.name} has no number held at {at}", file=path)
    right = Truth(_category_ids(table["category"])[rows], truths(table["bad"])[rows])
    return keys[rows], right, int((keys == 0).sum())


def _read_reputations(
    path: Path, keys: NDArray[np.int64]
) -> tuple[Verdicts, NDArray[np.bool_], NDArray[np.bool_]]:
    """The published verdicts on `keys`; which are known; which have marks by their own count."""
    table = read_texts(path, _REPUTATION_COLUMNS)
    rows, place = _matched(number_keys(table["number"]), keys)
    count = len(keys)
    category = np.full(count, NO_CATEGORY, dtype=np.int64)
    category[place] = _category_ids(table["category"])[rows]
    risk = np.full(count, np.nan)
    risk[place] = floats(table["risk"], np.nan)[rows]
    warned, known, counted = (np.zeros(count, dtype=bool) for _ in range(3))
    warned[place] = floats(table["level"], 0.0)[rows] >= accuracy.WARNING_LEVEL
    states = np.array(table["state"].to_pylist(), dtype=object)[rows]
    known[place] = (states != "UNKNOWN") & (states != "")
    counted[place] = floats(table["mark_count"], 0.0)[rows] > 0
    return Verdicts(category, risk, warned), known, counted


def _read_votes(path: Path, keys: NDArray[np.int64], at: int | None) -> dict[str, Any]:
    """Every standing mark on `keys` as weighted votes: number, source, category id, weight."""
    table = read_texts(path, _MARK_COLUMNS)
    standing = times_ms(table["occurred_at"], _FAR_MS) <= (_FAR_MS if at is None else at)
    standing &= _standing(table)
    rows, place = _matched(number_keys(table["number"]), keys)
    kept = standing[rows]
    rows, place = rows[kept], place[kept]
    source, names = encoded(table["source"])
    label, words = encoded(table["label"])
    source, label = source[rows], label[rows]
    # Each distinct (source, label) is mapped once and then spread over its marks.
    pairs, pair = np.unique(source * len(words) + label, return_inverse=True)
    mapping = crosswalk.load()
    spread = [
        mapping.map_label(names[key // len(words)], words[key % len(words)]).rows
        for key in pairs.tolist()
    ]
    widths = np.array([len(row) for row in spread], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(widths)])
    ids = np.array([int(category) for row in spread for category, _ in row], dtype=np.int64)
    weights = np.array([float(weight) for row in spread for _, weight in row])
    mark = np.repeat(np.arange(len(pair)), widths[pair])
    first = np.concatenate([[0], np.cumsum(widths[pair])])[:-1]
    entry = offsets[pair[mark]] + np.arange(len(mark)) - first[mark]
    # A label that could not be placed is no vote.
    placed = ids[entry] != standard.UNCLASSIFIED_ID
    mark, entry = mark[placed], entry[placed]
    return {
        "number": place[mark],
        "source": source[mark],
        "category": ids[entry],
        "weight": weights[entry],
        "names": names,
    }


def _standing(table: pa.Table) -> NDArray[np.bool_]:
    """Rows that are no withdrawal, were not withdrawn by a later row, and are no repeat by id."""
    standing = np.ones(table.num_rows, dtype=bool)
    gone = ~standing
    if "withdrawn" in table.column_names:
        gone = truths(table["withdrawn"])
        standing &= ~gone
    if "mark_id" in table.column_names:
        given: Any = table["mark_id"].combine_chunks()
        named: NDArray[np.bool_] = np.asarray(pc.not_equal(given, ""), dtype=bool)
        source: Any = table["source"].combine_chunks()
        separator: Any = pa.scalar("\x1f")
        codes, _ = encoded(
            pa.chunked_array([pc.binary_join_element_wise(source, given, separator)])
        )
        standing &= ~(named & np.isin(codes, codes[gone & named]))
        first = np.zeros(len(codes), dtype=bool)
        first[np.unique(codes, return_index=True)[1]] = True
        standing &= first | ~named
    return standing


def _wider(codes: standard.Standard) -> dict[int, frozenset[int]]:
    """For each category the ids that contain it: its ancestors, and its group's catch-all."""
    catch_all = {category.catch_all_of: category.id for category in codes.categories}
    return {
        category.id: frozenset(
            [ancestor.id for ancestor in codes.ancestors(category.code)]
            + ([catch_all[category.group]] if category.group in catch_all else [])
        )
        for category in codes.categories
    }


def _rounded(value: Any) -> Any:
    """Floats to six digits, so that equal inputs print equal."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def _matched(
    given: NDArray[np.int64], keys: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of `given` that are among the ascending `keys`, and the place of each."""
    place = np.minimum(np.searchsorted(keys, given), len(keys) - 1)
    rows = np.flatnonzero(keys[place] == given)
    return rows, place[rows]


def _category_ids(column: Any) -> NDArray[np.int64]:
    """Ids of category codes; empty text, or what is no code, is no category."""
    ids = {category.code: category.id for category in standard.load().categories}
    index, names = encoded(column)
    known = np.array([ids.get(name, NO_CATEGORY) for name in names], dtype=np.int64)
    return known[index] if len(known) else np.zeros(0, dtype=np.int64)
