"""Fixtures that every test folder may take."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import settings

from tests.engines import (
    chdb_engine,
    chdb_path,
    chdb_store,
    clickhouse_server,
    clickhouse_store,
    cluster,
    either,
    replicated,
)

ROOT = Path(__file__).resolve().parent.parent

__all__ = [
    "chdb_engine",
    "chdb_path",
    "chdb_store",
    "clickhouse_server",
    "clickhouse_store",
    "cluster",
    "either",
    "replicated",
]

# So that failures of what it checks say what they saw.
pytest.register_assert_rewrite("tests.faults.world")

# How long an example takes is the machine's business, not a fact about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def policy() -> str:
    """The policy that docs/kubernetes.md gives to clients."""
    found = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "kubernetes.md").read_text(), re.S)
    assert found is not None
    return json.dumps(json.loads(found[1]))
