"""The page of documentation is what the tables say."""

from pathlib import Path

from services.common.taxonomy import crosswalk, standard
from services.common.taxonomy.page import page

PUBLISHED = Path(__file__).parents[2] / "docs" / "taxonomy.md"


def test_the_published_page_is_the_one_the_tables_make() -> None:
    written = page(standard.load(), crosswalk.load())

    assert PUBLISHED.read_text(encoding="utf-8") == written


def test_the_page_shows_every_code_and_every_scheme() -> None:
    std, xw = standard.load(), crosswalk.load()

    written = page(std, xw)

    for code in (c.code for axis in (std.categories, std.behaviours, std.identities) for c in axis):
        assert f"| {code} |" in written or f"| **{code}** |" in written
    for scheme in xw.schemes:
        assert f"### `{scheme}`" in written


def test_every_table_row_of_the_page_has_the_width_of_its_header() -> None:
    lines = page(standard.load(), crosswalk.load()).splitlines()

    width = 0
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            cells = line.replace(r"\|", "").count("|")
            width = width if before.startswith("|") else cells
            assert cells == width
