"""schemathesis over the OpenAPI against the running console: no 5xx, nothing undocumented.

Bounded: the same examples each time, so many an operation. A longer run by hand, on a server that
runs: `st run ADDRESS/api/v1/openapi.json --url ADDRESS/api/v1 --auth NAME:PASSWORD`.
"""

import base64
import uuid

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.console import api, server
from services.console.accounts import Accounts, hashed
from tests.rpc.test_console_http import PASSWORD, application
from tests.services_in_process import in_process

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 40
SCHEMA = schemathesis.openapi.from_dict(api.description())
BASIC = {"Authorization": "Basic " + base64.b64encode(f"vic:{PASSWORD}".encode()).decode()}


@pytest.fixture(scope="module")
def console(chdb_engine, chdb_path, tmp_path_factory):
    """The pages over HTTP, with an account and a case to follow."""
    folder = tmp_path_factory.mktemp("openapi")
    accounts = Accounts(folder / "accounts.json")
    accounts.put(hashed("vic", "vendor", "app-one", PASSWORD))
    with in_process(chdb_path, folder) as services:
        app = application(services, accounts)
        filing = {
            "number": "+8613812345678",
            "request_id": uuid.uuid4().hex,
            "applicant_kind": "APPLICANT_KIND_PERSON",
            "ground": "DISPUTE_GROUND_OTHER",
            "statement": "不是我",
        }
        filed = app.test_client().post("/api/v1/disputes", json=filing).get_json()
        running = server.Running(app, "127.0.0.1:0")
        yield running.address, filed["case_number"]
        running.stop()


_bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(
    "operation",
    [result.ok() for result in SCHEMA.get_all_operations()],
    ids=lambda operation: operation.label,
)
def test_no_answer_is_a_fault_or_undocumented(console, operation):
    address, case_number = console
    answered = []

    @_bounded
    @given(case=operation.as_strategy(), is_known=st.booleans())
    def ask(case, is_known):
        if is_known and isinstance(case.body, dict) and "case_number" in case.body:
            case.body["case_number"] = case_number  # else nothing behind the number is reached
        answer = case.call_and_validate(
            base_url=f"{address}/api/v1", headers=BASIC, checks=CHECKS, timeout=60
        )
        answered.append(answer.status_code)

    ask()

    assert answered
    assert max(answered) < 500
