"""Which calls are passed on to an owner, and that the owner may answer them."""

import pytest

from services.common.identity import policy
from services.common.office import Office
from services.configuration import NAMES
from services.owned import owned


def offices():
    return {name: Office((), lambda address: None) for name in NAMES}


@pytest.mark.parametrize(
    "method",
    ["/zhengming.ingest.v1.IngestService/CommitRows", *owned(offices())],
)
def test_another_process_of_ours_may_make_the_call(method):
    assert "service" in policy.load()[method].scopes


def test_only_services_that_run_here_have_owners_here():
    found = offices()

    assert set(owned({"features": found["features"]}).values()) == {found["features"]}
    assert owned({}) == {}
    assert set(owned(found).values()) == set(found.values())
