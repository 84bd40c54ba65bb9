"""The generated city: equal by seed, valid by format, true to its own truth."""

import csv
import gzip
import json
from collections import Counter, defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common import numbering
from services.common.errors import InvalidArgument
from services.common.taxonomy import standard
from services.simulator.city import Summary, simulate
from services.simulator.collusion import Attack
from services.simulator.numbers import FIXED, MOBILE, MVNO, N95, N400, draw_numbers, written_forms
from services.simulator.window import Window

END = date(2026, 11, 1)
FILES = (
    "marks.csv.gz", "behaviour.csv.gz", "lifecycle.csv", "registry.csv", "refusals.csv",
    "decisions.csv", "truth.csv", "story.json", "reporters.csv", "attacks.csv",
)  # fmt: skip
Rows = list[dict[str, str]]


def rows_of(path: Path) -> Rows:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def keys_of(raws: list[str]) -> list[int]:
    return [int(key) for key in numbering.parse_column(raws, region="CN").keys]


class Files:
    """One generated city, its files read once."""

    def __init__(self, folder: Path, summary: Summary) -> None:
        self.folder = folder
        self.summary = summary
        self.rows: dict[str, Rows] = {
            name: rows_of(folder / name) for name in FILES if not name.endswith(".json")
        }
        self.story: list[dict[str, Any]] = json.loads((folder / "story.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("city")
    return Files(folder, simulate(3000, 60, 11, folder, END))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("attacked")
    return Files(folder, simulate(3000, 60, 11, folder, END, Attack(reporter_share=0.2)))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    simulate(400, 20, 5, tmp_path / "a", END)
    simulate(400, 20, 5, tmp_path / "b", END)

    pairs = [((tmp_path / "a" / n).read_bytes(), (tmp_path / "b" / n).read_bytes()) for n in FILES]

    assert all(first == second for first, second in pairs)


def test_another_seed_gives_another_city(tmp_path: Path) -> None:
    simulate(400, 20, 5, tmp_path / "a", END)
    simulate(400, 20, 6, tmp_path / "b", END)

    first, second = ((tmp_path / name / "truth.csv").read_bytes() for name in "ab")

    assert first != second


@pytest.mark.parametrize(
    ("name", "value"), [("numbers", 199), ("days", 13), ("days", 401), ("seed", -1)]
)
def test_an_argument_out_of_range_is_named(tmp_path: Path, name: str, value: int) -> None:
    sizes = {"numbers": 400, "days": 20, "seed": 1, name: value}

    with pytest.raises(InvalidArgument) as caught:
        simulate(sizes["numbers"], sizes["days"], sizes["seed"], tmp_path, END)

    assert caught.value.reason == "VALUE_OUT_OF_RANGE"
    assert caught.value.metadata["field"] == name


def test_the_smallest_city_still_tells_every_story(tmp_path: Path) -> None:
    summary = simulate(200, 14, 1, tmp_path, END)

    assert set(summary.story) == {
        "courier", "recycled", "fraud", "victim", "one_ring", "protected", "unmarked", "spoofed",
    }  # fmt: skip


def test_the_summary_counts_the_rows_of_every_file(city: Files) -> None:
    counted = {name: len(rows) for name, rows in city.rows.items()}

    assert city.summary.rows == counted


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("marks.csv.gz", "source mark_id number label occurred_at reporter kind call_at withdrawn"),
        (
            "behaviour.csv.gz",
            "number day carrier calls_out answered_out distinct_callees ring_only_out "
            "short_calls_out talk_s calls_in callbacks_in night_calls_out max_calls_per_callee "
            "max_calls_per_minute max_callers_share_callee distinct_areas sequential_ratio "
            "imei_count cell_count intl_ingress_calls auth_failed_calls after_refusal_calls",
        ),
        ("lifecycle.csv", "number event occurred_at carrier"),
        (
            "registry.csv",
            "number holder identity purpose outbound_allowed valid_from valid_until",
        ),
        ("refusals.csv", "number callee occurred_at industry"),
        ("decisions.csv", "number category decided_at authority valid_until"),
        ("truth.csv", "number category bad valid_from valid_until"),
    ],
)
def test_every_file_has_the_columns_of_its_format(city: Files, file: str, columns: str) -> None:
    assert list(city.rows[file][0]) == columns.split()


