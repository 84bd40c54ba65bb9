"""The console over HTTP before real services: roles, forms, limits, and the JSON interface."""

import base64
import json
import re
import uuid
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.console import api, app
from services.console.accounts import Accounts, hashed
from services.console.app import create_app
from services.console.web import Upstream
from services.scoring import watch_queries
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.scoring.v1 import scoring_pb2

PASSWORD = "correct horse battery"
PEOPLE = (
    ("ann", "reviewer", ""),
    ("vic", "vendor", "app-one"),
    ("olga", "operator", ""),
    ("audrey", "auditor", ""),
)


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    found = Accounts(tmp_path_factory.mktemp("accounts") / "accounts.json")
    for name, role, source in PEOPLE:
        found.put(hashed(name, role, source, PASSWORD))
    return found


def application(services, accounts, scale=1e5):
    names = [field.name for field in fields(Upstream)]
    upstream = Upstream(**{name: getattr(services.stubs, name) for name in names})
    return create_app(upstream, accounts, services.clock, b"k" * 32, scale)


@pytest.fixture
def client(services, accounts):
    return application(services, accounts).test_client()


def token(client, path="/"):
    return re.search(r'name="csrf" value="([^"]+)"', client.get(path).get_data(as_text=True))[1]


def post(client, path, form=None, **named):
    return client.post(path, data={"csrf": token(client), **(form or {})}, **named)


def logged_in(client, name):
    form = {"csrf": token(client, "/login"), "name": name, "password": PASSWORD}
    assert client.post("/login", data=form).status_code == 303
    return client


def basic(name, password=PASSWORD):
    value = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {value}"}


def filing(number, **changes):
    return {
        "number": number,
        "request_id": uuid.uuid4().hex,
        "applicant_kind": "APPLICANT_KIND_PERSON",
        "ground": "DISPUTE_GROUND_OTHER",
        "statement": "不是我",
        **changes,
    }


def reason(answer):
    (detail,) = answer.get_json()["error"]["details"]
    return detail["reason"]


# ---- pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/contest", "/case", "/login", "/nowhere", "/api/v1/x"])
def test_every_answer_allows_nothing_from_elsewhere(client, path):
    headers = client.get(path).headers

    assert headers["Content-Security-Policy"] == app.POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "unsafe" not in app.POLICY


def test_no_page_names_another_host(client):
    for path in ("/", "/contest", "/login"):
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', client.get(path).text)


def test_a_form_without_its_token_is_refused(client, number):
    assert client.post("/number", data={"number": number}).status_code == 403
    assert client.post("/number", data={"number": number, "csrf": "x"}).status_code == 403
    assert post(client, "/number", {"number": number}).status_code == 200


def test_a_number_that_is_none_is_told_in_words(client):
    answer = post(client, "/number", {"number": "12"})

    assert answer.status_code == 400
    assert "这不是有效的电话号码" in answer.text


def test_the_language_is_the_browsers_until_chosen(client):
    first = client.get("/", headers={"Accept-Language": "en"}).text
    post(client, "/settings", {"lang": "zh", "to": "/"})
    then = client.get("/", headers={"Accept-Language": "en"}).text

    assert 'lang="en"' in first
    assert 'lang="zh-CN"' in then


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", ""]
)
def test_no_form_sends_a_visitor_elsewhere(client, to):
    settings_ = post(client, "/settings", {"lang": "zh", "to": to})
    form = {"csrf": token(client), "name": "ann", "password": PASSWORD, "to": to}
    login = client.post("/login", data=form)

    for answer in (settings_, login):
        assert re.fullmatch(r"/(?![/\\]).*", answer.headers["Location"])


ALLOWED = {
    "/queue": {"ann", "vic", "audrey"},
    "/numbers": {"ann", "audrey"},
    "/sources": {"ann", "vic", "olga", "audrey"},
    "/sample": {"ann", "audrey"},
    "/consumers": {"ann", "olga", "audrey"},
    "/taxonomy": {"ann", "vic", "olga", "audrey"},
    "/outbox": {"olga"},
    "/health": {"ann", "olga", "audrey"},
    "/audit": {"audrey"},
}


