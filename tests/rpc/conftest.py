"""Services for the tests of a file, and a number for each test."""

import pytest

from tests.dispute_calls import new_number
from tests.services_in_process import in_process


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def number():
    return new_number()
