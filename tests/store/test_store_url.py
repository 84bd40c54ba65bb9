"""Which store a URL names."""

import pytest

from services.common.errors import InvalidArgument
from services.common.store import open_store


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chdb",
        "chdb:",
        "chdb:/tmp/x?table=y",
        "chdb:/tmp/x?database=a b",
        "clickhouse://",
        "clickhouse:///zhengming",
        "clickhouse://host:port/zhengming",
        "clickhouse://host:99999/zhengming",
        "clickhouse://host:9000/a-b",
        "clickhouse://host:9000,other:9000/zhengming",
        "clickhouse://host:9000,/zhengming?cluster=c",
        "clickhouse://host:9000,other:x/zhengming?cluster=c",
        "clickhouse://host:9000/a?compress=1",
        "postgres://host/zhengming",
    ],
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        open_store(url)

    assert caught.value.reason == "STORE_URL_INVALID"
    assert caught.value.metadata == {"url": url}


def test_the_refusal_of_a_url_does_not_repeat_its_password() -> None:
    with pytest.raises(InvalidArgument) as caught:
        open_store("clickhouse://user:hunter2@host:port/zhengming")

    assert "hunter2" not in str(caught.value)
    assert caught.value.metadata == {"url": "clickhouse://…@host:port/zhengming"}
