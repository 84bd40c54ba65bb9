"""How notices are signed, when they are tried again, and where they may go."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arbitration.notices.addresses import is_public, place_of
from services.arbitration.notices.notice import (
    FIRST_DELAY_S,
    MAX_DELAY_S,
    MAX_TRIES,
    Notice,
    Party,
    State,
    Target,
    after_try,
    notice,
    shown_key,
    signed_headers,
    signing_key,
    target_id,
)
from services.common.errors import InvalidArgument

NOTICE = Notice("NT1", "WT1", "dispute.changed", "{}", 9, 5)
TARGET = Target("WT1", Party.SOURCE, "app-one", 0, "https://a.example/", "olga", 1)


def test_a_signature_is_that_of_the_published_example():
    """The example of Standard Webhooks' reference libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = signed_headers(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_a_signature_covers_id_time_and_body():
    first = signed_headers(b"k", "NT1", 7, b"{}")["webhook-signature"]

    others = [("NT2", 7, b"{}"), ("NT1", 8, b"{}"), ("NT1", 7, b"{ }")]
    assert first not in {signed_headers(b"k", *o)["webhook-signature"] for o in others}


def test_every_target_has_a_key_of_its_own_that_follows_from_the_secret():
    assert signing_key(b"s", "WT1") == signing_key(b"s", "WT1")
    assert signing_key(b"s", "WT1") != signing_key(b"s", "WT2")
    assert signing_key(b"s", "WT1") != signing_key(b"t", "WT1")
    assert base64.b64decode(shown_key(b"k" * 32).removeprefix("whsec_")) == b"k" * 32


def test_the_same_thing_told_again_is_the_same_notice():
    first = notice(b"s", TARGET, "dispute.changed", 9, 1_790_000_000_123, {"number": "+86138"})

    again = notice(b"s", TARGET, "dispute.changed", 9, 1_790_000_000_123, {"number": "+86138"})
    later = notice(b"s", TARGET, "dispute.changed", 10, 1_790_000_000_123, {"number": "+86138"})

    assert first == again
    assert first.notice_id != later.notice_id
    assert '"timestamp":"2026-09-21T14:13:20.123+00:00"' in first.body
    assert target_id(b"s", Party.SOURCE, "a", "u") != target_id(b"s", Party.HOLDER, "a", "u")


@given(tries=st.integers(1, MAX_TRIES), chance=st.floats(0, 1, exclude_max=True))
def test_waits_double_lie_in_their_upper_half_and_end(tries, chance):
    done = after_try(NOTICE, tries, tries, 503, "", 1_000, chance)

    if tries == MAX_TRIES:
        assert (done.state, done.due_ms, done.cause) == (State.DEAD, 0, "HTTP_503")
    else:
        full = min(FIRST_DELAY_S * 2 ** (tries - 1), MAX_DELAY_S) * 1000
        assert done.state is State.WAITING
        assert full / 2 - 1 <= done.due_ms - 1_000 <= full


@pytest.mark.parametrize(
    ("status", "cause", "state"),
    [
        (200, "", State.DELIVERED),
        (204, "", State.DELIVERED),
        (302, "", State.WAITING),
        (404, "", State.WAITING),
        (410, "", State.DEAD),
        (0, "TIMEOUT", State.WAITING),
    ],
)
def test_only_a_success_is_a_delivery_and_gone_is_the_end(status, cause, state):
    assert after_try(NOTICE, 1, 1, status, cause, 0, 0.5).state is state


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "ff02::1", "name",
    ],
)  # fmt: skip
def test_an_address_of_no_public_network_is_refused_however_it_is_wrapped(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "114.114.114.114", "2400:3200::1"])
def test_a_public_address_is_allowed(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://a.example/", "SCHEME"),
        ("ftp://a.example/", "SCHEME"),
        ("//a.example/", "SCHEME"),
        ("https:///x", "HOST"),
        ("https://a b.example/", "HOST"),
        ("https://a.example:99999/", "HOST"),
        ("https://a.example:0/", "PORT"),
        ("https://例.example/", "HOST"),
        ("https://u:p@a.example/", "CREDENTIALS"),
        ("https://@a.example/", "CREDENTIALS"),
        ("https://localhost/", "ADDRESS_NOT_PUBLIC"),
        ("https://db.internal/", "ADDRESS_NOT_PUBLIC"),
        ("https://db/", "ADDRESS_NOT_PUBLIC"),
        ("https://127.0.0.1/", "ADDRESS_NOT_PUBLIC"),
        ("https://[::1]/", "ADDRESS_NOT_PUBLIC"),
        ("https://[::ffff:10.0.0.1]/", "ADDRESS_NOT_PUBLIC"),
        ("https://a.example/\r\nx: y", "HOST"),
    ],
)
def test_a_url_that_leads_astray_is_refused_with_its_cause(url, cause):
    with pytest.raises(InvalidArgument) as caught:
        place_of(url, allow_private=False)

    assert caught.value.reason == "NOTICE_URL_REFUSED"
    assert caught.value.metadata["cause"] == cause


def test_a_url_is_taken_apart():
    assert place_of("https://a.example/h?x=1#f", False).path == "/h?x=1"
    assert place_of("https://a.example", False).port == 443
    assert place_of("http://127.0.0.1:81/", True).host == "127.0.0.1"


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_is_refused(text):
    for url in (text, f"https://{text}", f"https://a.example/{text}"):
        try:
            place = place_of(url, allow_private=False)
        except InvalidArgument:
            continue
        assert place.is_secure
        assert 0 < place.port < 65536
        assert "\n" not in place.path + place.host
