"""What is set from outside."""

import pytest

from services.common.errors import InvalidArgument
from services.configuration import environment


@pytest.mark.parametrize("value", ["-1", "soon", "301", "nan"])
def test_an_impossible_drain_names_its_variable(value):
    with pytest.raises(InvalidArgument) as caught:
        environment({"ZHENGMING_DRAIN_S": value})

    assert caught.value.reason == "FIELD_OUT_OF_RANGE"
    assert caught.value.metadata["field"] == "ZHENGMING_DRAIN_S"


@pytest.mark.parametrize("value", ["0", "12.5", "300"])
def test_a_drain_is_read_in_seconds(value):
    assert environment({"ZHENGMING_DRAIN_S": value}).drain_s == float(value)