def test_the_health_page_warns_of_the_drift_of_the_active_model(services, client):
    listed = services.stubs.scoring.ListModels(scoring_pb2.ListModelsRequest(name="risk")).models
    version = next(model.version for model in listed if model.active)
    operator = logged_in(client, "olga")
    before = operator.get("/health").get_data(as_text=True)
    watch_queries.insert_drift(
        services.store, 1, version, ("marks_count", ""), np.array([0.4, 0.31]), found_ms=0
    )

    page = operator.get("/health").get_data(as_text=True)

    assert "marks_count" not in before
    assert re.search(r'class="tile warn">.{0,200}0\.310 · marks_count 0\.40', page)


@pytest.mark.parametrize("path", ALLOWED)
def test_a_page_opens_for_its_roles_alone(services, accounts, path):
    app = application(services, accounts)
    opened = {
        name
        for name, _, _ in PEOPLE
        if logged_in(app.test_client(), name).get(path).status_code == 200
    }

    assert opened == ALLOWED[path]
    assert app.test_client().get(path).status_code == 302


def test_a_vendor_may_not_decide(services, client, number):
    filed = client.post("/api/v1/disputes", json=filing(number)).get_json()
    vendor = logged_in(client, "vic")
    path = f"/disputes/{filed['dispute']['dispute_id']}"

    answers = [post(vendor, f"{path}/{action}").status_code for action in ("decide", "opinion")]

    assert answers == [403, 403]
    assert vendor.get(path).status_code == 403


def test_a_wrong_password_is_refused_and_soon_limited(services, accounts):
    client = application(services, accounts, scale=1).test_client()
    form = {"csrf": token(client, "/login"), "name": "ann", "password": "wrong wrong"}

    answers = [client.post("/login", data=form).status_code for _ in range(7)]

    assert answers == [401] * 6 + [429]


def test_a_session_from_before_the_log_in_is_not_ours_after(client):
    before = token(client, "/login")

    logged_in(client, "ann")

    assert client.post("/logout", data={"csrf": before}).status_code == 403


def test_lookups_are_limited_by_address(services, accounts, number):
    client = application(services, accounts, scale=1).test_client()

    answers = [client.get(f"/api/v1/reputations/{number}").status_code for _ in range(21)]

    assert answers == [200] * 20 + [429]


def test_a_privileged_read_is_recorded(services, client, number):
    reviewer = logged_in(client, "ann")
    before = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest()).event_count

    assert post(reviewer, "/numbers", {"number": number}).status_code == 200

    after = services.stubs.disputes.VerifyAudit(pb.VerifyAuditRequest())
    assert after.event_count > before
    assert after.intact
    found = services.store.query("SELECT count() AS n FROM dispute_events WHERE actor = 'ann'")
    assert found["n"][0].as_py() > 0


def test_a_paper_is_saved_and_never_shown_as_a_page(services, client, number):
    case_number = client.post("/api/v1/disputes", json=filing(number)).get_json()["case_number"]
    services.stubs.disputes.AddEvidence(
        pb.AddEvidenceRequest(
            case_number=case_number,
            kind=pb.EVIDENCE_KIND_OTHER,
            content=b"%PDF-1.4",
            media_type="application/pdf",
        )
    )
    reviewer = logged_in(client, "ann")

    answer = reviewer.get(f"/disputes/{case_number.split('-')[0]}/papers/1")

    assert answer.data == b"%PDF-1.4"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_what_people_write_is_shown_as_text(services, client, number):
    statement = "<script>alert(1)</script>"
    filed = client.post("/api/v1/disputes", json=filing(number, statement=statement)).get_json()
    reviewer = logged_in(client, "ann")

    page = reviewer.get(f"/disputes/{filed['dispute']['dispute_id']}").text

    assert statement not in page
    assert "&lt;script&gt;" in page


# ---- JSON -------------------------------------------------------------------------------------


def test_a_lookup_answers_with_the_services_own_fields(client, number):
    answer = client.get(f"/api/v1/reputations/{number}").get_json()

    assert answer["number"] == number
    assert answer["state"] == "REPUTATION_STATE_UNKNOWN"
    assert answer["level"] == 0


def test_an_error_has_the_shape_of_a_status_with_its_reason(client):
    answer = client.get("/api/v1/reputations/12")

    error = answer.get_json()["error"]
    assert answer.status_code == error["code"] == 400
    assert error["status"] == "INVALID_ARGUMENT"
    assert reason(answer) == "NUMBER_INVALID"
    assert error["details"][0]["metadata"]["field"] == "number"