def test_every_number_is_valid_and_the_truth_names_it_in_canonical_form(city: Files) -> None:
    truth = [row["number"] for row in city.rows["truth.csv"]]
    others = {
        row["number"]
        for name in FILES
        if name.endswith((".csv", ".gz")) and name != "reporters.csv"
        for row in city.rows[name]
        if not row["number"].endswith("*")
    }
    keys = numbering.parse_column(truth, region="CN").keys

    assert numbering.format_keys(keys) == truth
    assert set(keys_of(sorted(others))) <= set(keys.tolist())
    assert 0 not in keys


def test_every_code_kind_and_flag_is_one_of_the_format(city: Files) -> None:
    codes = {category.code for category in standard.load().categories}
    rows = city.rows

    assert {row["kind"] for row in rows["marks.csv.gz"]} == {"USER", "IMPORT", "SELF", "RULE"}
    assert {row["withdrawn"] for row in rows["marks.csv.gz"]} == {"0", "1"}
    assert {row["carrier"] for row in rows["behaviour.csv.gz"]} == {"CMCC", "CTCC", "CUCC", "CBN"}
    assert {row["event"] for row in rows["lifecycle.csv"]} == {"ASSIGNED", "RELEASED", "PORTED"}
    assert {row["identity"] for row in rows["registry.csv"]} <= {f"C0{n}" for n in range(1, 10)}
    assert {row["category"] for row in rows["decisions.csv"]} <= codes | {"CLEARED"}
    assert {row["category"] for row in rows["truth.csv"]} <= codes | {""}
    assert {row["industry"] for row in rows["refusals.csv"]} <= codes


def test_bad_is_what_the_three_unwanted_groups_are(city: Files) -> None:
    told = {(row["category"][:2], row["bad"]) for row in city.rows["truth.csv"]}

    assert told == {("A1", "1"), ("A2", "1"), ("A3", "1"), ("A4", "0"), ("", "0")}


def test_mark_ids_are_unique_within_their_source(city: Files) -> None:
    counts = Counter((row["source"], row["mark_id"]) for row in city.rows["marks.csv.gz"])

    assert max(counts.values()) == 1


def test_marks_lie_in_the_window_and_follow_their_call_within_three_days(city: Files) -> None:
    window = Window(END, 60)
    marks = city.rows["marks.csv.gz"]
    times = [time_of(row["occurred_at"]).timestamp() for row in marks]
    delays = [
        (time_of(row["occurred_at"]) - time_of(row["call_at"])).total_seconds()
        for row in marks
        if row["call_at"] and row["reporter"]
    ]

    assert window.start_s <= min(times)
    assert max(times) < window.end_s
    assert min(delays) >= 0
    assert np.mean(np.array(delays) <= 3 * 86_400) > 0.97  # a repeated mark names the old call


def test_tenures_of_one_number_follow_each_other_without_overlap(city: Files) -> None:
    tenures = defaultdict(list)
    for row in city.rows["truth.csv"]:
        tenures[row["number"]].append((row["valid_from"], row["valid_until"]))
    several = [spans for spans in tenures.values() if len(spans) > 1]

    assert len(tenures) == 3000
    assert several
    assert all(start < (end or "9999") for spans in tenures.values() for start, end in spans)
    assert all(
        first[1] and first[1] < second[0]
        for spans in several
        for first, second in zip(spans, spans[1:], strict=False)
    )


def test_a_reassigned_number_is_released_then_assigned_within_ninety_days(city: Files) -> None:
    events = defaultdict(list)
    for row in city.rows["lifecycle.csv"]:
        events[row["number"]].append((row["event"], time_of(row["occurred_at"])))
    truth = Counter(row["number"] for row in city.rows["truth.csv"])
    reassigned = [number.removeprefix("+86") for number, count in truth.items() if count > 1]

    for number in reassigned:
        released = max(time for event, time in events[number] if event == "RELEASED")
        assigned = max(time for event, time in events[number] if event == "ASSIGNED")
        assert 0 < (assigned - released).days <= 90


