"""All that is published, page by page."""

import pytest

from services.cli.session import run_pipeline
from services.common import rpc
from services.common.errors import InvalidArgument
from services.common.numbering import parse
from tests.services_in_process import in_process
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2 as pb

NUMBERS = [f"+8613900139{i:03}" for i in range(25)]


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services"), follow=False) as running:
        batch = ingest_pb2.SubmitMarksRequest(source="app-one")
        for number in NUMBERS:
            mark = batch.marks.add(mark_id=number, number=number, label="骚扰电话", reporter="r")
            mark.occurred_time.FromMilliseconds(running.clock.now_ms - 1_000)
        running.stubs.ingest.SubmitMarks(batch)
        run_pipeline(running.stubs, None, lambda step: None)
        yield running


def listed(services, page_size, token=""):
    request = pb.ListReputationsRequest(page_size=page_size, page_token=token)
    return services.stubs.reputation.ListReputations(request, timeout=60)


@pytest.mark.parametrize("page_size", [1, 10, 25, 1_000, 0, -1])
def test_every_number_is_on_one_page(services, page_size):
    found, token, pages = [], "", 0
    while token or not pages:
        page = listed(services, page_size, token)
        found += page.number_keys
        token, pages = page.next_page_token, pages + 1

    assert found == [parse(number).key for number in NUMBERS]
    assert pages == (-(-len(NUMBERS) // page_size) if page_size > 0 else 1)


@pytest.mark.parametrize(
    "token", ["x", "0:1", "0:1:2:3", "0:1:-1", "0:1:²", f"0:1:{1 << 63}", "0:1:" + "9" * 400]
)
def test_a_token_that_was_not_issued_is_refused(services, token):
    with pytest.raises(Exception) as refused:
        listed(services, 10, token)

    told = rpc.to_domain_error(refused.value)
    assert (type(told), told.reason) == (InvalidArgument, "PAGE_TOKEN_INVALID")
