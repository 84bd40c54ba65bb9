"""The files of the crosswalks: from which day their rows hold, and their faults by name."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from services.common.taxonomy import crosswalk, meanings, rows, standard


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return Path(shutil.copytree(rows.folder(None), tmp_path / "tables"))


def test_a_later_row_replaces_an_earlier_one_from_its_day(tables: Path) -> None:
    with (tables / "crosswalk_tencent.csv").open("a", encoding="utf-8") as file:
        file.write("tencent,52,保险理财,A,A3107,1,exact,,1.0.0,2027-03-01,split by the vendor\n")

    before = crosswalk.read(tables, as_of=date(2027, 2, 28))
    after = crosswalk.read(tables, as_of=date(2027, 3, 1))

    assert before.map_label("tencent", "52").home == 3100
    assert after.map_label("tencent", "52").rows == ((3107, 1.0),)
    assert crosswalk.read(tables).map_label("tencent", "52").home == 3107


def test_before_the_first_row_no_mapping_is_in_force() -> None:
    early = crosswalk.load(as_of=date(2020, 1, 1))

    assert early.map_label("tencent", "52").relation == "unknown"
    assert early.map_label("tencent", "A3107").home == 3107


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("tencent,52,,A,A3107,.35", "tencent,52,,A,A3108,.35", "category"),
        ("tencent,52,,A,A3107,.35", "tencent,52,,A,A3100,.35", "category"),
        ("tencent,52,,A,A3107,.35", "tencent,52,,A,A3107,.45", "weight"),
        ("tencent,52,,A,A3107,.35", "tencent,52,,A,A3107,much", "weight"),
        ("tencent,52,,A,A3107,.35", "tencent,52,,A,A3107,-.35", "weight"),
        ("A3107,.35,narrower", "A3107,.35,similar", "relation"),
        ("A3107,.35,narrower", "A3107,.35,unknown", "relation"),
        ("A3107,.35,narrower,,1.0.0", "A3107,.35,narrower,,1.0.1", "version"),
        ("保险理财,A,A3100,.40,broader,,1.0.0", "保险理财,A,A3100,.40,broader,,one", "version"),
        ("保险理财,A,A3100,", "保险理财,C,A3100,", "axis"),
        ("保险理财,A,A3100,.40,broader,,", "保险理财,A,A3100,.40,broader,B99,", "behaviours"),
        ("保险理财,A,", "保险理财;房产中介,A,", "label"),
    ],
)
def test_a_fault_in_a_crosswalk_names_file_row_and_field(
    tables: Path, old: str, new: str, field: str
) -> None:
    path = tables / "crosswalk_tencent.csv"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    changed = text[: text.index(old)].count("\n") + 1

    with pytest.raises(InvalidArgument, match=rf"^crosswalk_tencent\.csv, row \d+, {field}: ") as e:
        crosswalk.read(tables)

    assert e.value.reason == "TAXONOMY_INVALID"
    assert abs(int(e.value.metadata["row"]) - changed) <= 1  # a sum is told at the label's first


def test_the_home_of_a_label_must_weigh_the_most(tables: Path) -> None:
    path = tables / "crosswalk_tencent.csv"
    text = path.read_text(encoding="utf-8")
    text = text.replace("保险理财,A,A3100,.40", "保险理财,A,A3100,.25").replace(
        "tencent,52,,A,A3102,.25", "tencent,52,,A,A3102,.40"
    )
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidArgument, match="must weigh the most"):
        crosswalk.read(tables)


@pytest.mark.parametrize(
    ("line", "field"),
    [("腾讯,tencent,again\n", "source"), ("teddy,teddybear,\n", "scheme"), ("a,b\n", "row")],
)
def test_a_fault_in_the_sources_is_named(tables: Path, line: str, field: str) -> None:
    with (tables / "sources.csv").open("a", encoding="utf-8") as file:
        file.write(line)

    with pytest.raises(InvalidArgument, match=rf"^sources\.csv, row \d+, {field}: "):
        crosswalk.read(tables)


def test_a_day_that_is_none_is_a_fault(tables: Path) -> None:
    with (tables / "crosswalk_baidu.csv").open("a", encoding="utf-8") as file:
        file.write("baidu,13,新,A,A3000,1,exact,,1.0.0,2026-13-01,\n")

    with pytest.raises(InvalidArgument, match=r"^crosswalk_baidu\.csv, row \d+, valid_from: "):
        meanings.read_meanings(tables, standard.load())
