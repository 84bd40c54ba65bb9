"""Fixtures of the faults."""

import pytest

from tests.clickhouse_server import ClickHouseServer


@pytest.fixture
def server():
    made = ClickHouseServer().start()
    yield made
    made.remove()
