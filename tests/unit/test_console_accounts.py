"""Accounts and rate limits of the console."""

import stat

import pytest

from services.common.errors import InvalidArgument, ResourceExhausted
from services.common.quota import Limits, Rate
from services.console.accounts import Accounts, hashed

PASSWORD = "correct horse battery"
RATE = Rate("test", 3, 6)


def test_the_right_password_opens_and_nothing_else_does(tmp_path):
    accounts = Accounts(tmp_path / "a.json")
    accounts.put(hashed("ann", "reviewer", "", PASSWORD))

    assert accounts.check("ann", PASSWORD).role == "reviewer"
    assert accounts.check("ann", PASSWORD + " ") is None
    assert accounts.check("bo", PASSWORD) is None
    assert accounts.check("", "") is None


def test_the_file_holds_no_password_and_is_ours_alone(tmp_path):
    path = tmp_path / "deep" / "a.json"
    Accounts(path).put(hashed("ann", "reviewer", "", PASSWORD))

    assert PASSWORD not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_password_has_another_hash_each_time():
    first, second = (hashed("ann", "reviewer", "", PASSWORD) for _ in range(2))

    assert first.digest != second.digest


def test_a_changed_file_is_read_anew(tmp_path):
    one, other = Accounts(tmp_path / "a.json"), Accounts(tmp_path / "a.json")
    one.put(hashed("ann", "reviewer", "", PASSWORD))
    assert other.get("ann") is not None

    one.put(hashed("bo", "vendor", "app-one", PASSWORD))

    assert [name for name, _, _ in other.names()] == ["ann", "bo"]


@pytest.mark.parametrize(
    ("name", "role", "source", "password", "field"),
    [
        ("", "reviewer", "", PASSWORD, "name"),
        ("a b", "reviewer", "", PASSWORD, "name"),
        ("ann", "king", "", PASSWORD, "role"),
        ("ann", "vendor", "", PASSWORD, "source"),
        ("ann", "reviewer", "app", PASSWORD, "source"),
        ("ann", "reviewer", "", "short", "password"),
    ],
)
def test_an_account_that_is_not_sound_is_refused(name, role, source, password, field):
    with pytest.raises(InvalidArgument) as caught:
        hashed(name, role, source, password)

    assert caught.value.metadata["field"] == field
    assert password not in str(caught.value)


def test_a_client_may_ask_in_bursts_and_then_steadily():
    now = [0]
    limits = Limits(lambda: now[0])
    for _ in range(3):
        limits.take(RATE, "a")

    with pytest.raises(ResourceExhausted) as caught:
        limits.take(RATE, "a")
    now[0] += 10_000
    limits.take(RATE, "a")

    assert caught.value.metadata["retry_after_s"] == "11"
    with pytest.raises(ResourceExhausted):
        limits.take(RATE, "a")
    limits.take(RATE, "b")