def test_a_batch_needs_an_account_and_keeps_its_order(client, number):
    body = {"numbers": [number, "12", "95588"]}

    without = client.post("/api/v1/reputations:batchGet", json=body)
    wrong = client.post(
        "/api/v1/reputations:batchGet", json=body, headers=basic("ann", "wrong wrong")
    )
    right = client.post("/api/v1/reputations:batchGet", json=body, headers=basic("ann"))

    assert [without.status_code, wrong.status_code, right.status_code] == [401, 401, 200]
    results = right.get_json()["results"]
    assert results[0]["reputation"]["number"] == number
    assert results[1]["error"]["code"] == 3
    assert results[2]["reputation"]["number"] == "95588"


def test_a_vendor_sends_marks_of_its_own_source_and_follows_them(services, client, number):
    mark = {"mark_id": uuid.uuid4().hex, "number": number, "label": "贷款",
            "occurred_time": "2026-09-20T10:00:00Z"}  # fmt: skip
    headers = basic("vic")

    sent = client.post("/api/v1/marks", json={"marks": [mark]}, headers=headers)
    others = client.post(
        "/api/v1/marks", json={"source": "app-two", "marks": [mark]}, headers=headers
    )
    status = client.post(
        "/api/v1/marks:getStatus", json={"mark_ids": [mark["mark_id"]]}, headers=headers
    )
    reviewer = client.post("/api/v1/marks", json={"marks": [mark]}, headers=basic("ann"))

    assert sent.get_json()["results"][0]["outcome"] == "ITEM_OUTCOME_COMMITTED"
    assert [others.status_code, reviewer.status_code] == [403, 403]
    assert status.get_json()["statuses"][0]["standing"] == "MARK_STANDING_COUNTED"


def test_a_dispute_is_filed_and_followed(client, number):
    filed = client.post("/api/v1/disputes", json=filing(number)).get_json()
    body = {"case_number": filed["case_number"]}

    followed = client.post("/api/v1/disputes:get", json=body).get_json()
    withdrawn = client.post("/api/v1/disputes:withdraw", json=body).get_json()
    by_id = client.post(
        "/api/v1/disputes:get", json={"dispute_id": followed["dispute_id"], "reader": "ann"}
    )

    assert followed["state"] == "DISPUTE_STATE_ACKNOWLEDGED"
    assert withdrawn["state"] == "DISPUTE_STATE_WITHDRAWN"
    assert by_id.status_code == 400


def test_many_disputes_are_answered_one_by_one(client, number):
    body = {"disputes": [filing(number), filing("12"), filing(number)]}

    answer = client.post("/api/v1/disputes:batchFile", json=body, headers=basic("vic"))

    results = answer.get_json()["results"]
    assert results[0]["filed"]["case_number"]
    assert [results[i]["error"]["details"][0]["reason"] for i in (1, 2)] == [
        "NUMBER_INVALID",
        "DISPUTE_IN_FLIGHT",
    ]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"nothing": 1}', b'{"number": 1}'])
def test_a_body_that_is_not_the_methods_json_is_refused(client, body):
    answer = client.post("/api/v1/disputes", data=body)

    assert answer.status_code == 400
    assert reason(answer) in ("BODY_INVALID", "NUMBER_INVALID")


def test_the_description_names_exactly_the_paths_there_are(services, accounts):
    app = application(services, accounts)
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule).removeprefix("/api/v1"), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    described = {
        (path, method) for path, item in api.description()["paths"].items() for method in item
    }

    assert routes == described


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "number",
        "numbers",
        "marks",
        "mark_ids",
        "disputes",
        "case_number",
        "code",
        "statement",
        "request_id",
        "ground",
        "applicant_kind",
        "source",
        "region",
        "occurred_time",
    ]  # fmt: skip
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(sorted(api.description()["paths"])),
    body=st.dictionaries(FIELDS, JSON, max_size=5),
    number=st.text(min_size=1, max_size=20),
    name=st.sampled_from(["ann", "vic", "nobody"]),
)
def test_no_body_is_answered_but_as_described(client, path, body, number, name):
    item = api.description()["paths"][path]
    method = next(iter(item))
    described = {int(code) for code in item[method]["responses"]}
    url = "/api/v1" + path.replace("{number}", "".join(c for c in number if c.isalnum()) or "1")

    answer = client.open(url, method=method.upper(), data=json.dumps(body), headers=basic(name))

    assert answer.status_code in described
    assert isinstance(answer.get_json(), dict)
