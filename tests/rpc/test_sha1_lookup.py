"""Lookup by the SHA-1 of a mobile number's digits, over HTTP before real services."""

import hashlib
import threading
import time
import uuid

import pytest

from services.console.accounts import Accounts, hashed
from tests.rpc.test_console_http import PASSWORD, application, basic, reason
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

PATH = "/api/v1/reputations:searchSha1"
DEADLINE_S = 120
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    found = Accounts(tmp_path_factory.mktemp("accounts") / "accounts.json")
    found.put(hashed("vic", "vendor", "app-one", PASSWORD))
    found.put(hashed("ann", "reviewer", "", PASSWORD))
    return found


@pytest.fixture
def client(services, accounts):
    return application(services, accounts).test_client()


def sha1(number):
    return hashlib.sha1(number.removeprefix("+86").encode()).hexdigest()


def published(services, number):
    """A number of which eight people say the same, once that is published."""
    marks = [
        ingest_pb2.Mark(
            mark_id=uuid.uuid4().hex, number=number, label="贷款", reporter=uuid.uuid4().hex
        )
        for _ in range(8)
    ]
    for mark in marks:
        mark.occurred_time.FromMilliseconds(services.clock.now_ms - DAY_MS)
    services.stubs.ingest.SubmitMarks(ingest_pb2.SubmitMarksRequest(source="app-one", marks=marks))
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    asked = reputation_pb2.GetReputationRequest(number=number)
    while (found := services.stubs.reputation.GetReputation(asked)).mark_count < len(marks):
        assert time.monotonic() < until, f"never published: {found}"
        pause.wait(0.02)
    return found


def ask(client, prefix, name="vic"):
    return client.post(PATH, json={"sha1_prefix": prefix}, headers=basic(name))


def entries(client, prefix):
    answer = ask(client, prefix)
    assert answer.status_code == 200, answer.text
    return {each["sha1"]: each["reputation"] for each in answer.get_json()["entries"]}


def test_a_hash_is_answered_with_what_is_published_of_its_number(services, client):
    number = "+8613800200001"
    known = published(services, number)

    found = entries(client, sha1(number))

    plain = client.get(f"/api/v1/reputations/{number}").get_json()
    assert list(found) == [sha1(number)]
    assert found[sha1(number)] == {**plain, "number": ""}
    assert int(plain["mark_count"]) == known.mark_count == 8


def test_a_prefix_in_any_letters_is_answered_with_all_that_begin_so(services, client):
    number = "+8613800200002"
    published(services, number)

    found = entries(client, sha1(number)[:4].upper())

    assert sha1(number) in found
    assert all(each.startswith(sha1(number)[:4]) for each in found)


def test_a_hash_of_which_nothing_is_published_has_no_entry_and_the_same_size(services, client):
    published(services, "+8613800200003")

    none = ask(client, sha1("+8613800299999"))
    one = ask(client, sha1("+8613800200003"))

    assert none.get_json()["entries"] == []
    assert len(one.get_json()["entries"]) == 1
    assert len(none.data) == len(one.data) == 4096


def test_what_is_published_later_is_found_by_the_same_console(services, client):
    early, late = "+8613800200004", "+8613800200005"
    published(services, early)
    before = entries(client, sha1(late))

    published(services, late)
    services.clock.now_ms += 3_000

    assert before == {}
    assert list(entries(client, sha1(late))) == [sha1(late)]
    assert list(entries(client, sha1(early))) == [sha1(early)]


@pytest.mark.parametrize("prefix", ["", "abc", "xyzw", "0" * 41, "00 f", 1234, None])
def test_what_is_no_prefix_of_sixteen_bits_is_refused(client, prefix):
    answer = ask(client, prefix)

    assert answer.status_code == 400
    assert reason(answer) == "FIELD_OUT_OF_RANGE"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"sha1_prefix":"0000","more":1}'])
def test_another_body_is_refused(client, body):
    answer = client.post(PATH, data=body, headers=basic("vic"), content_type="application/json")

    assert answer.status_code == 400
    assert reason(answer) == "BODY_INVALID"


def test_only_vendors_may_ask_and_not_without_end(services, accounts, client):
    strict = application(services, accounts, scale=0.1).test_client()

    nobody = client.post(PATH, json={"sha1_prefix": "0000"})
    reviewer = ask(client, "0000", "ann")
    answers = [ask(strict, "0000") for _ in range(3)]

    assert [nobody.status_code, reviewer.status_code] == [401, 403]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
