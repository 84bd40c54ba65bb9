"""Call records become behaviour rows: a plain count of every column agrees on any records."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli.cdr.aggregate import COLUMNS
from services.cli.cdr.grouping import coded, distinct, ordered, variety
from services.cli.cdr.run import aggregate_files
from services.cli.cdr.times import INVALID, read_times
from services.cli.cdr.words import hashed
from services.common.errors import InvalidArgument
from services.common.numbering import parse_column
from services.common.numbering.keys import e164_key, relay_key, short_key, sms_key, wire
from zhengming.ingest.v1 import ingest_pb2

START_MS = 1_790_006_400_000  # 2026-09-22T00:00 in China
HEAD = (
    "caller", "callee", "started_at", "duration_s", "released_by", "ringing_s", "direction",
    "trunk", "auth", "imei", "cell", "area",
)  # fmt: skip
NUMBERS = ("13800138000", "13800138001", "13800138003", "+8613800138020", "02157696782", "95588")

REFUSED = st.tuples(
    st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.integers(0, 3 * 86_400_000)
)


def records() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Calls of a few numbers within three days, crowded, so that every column has something."""
    times = st.one_of(
        st.integers(0, 3 * 86_400_000 - 1),
        st.integers(0, 60).map(lambda i: 86_400_000 - 1_200_000 + i * 40_000),
    )
    return st.lists(
        st.fixed_dictionaries(
            {
                "caller": st.sampled_from(NUMBERS),
                "callee": st.sampled_from(NUMBERS),
                "started": times,
                "duration_s": st.sampled_from([0, 0, 4, 9, 10, 75]),
                "released_by": st.sampled_from(["", "CALLER", "CALLEE", "NETWORK"]),
                "ringing_s": st.sampled_from(["", "1.5", "3.5", "20"]),
                "direction": st.sampled_from(["", "", "OUT", "IN"]),
                "trunk": st.sampled_from(["", "DOMESTIC", "INTERNATIONAL"]),
                "auth": st.sampled_from(["", "PASSED", "FAILED"]),
                "imei": st.sampled_from(["", "860000000000001", "860000000000002"]),
                "cell": st.sampled_from(["", "460-00-1", "460-00-2"]),
                "area": st.sampled_from(["", "021", "0571"]),
            }
        ),
        max_size=40,
    )