def test_marks_of_a_former_holder_precede_the_release(city: Files) -> None:
    rest: dict[str, list[datetime]] = {}
    for row in city.rows["truth.csv"]:
        if row["valid_until"]:
            rest[row["number"]] = [time_of(row["valid_until"]), time_of("9999-01-01T00:00+08:00")]
        elif row["number"] in rest:
            rest[row["number"]][1] = time_of(row["valid_from"])
    marks = city.rows["marks.csv.gz"]
    wire = numbering.format_keys(
        numbering.parse_column([row["number"] for row in marks], region="CN").keys
    )
    between = [
        row
        for row, number in zip(marks, wire, strict=True)
        if number in rest and rest[number][0] <= time_of(row["occurred_at"]) < rest[number][1]
    ]

    assert between == []


def test_behaviour_columns_agree_with_each_other(city: Files) -> None:
    rows = city.rows["behaviour.csv.gz"]
    column = {
        name: np.array([float(row[name]) for row in rows])
        for name in rows[0]
        if name not in ("number", "day", "carrier")
    }
    out = column["calls_out"]

    for part in ("answered_out", "distinct_callees", "night_calls_out", "intl_ingress_calls",
                 "auth_failed_calls", "after_refusal_calls", "max_calls_per_callee"):  # fmt: skip
        assert (column[part] <= out).all(), part
    assert (column["ring_only_out"] <= out - column["answered_out"]).all()
    assert (column["short_calls_out"] <= column["answered_out"]).all()
    assert (column["callbacks_in"] <= column["calls_in"]).all()
    assert (out + column["calls_in"] > 0).all()
    assert ((column["sequential_ratio"] >= 0) & (column["sequential_ratio"] <= 1)).all()
    assert all((values >= 0).all() for values in column.values())


def test_behaviour_has_one_row_for_a_number_and_a_day(city: Files) -> None:
    counts = Counter((row["number"], row["day"]) for row in city.rows["behaviour.csv.gz"])

    assert max(counts.values()) == 1


def test_some_numbers_have_no_behaviour_at_all(city: Files) -> None:
    with_rows = set(keys_of(sorted({row["number"] for row in city.rows["behaviour.csv.gz"]})))

    assert 0.75 < len(with_rows) / 3000 < 0.97


def test_marking_peaks_in_the_hours_and_on_the_day_that_were_reported(tmp_path: Path) -> None:
    simulate(4000, 70, 3, tmp_path, date(2026, 11, 2), Attack(reporter_share=0.0))
    times = [
        time_of(row["call_at"])
        for row in rows_of(tmp_path / "marks.csv.gz")
        if row["kind"] == "USER" and row["call_at"]
    ]
    hours = Counter(time.hour for time in times)
    weekdays = Counter(time.weekday() for time in times)

    peak = sum(hours[hour] for hour in (*range(8, 12), *range(16, 21)))

    assert peak / len(times) > 0.6
    assert weekdays.most_common(1)[0][0] == 1


def test_colluders_are_the_asked_share_of_the_reporters(attacked: Files) -> None:
    care = Counter(row["care"] for row in attacked.rows["reporters.csv"])

    assert care["colluding"] / care.total() == pytest.approx(0.2, abs=0.002)
    assert care["colluding"] == attacked.summary.colluding_reporters


def test_without_collusion_nobody_colludes_and_no_victim_is_told_of(tmp_path: Path) -> None:
    summary = simulate(400, 20, 5, tmp_path, END, Attack(reporter_share=0.0))
    care = {row["care"] for row in rows_of(tmp_path / "reporters.csv")}

    assert "colluding" not in care
    assert summary.raids == 0
    assert "victim" not in summary.story


def test_a_group_attacks_within_minutes_and_mostly_without_a_call(attacked: Files) -> None:
    care = {row["reporter"]: row["care"] for row in attacked.rows["reporters.csv"]}
    raids = [(row["number"], time_of(row["began_at"])) for row in attacked.rows["attacks.csv"]]
    marks = attacked.rows["marks.csv.gz"]
    wire = numbering.format_keys(
        numbering.parse_column([row["number"] for row in marks], region="CN").keys
    )
    hostile = defaultdict(list)
    for row, number in zip(marks, wire, strict=True):
        if care.get(row["reporter"]) == "colluding":
            hostile[number].append(row)
    with_call = [bool(row["call_at"]) for rows in hostile.values() for row in rows]
    bursts = [
        sum(
            0 <= (time_of(row["occurred_at"]) - begins).total_seconds() <= Attack().burst_s
            for row in hostile[number]
        )
        for number, begins in raids
    ]

    assert np.mean(with_call) < 0.1
    assert np.median(bursts) >= 10


