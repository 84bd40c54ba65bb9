"""A batch is judged without the numbers that make it fail, and these are named."""

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import FailedPrecondition, Unavailable
from services.reputation import poison
from services.reputation.poison import judge_apart


class Refused(grpc.RpcError):
    """What a stub raises."""

    def __init__(self, code):
        super().__init__()
        self._code = code

    def code(self):
        return self._code


class Judge:
    """Answers with the numbers, and fails where one of the bad ones is among them."""

    def __init__(self, bad, error=None):
        self._bad, self._error = set(bad), error or Refused(grpc.StatusCode.INTERNAL)
        self.calls = 0

    def __call__(self, numbers):
        self.calls += 1
        if self._bad & set(numbers.tolist()):
            raise self._error
        return numbers.tolist()


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=200, unique=True), st.data())
def test_the_numbers_that_fail_are_named_and_the_others_are_judged(numbers, data):
    bad = data.draw(st.lists(st.sampled_from(numbers), max_size=4, unique=True))

    found, culprits = judge_apart(Judge(bad), np.sort(np.array(numbers)))

    assert culprits.tolist() == sorted(bad)
    assert (found or []) == sorted(set(numbers) - set(bad))


def test_one_of_five_thousand_costs_two_dozen_attempts():
    judge = Judge([4_321])

    judge_apart(judge, np.arange(5_000))

    assert judge.calls <= 2 + 2 * 13


@pytest.mark.parametrize(
    "error",
    [
        Refused(grpc.StatusCode.UNAVAILABLE),
        Refused(grpc.StatusCode.DEADLINE_EXCEEDED),
        Refused(grpc.StatusCode.FAILED_PRECONDITION),
        Unavailable("STORE_UNAVAILABLE", "gone"),
        FailedPrecondition("JOB_NOT_RUN", "no run"),
    ],
)
def test_what_may_pass_is_not_searched(error):
    judge = Judge([1], error)

    with pytest.raises(type(error)) as failed:
        judge_apart(judge, np.arange(10))

    assert failed.value is error
    assert judge.calls == 1


def test_what_fails_for_all_is_no_poison():
    judge = Judge(range(5_000), ValueError("a bug"))

    with pytest.raises(ValueError, match="a bug"):
        judge_apart(judge, np.arange(5_000))

    assert judge.calls <= poison.FAILURES + 2


def test_numbers_that_fail_only_together_are_judged_apart_the_next_time():
    judge = Judge([])
    tries = iter([Refused(grpc.StatusCode.INTERNAL)])

    def once(numbers):
        for error in tries:
            raise error
        return judge(numbers)

    found, culprits = judge_apart(once, np.arange(4))

    assert (found, culprits.tolist()) == ([0, 1, 2, 3], [])