def counted(
    calls: Sequence[dict[str, Any]], refused: Sequence[tuple[str, str, int]] = ()
) -> dict[tuple[str, str], dict[str, Any]]:
    """Every column by number and day, counted call by call as docs/cdr.md words it."""
    keys = dict(zip(NUMBERS, parse_column(list(NUMBERS)).keys.tolist(), strict=True))
    out, heard = defaultdict(list), defaultdict(list)
    for call in calls:
        one = {**call, "from": keys[call["caller"]], "to": keys[call["callee"]]}
        day = (date(2026, 9, 22) + timedelta(days=call["started"] // 86_400_000)).isoformat()
        one["day"] = day
        if call["direction"] != "IN" or call["trunk"] == "INTERNATIONAL":
            out[one["from"], day].append(one)
        if call["direction"] != "OUT":
            heard[one["to"], day].append(one)
    crowd = [
        (one["from"], one["to"], one["day"], one["started"])
        for some in out.values()
        for one in some
        if one["callee"] != "95588"
    ]
    rows = {}
    for number, day in {*out, *heard}:
        made = sorted(out[number, day], key=lambda one: (one["started"], one["to"]))
        at = [one["started"] for one in made]
        answered = [one for one in made if one["duration_s"] > 0]
        callees = [one["to"] for one in made]
        steps = sum(0 < b - a <= 10 for a, b in zip(callees, callees[1:], strict=False))
        crowds = [min(len(made), 1)]
        for who, callee, of_day, time in crowd:
            if who == number and of_day == day:
                same = [(w, t) for w, c, d, t in crowd if (c, d) == (callee, day)]
                for _, begin in same:
                    if begin <= time < begin + 600_000:
                        crowds.append(len({w for w, t in same if begin <= t < begin + 600_000}))
        rows[wire(number), day] = {
            "calls_out": len(made),
            "answered_out": len(answered),
            "distinct_callees": len(set(callees)),
            "ring_only_out": sum(
                one["duration_s"] == 0
                and (
                    one["released_by"] == "CALLER"
                    or (not one["released_by"] and one["ringing_s"] in ("1.5", "3.5"))
                )
                for one in made
            ),
            "short_calls_out": sum(one["duration_s"] < 10 for one in answered),
            "talk_s": sum(one["duration_s"] for one in answered),
            "calls_in": len(heard[number, day]),
            "callbacks_in": sum(
                any(a["to"] == one["from"] and a["started"] < one["started"] for a in made)
                for one in heard[number, day]
            ),
            "night_calls_out": sum(
                not 8 <= one["started"] % 86_400_000 / 3_600_000 < 21 for one in made
            ),
            "max_calls_per_callee": max((callees.count(c) for c in callees), default=0),
            "max_calls_per_minute": max(
                (sum(t <= u < t + 60_000 for u in at) for t in at), default=0
            ),
            "max_callers_share_callee": max(crowds),
            "distinct_areas": len({_area(one) for one in made} - {""}),
            "sequential_ratio": round(steps / (len(made) - 1), 4) if len(made) >= 5 else 0.0,
            "imei_count": len({one["imei"] for one in made} - {""}),
            "cell_count": len({one["cell"] for one in made} - {""}),
            "intl_ingress_calls": sum(one["trunk"] == "INTERNATIONAL" for one in made),
            "auth_failed_calls": sum(one["auth"] == "FAILED" for one in made),
            "after_refusal_calls": sum(
                any(
                    (one["caller"], one["callee"]) == (who, callee) and since < one["started"]
                    for who, callee, since in refused
                )
                for one in made
            ),
        }
    return rows


def _area(call: dict[str, Any]) -> str:
    """As told, or where the number was issued: 1380013 is Beijing's, 021 Shanghai's."""
    if call["area"]:
        return str(call["area"])
    issued = {"02157696782": "issued in Shanghai", "95588": ""}
    return issued.get(call["callee"], "issued in Beijing")


def write(path: Path, calls: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, HEAD, extrasaction="ignore")
        writer.writeheader()
        for call in calls:
            at = datetime.fromtimestamp((START_MS + call["started"]) / 1000, UTC)
            writer.writerow({**call, "started_at": at.isoformat(timespec="milliseconds")})
    return path


def aggregated(files: Sequence[Path], folder: Path, **more: Any) -> dict[tuple[str, str], Any]:
    out = folder / "behaviour.parquet"
    aggregate_files(files, out, "CMCC", temporary=folder, **more)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert all(row["carrier"] == "CMCC" for row in rows)
    assert len({(row["number"], row["day"]) for row in rows}) == len(rows)
    return {
        (row.pop("number"), row.pop("day").isoformat()): row for row in rows if row.pop("carrier")
    }


@settings(max_examples=150, deadline=None)
@given(calls=records(), refused=st.lists(REFUSED, max_size=3))
def test_every_column_is_what_counting_call_by_call_gives(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[dict[str, Any]],
    refused: list[tuple[str, str, int]],
) -> None:
    folder = tmp_path_factory.mktemp("cdr")
    file = write(folder / "calls.csv", calls)
    refusals = folder / "refusals.csv"
    refusals.write_text(
        "number,callee,occurred_at\n"
        + "".join(f"{who},{callee},{START_MS + since}\n" for who, callee, since in refused)
    )

    found = aggregated([file], folder, refusals=refusals)

    assert found == counted(calls, refused)


@settings(max_examples=25, deadline=None)
@given(calls=records(), cuts=st.lists(st.integers(0, 40), max_size=3))
def test_records_in_many_files_give_what_one_file_gives(
    tmp_path_factory: pytest.TempPathFactory, calls: list[dict[str, Any]], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("cdr")
    one = write(folder / "calls.csv", calls)
    bounds = [0, *sorted(cuts), len(calls)]
    pieces = [
        write(folder / f"{i}.csv", calls[low:high])
        for i, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
    ]

    found = aggregated(pieces[::-1], folder)

    assert found == aggregated([one], folder)


def test_bad_rows_are_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    head = "caller,callee,started_at,duration_s,answered,trunk\n"
    good = "13800138000,13800138001,2026-09-22T10:00:00+08:00,5,yes,domestic\n"
    bad = (
        "1380,13800138001,2026-09-22T10:00:00+08:00,5,,\n"
        "13800138000,,2026-09-22T10:00:00+08:00,5,,\n"
        "13800138000,13800138001,2026-13-22T10:00:00+08:00,5,,\n"
        "13800138000,13800138001,2026-09-22T10:00:00+08:00,-5,,\n"
        "13800138000,13800138001,2026-09-22T10:00:00+08:00,x,,\n"
        "13800138000,13800138001,2026-09-22T10:00:00+08:00,5,perhaps,\n"
        "13800138000,13800138001,2026-09-22T10:00:00+08:00,5,,sideways\n"
    )
    file = tmp_path / "calls.csv"
    file.write_text(head + good + bad + good)

    done = aggregate_files([file], tmp_path / "out.csv", "CMCC", rejects=tmp_path / "rejects.csv")

    with (tmp_path / "rejects.csv").open() as rejects:
        named = [(int(row["line"]), row["field"]) for row in csv.DictReader(rejects)]
    assert named == [
        (3, "caller"), (4, "callee"), (5, "started_at"), (6, "duration_s"), (7, "duration_s"),
        (8, "answered"), (9, "trunk"),
    ]  # fmt: skip
    assert (done.records, done.rejected, done.rows) == (9, 7, 2)
    table = pyarrow.csv.read_csv(tmp_path / "out.csv")
    assert sorted(table["calls_out"].to_pylist()) == [0, 2]


@pytest.mark.parametrize(
    "written",
    ["2026-09-22T10:00:00+08:00", "2026-09-22 02:00:00Z", "2026-09-22 10:00:00", "1790042400000",
     "20260922100000", "2026-09-22T02:00:00.000+00:00"],
)  # fmt: skip
def test_a_time_is_read_as_switches_write_it(written: str, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    other = "13800138000,13800138001,1790042400000,3\n13800138000,13800138001,x,3\n"
    file.write_text(f"caller,callee,started_at,duration_s\n13800138000,95588,{written},3\n{other}")

    aggregate_files([file], tmp_path / "out.csv", "CMCC")

    rows = pyarrow.csv.read_csv(tmp_path / "out.csv").to_pylist()
    row = next(row for row in rows if row["calls_out"])
    assert (row["day"], row["max_calls_per_minute"]) == (date(2026, 9, 22), 2)


@given(
    moments=st.lists(
        st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 31, 23, 59, 59)), min_size=1
    ),
    between=st.sampled_from(["T", " "]),
    offset=st.sampled_from(["", "Z", "+08:00", "-0330", "+00:00"]),
)
def test_times_of_one_form_are_read_as_the_calendar_has_them(
    moments: list[datetime], between: str, offset: str
) -> None:
    written = [f"{m:%Y-%m-%d}{between}{m:%H:%M:%S}{offset}" for m in moments]

    found = read_times(pa.array(written, pa.string()))

    expected = [
        datetime.fromisoformat(text if offset else f"{text}+08:00").timestamp() * 1000
        for text in written
    ]
    assert found.tolist() == expected


@pytest.mark.parametrize(
    "written",
    ["2026-02-29T10:00:00", "2026-13-01T10:00:00", "2026-09-22T24:00:00", "2026-09-22T10:60:00",
     "2026-09-22T10:00:60", "2026-09-22T10:00:0x", "0000-00-00T00:00:00",
     "2026-09-22T10:00:00+25:00", "2026/09/22T10:00:00", "2026-09-22T10-00-00"],
)  # fmt: skip
def test_what_only_looks_like_a_time_is_none(written: str) -> None:
    good = f"2026-09-22T10:00:00{written[19:]}" if written[19:] != "+25:00" else written

    found = read_times(pa.array([good, written], pa.string()))

    assert found[1] == INVALID
    assert (found[0] == INVALID) == (good == written)


@given(texts=st.lists(st.text(max_size=80)), skip=st.integers(0, 3))
def test_texts_have_the_same_hash_if_and_only_if_they_are_the_same(
    texts: list[str], skip: int
) -> None:
    found = hashed(pa.array(["before", "x" * 70, "", *texts], pa.string()).slice(skip)).tolist()

    texts = ["before", "x" * 70, "", *texts][skip:]
    assert [value == 0 for value in found] == [text == "" for text in texts]
    assert len(set(found)) == len(set(texts))
    assert found == [int(hashed(pa.array([text]))[0]) for text in texts]


NUMBER_KEYS = st.sampled_from(
    [
        e164_key(8613800138000),
        e164_key(8613800138001),
        e164_key(9_999_999_999_999),
        e164_key((1 << 44) - 1),
        e164_key(1 << 44),
        e164_key(861_440_000_000_001),
        short_key(10086),
        short_key(10086, 33),
        sms_key(981234),
        relay_key(700_001_380_013_800),
    ]
)


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), NUMBER_KEYS), max_size=120).map(sorted),
    count=st.sampled_from([4, 1 << 17, (1 << 17) + 1]),
)
def test_variety_is_what_counting_each_group_gives(rows: list[tuple[int, int]], count: int) -> None:
    groups, values = np.array(rows, dtype=np.int64).reshape(-1, 2).T

    distinct, most = variety(groups, values, count)

    counts = [Counter(value for of, value in rows if of == group) for group in range(4)]
    assert distinct[:4].tolist() == [len(found) for found in counts]
    assert most[:4].tolist() == [max(found.values(), default=0) for found in counts]
    assert not distinct[4:].any() and not most[4:].any()