def test_an_attack_changes_neither_the_truth_nor_the_calls(city: Files, attacked: Files) -> None:
    same = [
        (city.folder / name).read_bytes() == (attacked.folder / name).read_bytes()
        for name in ("truth.csv", "behaviour.csv.gz", "lifecycle.csv", "registry.csv")
    ]

    assert all(same)


def test_the_unmarked_call_centre_has_behaviour_and_no_mark(city: Files) -> None:
    number = city.summary.story["unmarked"]
    key = keys_of([number])[0]

    marked = keys_of([row["number"] for row in city.rows["marks.csv.gz"]])
    calling = [
        int(row["calls_out"])
        for row in city.rows["behaviour.csv.gz"]
        if row["number"].endswith(number.removeprefix("+86"))
    ]

    assert key not in marked
    assert np.mean(calling) > 50


def test_the_spoofed_number_fails_authentication_only_on_the_forged_days(city: Files) -> None:
    number = city.summary.story["spoofed"].removeprefix("+86")
    rows = [row for row in city.rows["behaviour.csv.gz"] if row["number"].endswith(number)]

    failed = [int(row["auth_failed_calls"]) for row in rows]
    forged = [row for row in rows if int(row["auth_failed_calls"]) > 5]

    assert 0 < len(forged) < len(rows)
    assert sum(failed) == sum(int(row["auth_failed_calls"]) for row in forged)
    assert [row["bad"] for row in city.rows["truth.csv"] if row["number"].endswith(number)] == ["0"]


def test_the_story_agrees_with_the_truth(city: Files) -> None:
    present = {
        row["number"]: (row["category"], int(row["bad"]))
        for row in city.rows["truth.csv"]
        if not row["valid_until"]
    }

    for entry in city.story:
        told = (entry["truth"]["category"], entry["truth"]["bad"])
        assert present[entry["number"]] == told, entry["part"]
        assert entry["title"]["zh"]
        assert entry["title"]["en"]
        assert "{" not in entry["happened"]["zh"] + entry["happened"]["en"]


def test_one_vendor_copies_another_after_it_and_without_a_call(city: Files) -> None:
    firsts: dict[str, str] = {}
    late = total = 0
    for row in city.rows["marks.csv.gz"]:
        number = row["number"][-8:]
        if row["source"] == "app-lan":
            firsts.setdefault(number, row["occurred_at"])
        elif row["source"] == "app-yun" and not row["call_at"] and row["number"].isascii():
            total += 1
            late += number in firsts and firsts[number] < row["occurred_at"]

    assert total > 50
    assert late / total > 0.6


@pytest.mark.parametrize("kind", [MOBILE, MVNO, FIXED, N95, N400])
def test_every_way_of_writing_a_number_names_the_same_number(kind: int) -> None:
    rng = np.random.default_rng(2)
    kinds = np.full(120, kind, dtype=np.int8)
    drawn = draw_numbers(rng, kinds, np.full(120, -1))

    written = written_forms(rng, drawn.national, kinds, odd_ratio=1.0)

    assert keys_of(written) == keys_of(drawn.wire)
    assert len(set(drawn.national)) == 120
    assert written != drawn.national


def test_a_gang_shares_its_block_of_numbers() -> None:
    rng = np.random.default_rng(4)
    kinds = np.full(8, MOBILE, dtype=np.int8)

    drawn = draw_numbers(rng, kinds, np.array([0, 0, 0, 0, 1, 1, 1, 1]))

    assert len({number[:7] for number in drawn.national[:4]}) == 1
    assert len({number[:7] for number in drawn.national}) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"reporter_share": 0.95}, {"reporter_share": -0.1}, {"camouflage_ratio": 1.5},
     {"group_size": 1}, {"burst_s": 1}],
)  # fmt: skip
def test_an_impossible_attack_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        Attack(**wrong)  # type: ignore[arg-type]
