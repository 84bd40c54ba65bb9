"""The guide's table of faults names tests that exist, and every test of faults is in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/\S+\.py)::(test_\w+)`")


def rows():
    guide = (ROOT / "docs/operations.md").read_text()
    table = guide.partition("## Faults\n")[2].partition("\n## ")[0]
    found = [line for line in table.splitlines() if line.startswith("| ")]
    return found[1:]  # without its head


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_fault_names_tests_that_exist(row):
    named = NAMED.findall(row)

    assert named
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), test


def test_each_file_of_faults_is_named():
    named = {file for row in rows() for file, _ in NAMED.findall(row)}

    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/faults").glob("test_*.py")}
    assert len(files) >= 6
    assert files <= named