@given(texts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=120).map(sorted))
def test_distinct_texts_are_counted_by_their_hashes(texts: list[tuple[int, int]]) -> None:
    groups = np.array([group for group, _ in texts], dtype=np.int64)
    hashes = hashed(pa.array([f"460-00-{cell}" if cell else "" for _, cell in texts], pa.string()))

    found = distinct(groups, hashes, 4)

    known = [{cell for of, cell in texts if of == group and cell} for group in range(4)]
    assert found.tolist() == [len(cells) for cells in known]


@given(keys=st.lists(NUMBER_KEYS, max_size=60), days=st.data())
def test_groups_are_numbers_and_days_in_order(keys: list[int], days: st.DataObject) -> None:
    number = np.array(keys, dtype=np.int64)
    day = np.array([days.draw(st.integers(20_000, 20_002)) for _ in keys], dtype=np.int64)

    groups, numbers, of_days = coded(number, day)

    pairs = list(zip(numbers.tolist(), of_days.tolist(), strict=True))
    assert pairs == sorted(set(zip(keys, day.tolist(), strict=True)))
    assert [pairs[group] for group in groups] == list(zip(keys, day.tolist(), strict=True))


@given(keys=st.lists(st.integers(0, 2**62 - 1), max_size=60), bits=st.sampled_from([62, 64]))
def test_rows_are_ordered_by_key_with_and_without_room_for_both(keys: list[int], bits: int) -> None:
    some = np.array(keys, dtype=np.int64)
    for given_keys, given_bits in ((some, bits), (some & 0xFFFF, 16)):
        order, ascending = ordered(given_keys, given_bits)

        assert ascending.tolist() == sorted(given_keys.tolist())
        assert given_keys[order].tolist() == ascending.tolist()
        assert sorted(order.tolist()) == list(range(len(keys)))


