"""A community list of organisations' numbers becomes registrations."""

import pytest

from services.cli import importing
from services.cli.kinds import KINDS
from tests.services_in_process import in_process
from zhengming.ingest.v1 import number_pb2

LIST = """number,organization,category,number_type
110,公安报警,政府机构,emergency_or_gov_short
95588,工商银行,金融银行,95_short
95338,顺丰速运,快递物流,95_short
+14156677870,嘉信理财,证券保险,intl
12,缺位,其它,other
"""


@pytest.fixture(scope="module")
def imported(chdb_engine, chdb_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    path = folder / "list.csv"
    path.write_text(LIST, encoding="utf-8")
    with in_process(chdb_path, folder) as running:
        tally = importing.Tally()
        for line, table in importing.read_tables(path):
            KINDS["service-numbers"](running.stubs, path, line, table, {}, tally)
        yield running, tally


@pytest.mark.parametrize(
    ("number", "identity", "purpose"),
    [
        ("110", "C01", ""),
        ("95588", "C04", "A4200"),
        ("95338", "C04", "A4100"),
        ("+14156677870", "C03", "A4200"),
    ],
)
def test_each_number_is_registered_under_its_identity_and_purpose(
    imported, number, identity, purpose
):
    request = number_pb2.BatchDescribeNumbersRequest(numbers=[number])

    found = imported[0].stubs.numbers.BatchDescribeNumbers(request).results[0].number

    assert (found.registered_identity, found.registered_purpose) == (identity, purpose)


def test_a_row_that_is_no_number_is_named_and_does_not_stop_the_rest(imported):
    tally = imported[1]

    assert tally.committed == 4
    assert [(line, field) for _, line, field, _ in tally.rejected] == [(6, "number")]
