"""Files that were written to do harm: what they say is checked, not only that it is whole."""

import csv
import json
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.cli import importing, scorecards
from services.cli.arbitrate import arbitrate_file
from services.cli.cdr.run import aggregate_files
from services.cli.evaluate_files import read_texts as read_truth
from services.cli.model import read_texts
from services.common.errors import InvalidArgument
from services.reputation.published import shelf, table
from tests.fuzz.files import KEYS, _published, sealed
from zhengming.arbitration.v1 import arbitration_pb2


@pytest.mark.parametrize("name", ["../../etc/passwd", "/x.table", "1-0.table/..", "a.table", ""])
def test_a_manifest_names_files_of_its_folder_only(tmp_path, name):
    mark = shelf.asdict(shelf.Mark())
    body = json.dumps({"mark": mark, "tables": [name], "log": "1-0.log"}).encode()
    (tmp_path / shelf.CURRENT).write_bytes(body + b"\n" + str(zlib.crc32(body)).encode())

    with pytest.raises(InvalidArgument) as refused:
        shelf.read_manifest(tmp_path)

    assert refused.value.reason == "FILE_UNREADABLE"


@pytest.mark.parametrize("section", ["rows", "starts", "why", "issue", "offset", "shift", "first"])
def test_a_table_whose_parts_do_not_fit_is_refused_though_its_checksums_are_right(section):
    content = table.to_bytes(_published(len(KEYS)))
    length = table._TAIL.unpack(content[-table._TAIL.size :])[1]
    place = json.loads(content[-table._TAIL.size - length : -table._TAIL.size])[section]
    start, end = place["start"], place["start"] + place["size"]

    with pytest.raises(InvalidArgument) as refused:
        table.from_bytes(sealed(content[:start] + b"\xff" * (end - start) + content[end:]))

    assert refused.value.reason == "FILE_UNREADABLE"


def test_a_table_as_we_write_it_is_sound():
    found = table.from_bytes(sealed(table.to_bytes(_published(len(KEYS)))))

    assert (found.index.find(KEYS) == np.arange(len(KEYS))).all()


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1"])
def test_no_cell_of_an_export_is_a_formula(tmp_path, text):
    path = tmp_path / "out.csv"
    card = arbitration_pb2.Scorecard(source=text)
    scorecards.write([card], path)
    importing.write_rejects(tmp_path / "rejects.csv", [(text, 1, text, text)])

    for file in (path, tmp_path / "rejects.csv"):
        rows = list(csv.reader(file.open(newline="")))
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row)


def _spoilt(path, found, spoilt):
    """A Parquet file with bytes in it changed after it was written."""
    columns = pa.table(
        {
            **{name: ["a" * 10] for name in ("number", "task", "worker", "label", "occurredXX")},
            **{name: [""] for name in ("valid_from", "valid_until", "category", "bad")},
        }
    )
    pq.write_table(columns, path, store_schema=False, compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace(found, spoilt))
    return path


@pytest.mark.parametrize(
    ("found", "spoilt"),
    [(b"occurredXX", b"occurred\xf2\x28"), (b"a" * 10, b"\xff" * 10)],
    ids=["name of a column", "text"],
)
@pytest.mark.parametrize(
    "read",
    [
        lambda path, out: list(importing.read_tables(path)),
        lambda path, out: read_texts(path),
        lambda path, out: arbitrate_file(path, out),
        lambda path, out: aggregate_files([path], out, "CMCC"),
        lambda path, out: read_truth(path, ("number", "label")),
    ],
    ids=["import", "table", "answers", "call records", "truth"],
)
def test_parquet_that_is_no_utf8_is_refused_by_name(tmp_path, read, found, spoilt):
    path = _spoilt(tmp_path / "spoilt.parquet", found, spoilt)

    with pytest.raises(InvalidArgument) as refused:
        read(path, tmp_path / "out.parquet")

    assert refused.value.reason == "FILE_UNREADABLE"
    assert refused.value.metadata["file"].endswith("spoilt.parquet")