def test_a_hotline_has_many_callers_and_no_crowd(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    rows = [f"1380013{i:04d},95588,2026-09-22 10:00:{i % 60:02d},9" for i in range(50)]
    rows += [f"1380013{i:04d},02157696782,2026-09-22 10:00:{i % 60:02d},9" for i in range(7)]
    file.write_text("caller,callee,started_at,duration_s\n" + "\n".join(rows) + "\n")

    aggregate_files([file], tmp_path / "out.csv", "CMCC")

    table = pyarrow.csv.read_csv(tmp_path / "out.csv").to_pylist()
    crowds = [row["max_callers_share_callee"] for row in table if row["calls_out"]]
    assert sorted(crowds) == [1] * 43 + [7] * 7


def test_a_file_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("caller,callee,started_at\n13800138000,95588,2026-09-22 10:00:00\n")

    with pytest.raises(InvalidArgument) as refused:
        aggregate_files([file], tmp_path / "out.csv", "CMCC")

    assert refused.value.reason == "COLUMN_MISSING"
    assert not (tmp_path / "out.csv").exists()


def test_the_columns_are_those_that_behaviour_is_submitted_in() -> None:
    fields = [field.name for field in ingest_pb2.SubmitBehaviourRequest.DESCRIPTOR.fields]

    assert set(COLUMNS[3:]) == set(fields[3:])
