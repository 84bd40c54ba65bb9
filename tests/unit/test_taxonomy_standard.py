"""The category standard: its content, its arrays, and the faults that loading names."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import InvalidArgument, NotFound
from services.common.taxonomy import rows, standard

GROUPS = ("A1", "A2", "A3", "A4")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return Path(shutil.copytree(rows.folder(None), tmp_path / "tables"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} is not once in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def line_of(path: Path, beginning: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.startswith(beginning))


def test_the_standard_holds_every_code_of_the_proposal() -> None:
    std = standard.load()

    codes = [category.code for category in std.categories]

    assert " ".join(codes) == (
        "A1 A1100 A1101 A1102 A1103 A1104 A1105 A1106 A1107 A1199 A1200 A1300 A1400 A1500 A1510 "
        "A1520 A1600 A1700 A1710 A1800 A1900 A1990 A2 A2000 A2100 A2200 A3 A3000 A3100 A3101 "
        "A3102 A3103 A3104 A3105 A3106 A3107 A3200 A3201 A3202 A3210 A3300 A3301 A3302 A3310 "
        "A3400 A3500 A3600 A3700 A3710 A3720 A3730 A3740 A4 A4100 A4110 A4120 A4200 A4300 A4900 "
        "A9000"
    )
    assert [b.code for b in std.behaviours] == [f"B{n:02}" for n in (*range(1, 14), 20)]
    assert [i.code for i in std.identities] == [f"C{n:02}" for n in range(10)]


def test_a_category_carries_names_authority_and_place() -> None:
    insurance = standard.load().category("A3107")

    assert (insurance.id, insurance.name_zh, insurance.name_en) == (3107, "保险", "Insurance")
    assert insurance.authority == ("金融监管总局",)
    assert insurance.authority_en == ("National Financial Regulatory Administration",)
    assert (insurance.parent, insurance.group) == ("A3100", "A3")
    assert insurance.is_nuisance and not insurance.is_illegal and insurance.is_leaf


def test_a_group_is_a_category_with_a_short_id_and_no_parent() -> None:
    illegal = standard.load().category("A1")

    assert (illegal.id, illegal.parent, illegal.group) == (1, "", "A1")
    assert illegal.is_illegal and not illegal.is_leaf


def test_an_unclassified_mark_belongs_to_a_group_of_its_own() -> None:
    other = standard.load().category("A9000")

    assert (other.id, other.parent, other.group) == (standard.UNCLASSIFIED_ID, "", "A9")
    assert other.is_leaf and not other.is_nuisance and not other.is_illegal


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("A1100", 4),
        ("A1200", 4),
        ("A1300", 3),
        ("A1500", 3),
        ("A2000", 3),
        ("A2100", 3),
        ("A3000", 2),
        ("A3107", 2),
        ("A4100", 0),
        ("A4300", 0),
        ("A9000", 1),
    ],
)
def test_the_published_level_is_the_severity_and_nothing_for_a_service(
    code: str, level: int
) -> None:
    assert standard.load().level_of(code) == level


def test_only_illegal_nuisance_and_marketing_calls_are_unwanted() -> None:
    std = standard.load()

    unwanted = {category.group for category in std.categories if category.is_nuisance}

    assert unwanted == {"A1", "A2", "A3"}


def test_every_category_lies_under_its_group_alone() -> None:
    std = standard.load()

    for category in std.categories:
        chain = std.ancestors(category.code)
        assert all(wider.group == category.group for wider in chain)
        assert not chain or chain[-1].parent == ""


def test_descendants_of_finance_are_its_seven_products() -> None:
    std = standard.load()

    products = [category.id for category in std.descendants("A3100")]

    assert products == [3101, 3102, 3103, 3104, 3105, 3106, 3107]


def test_illegal_marks_live_longest_and_service_marks_shortest() -> None:
    std = standard.load()

    longest = {g: max(c.half_life_days for c in std.categories if c.group == g) for g in GROUPS}
    shortest = {g: min(c.half_life_days for c in std.categories if c.group == g) for g in GROUPS}

    assert shortest["A1"] > longest["A2"]
    assert shortest["A1"] > longest["A3"]
    assert min(shortest["A2"], shortest["A3"]) > longest["A4"]
    assert 0 < std.import_half_life_ratio < 1


def test_every_authority_named_has_an_english_name() -> None:
    std = standard.load()

    for category in std.categories:
        assert len(category.authority) == len(category.authority_en)
        assert set(category.authority_inferred) <= set(category.authority)
    assert all(authority.name_en for authority in std.authorities.values())


def test_arrays_by_id_agree_with_the_categories() -> None:
    std = standard.load()

    for category in std.categories:
        assert std.group_of_id[category.id] == int(category.group[1:])
        assert std.severity_of_id[category.id] == category.severity
        assert std.level_of_id[category.id] == std.level_of(category.code)
        assert std.half_life_days_of_id[category.id] == category.half_life_days
        assert std.is_nuisance_of_id[category.id] == category.is_nuisance
        assert std.ids[std.position_of_id[category.id]] == category.id
        parent = std.category(category.parent).id if category.parent else 0
        assert std.parent_of_id[category.id] == parent


def test_ids_are_sorted_distinct_and_cannot_be_written() -> None:
    std = standard.load()

    assert std.ids.dtype == np.uint16
    assert (np.diff(std.ids.astype(int)) > 0).all()
    with pytest.raises(ValueError, match="read-only"):
        std.ids[0] = 5


def test_an_id_of_no_category_has_no_place_in_the_arrays() -> None:
    std = standard.load()

    assert std.position_of_id[65535] == -1
    assert std.severity_of_id[3108] == -1
    assert np.isnan(std.half_life_days_of_id[3108])


def test_leaf_ids_have_nothing_under_them() -> None:
    std = standard.load()

    under = {category.parent for category in std.categories}

    assert 3107 in std.leaf_ids
    assert not {std.category_of_id(int(i)).code for i in std.leaf_ids} & under


@pytest.mark.parametrize("code", ["A3108", "", "3107", "B01", "a3107"])
def test_a_code_outside_the_standard_is_refused(code: str) -> None:
    with pytest.raises(InvalidArgument, match="is not in the standard") as caught:
        standard.load().category(code)

    assert caught.value.reason == "CATEGORY_UNKNOWN"


def test_unknown_behaviours_identities_and_ids_are_refused() -> None:
    std = standard.load()

    with pytest.raises(InvalidArgument) as behaviour:
        std.behaviour("B99")
    with pytest.raises(InvalidArgument) as identity:
        std.identity("C99")
    with pytest.raises(InvalidArgument) as category:
        std.category_of_id(12)

    assert behaviour.value.reason == "BEHAVIOUR_UNKNOWN"
    assert identity.value.reason == "IDENTITY_UNKNOWN"
    assert category.value.reason == "CATEGORY_UNKNOWN"


def test_a_version_is_read_once() -> None:
    assert standard.load() is standard.load(standard.load().version)


def test_a_version_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotFound, match=r"'9\.9\.9'") as caught:
        standard.load("9.9.9")

    assert caught.value.reason == "TAXONOMY_VERSION_UNKNOWN"


def test_the_version_read_is_the_name_of_its_folder() -> None:
    for version in rows.versions():
        assert standard.load(version).version == version


@pytest.mark.parametrize(
    ("beginning", "old", "new", "field"),
    [
        ("A1101,", "A1101,A1100,", "A1100,A1100,", "code"),
        ("A1101,", "A1101,A1100,", "A110,A1100,", "code"),
        ("A1101,", "A1101,A1100,", "A1101,A1109,", "parent"),
        ("A1101,", "A1101,A1100,", "A1101,A3100,", "parent"),
        ("A3101,", ",Loans,2,", ",Loans,5,", "severity"),
        ("A3101,", ",Loans,2,", ",Loans,2.5,", "severity"),
        ("A3101,", ",Loans,2,", ",Loans,high,", "severity"),
        ("A3101,", ",Loans,2,", ",,2,", "name_en"),
        ("A3101,", "A3101,A3100,贷款,", "A3101,A3100,,", "name_zh"),
        ("A3600,", ",2,教育部,,", ",2,教育局,,", "authority"),
        ("A3600,", ",2,教育部,,", ",2,教育部,公安部,", "authority_inferred"),
        ("A3600,", ",2,教育部,,,90", ",2,教育部,,A1,90", "catch_all_of"),
        ("A3600,", ",2,教育部,,,90", ",2,教育部,,,0", "half_life_days"),
        ("A3600,", ",2,教育部,,,90", ",2,教育部,,90", "row"),
        ("A3600,", "A3600,A3,", 'A3600,"A3,', "row"),
    ],
)
def test_a_fault_in_the_categories_names_file_row_and_field(
    tables: Path, beginning: str, old: str, new: str, field: str
) -> None:
    path = tables / "categories.csv"
    row = line_of(path, beginning)
    edit(path, old, new)

    with pytest.raises(InvalidArgument) as caught:
        standard.read(tables)

    assert caught.value.reason == "TAXONOMY_INVALID"
    assert caught.value.metadata == {"file": "categories.csv", "row": str(row), "field": field}
    assert f"categories.csv, row {row}, {field}: " in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("categories.csv", "code,parent,name_zh", "code,parents,name_zh", "header"),
        ("behaviours.csv", "\nB02,", "\nB01,", "code"),
        ("behaviours.csv", "\nB02,", "\nX02,", "code"),
        ("behaviours.csv", "Robocall,2,工信部", "Robocall,2,信工部", "authority"),
        ("identities.csv", "\nC02,", "\nC2,", "code"),
        ("authorities.csv", "\n工信部,", "\n公安部,", "name_zh"),
        ("standard.yaml", "import_half_life_ratio: 0.5", "import_half_life_ratio: 2", None),
        ("standard.yaml", "import_half_life_ratio: 0.5", "import_half_life_ratio: half", None),
        ("standard.yaml", "version: 1.0.0", "versions: 1.0.0", None),
    ],
)
def test_a_fault_in_any_other_table_is_named(
    tables: Path, file: str, old: str, new: str, field: str | None
) -> None:
    edit(tables / file, old, new)

    with pytest.raises(InvalidArgument) as caught:
        standard.read(tables)

    assert caught.value.reason == "TAXONOMY_INVALID"
    assert caught.value.metadata["file"] == file
    assert field is None or caught.value.metadata["field"] == field


def test_an_empty_table_is_a_fault_and_not_an_empty_standard() -> None:
    with pytest.raises(InvalidArgument, match="expected code,name"):
        rows.parse("categories.csv", "# nothing here\n\n", "code,name")


def test_comments_and_blank_lines_count_as_rows_in_messages() -> None:
    table = rows.parse("a.csv", "# comment\n\ncode,name\n# more\nA, one \n", "code,name")

    assert [(row.line, row["name"]) for row in table] == [(5, "one")]


def test_a_field_over_two_lines_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"a\.csv, row 2, row: "):
        rows.parse("a.csv", 'code,name\nA,"one\ntwo"\n', "code,name")
