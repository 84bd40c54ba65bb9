"""Notices as pages, over HTTP/JSON and as commands."""

import json

import pytest

from services.cli import notices as command
from services.cli.target import Target
from tests.dispute_calls import new_number
from tests.rpc.test_console_http import (  # noqa: F401 # accounts is a fixture
    accounts,
    application,
    filing,
    logged_in,
    post,
    reason,
)

HOOK = "https://hooks.example/zhengming"


@pytest.fixture
def client(services, accounts):  # noqa: F811
    return application(services, accounts).test_client()


@pytest.fixture
def case_number(client):
    answer = client.post("/api/v1/disputes", json=filing(new_number()))
    return answer.get_json()["case_number"]


def test_a_vendor_keeps_the_addresses_of_its_own_source(services, accounts, client):  # noqa: F811
    olga = logged_in(client, "olga")
    post(olga, "/notices", {"party": "source", "name": "app-two", "url": f"{HOOK}/two"})
    vic = logged_in(application(services, accounts).test_client(), "vic")

    added = post(
        vic,
        "/notices",
        {"party": "holder", "name": "某某银行", "url": f"{HOOK}/one"},
        follow_redirects=True,
    ).text
    target = added.split('name="target" value="')[1].split('"')[0]
    page = vic.get(f"/notices/{target}")
    removed = post(
        vic, "/notices", {"target": target, "action": "remove"}, follow_redirects=True
    ).text

    assert "app-one" in added
    assert f"{HOOK}/one" in added
    assert "某某银行" not in added
    assert f"{HOOK}/two" not in added
    assert page.status_code == 200
    assert f"{HOOK}/one" not in removed


def test_the_operator_sees_and_adds_addresses_and_a_reviewer_does_not(services, accounts, client):  # noqa: F811
    olga = logged_in(client, "olga")
    added = post(
        olga,
        "/notices",
        {"party": "holder", "name": "某某公司", "url": HOOK},
        follow_redirects=True,
    ).text
    ann = logged_in(application(services, accounts).test_client(), "ann")

    assert "whsec_" in added
    assert "某某公司" in olga.get("/notices").text
    assert ann.get("/notices").status_code == 403
    assert (
        "公网的 https 地址"
        in post(
            olga, "/notices", {"name": "a", "url": "ftp://a.example/"}, follow_redirects=True
        ).text
    )


def test_an_applicant_adds_and_removes_an_address_on_the_cases_page(client, case_number):
    post(client, "/case", {"case_number": case_number})
    added = post(client, "/case/notices", {"url": HOOK}, follow_redirects=True).text
    target = added.split('name="target" value="')[1].split('"')[0]
    removed = post(client, "/case/notices", {"target": target}, follow_redirects=True).text

    assert "whsec_" in added
    assert HOOK in added
    assert HOOK not in removed


def test_a_case_is_subscribed_to_over_http(client, case_number):
    answer = client.post(
        "/api/v1/disputes:subscribe", json={"case_number": case_number, "url": HOOK}
    )
    wrong = client.post("/api/v1/disputes:subscribe", json={"case_number": case_number, "url": "x"})
    nobody = client.post(
        "/api/v1/disputes:subscribe",
        json={"source": "app-one", "url": HOOK, "created_by": "me"},
    )

    assert answer.get_json()["party"] == "NOTICE_PARTY_APPLICANT"
    assert answer.get_json()["signing_secret"].startswith("whsec_")
    assert reason(wrong) == "NOTICE_URL_REFUSED"
    assert reason(nobody) == "FIELD_REQUIRED"


def test_the_commands_add_list_and_remove(services, monkeypatch, capsys):
    monkeypatch.setattr(Target, "server", services.application.address)
    monkeypatch.setattr(Target, "as_json", True)

    command.add(HOOK, source="app-shell", holder="", who="olga")
    target = json.loads(capsys.readouterr().out)["target"]
    command.list_targets(who="olga")
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    command.retry(target, who="olga")
    command.remove(target, who="olga")

    assert next(t for t in listed if t["target_id"] == target)["name"] == "app-shell"
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {"begun_anew": 0}
