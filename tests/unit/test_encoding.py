"""Answers put together from pieces are the messages built field by field."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import rpc
from services.common.errors import DomainError, InvalidArgument
from services.common.numbering import parse
from services.common.taxonomy import standard
from services.common.wire import MAKING, category_code
from services.reputation import encoding, texts
from services.reputation.currency import Currency
from services.reputation.lookup import LookupServicer
from services.reputation.packets import read_batch
from services.reputation.published.packing import NAMES, Columns, rounded
from services.reputation.published.table import of_columns
from services.reputation.snapshot import Snapshot
from zhengming.reputation.v1 import reputation_pb2 as pb

CATEGORIES = [0, *sorted(c.id for c in standard.load().categories)[:12], 3101, 1100]
SHORT, SMS, RELAY = 2 << 60, 3 << 60, 4 << 60
E164 = 1 << 60
KEYS = [
    *(E164 + 8613800138000 + i for i in range(6)),
    E164 + 861062671188,
    E164 + 12025550100,
    SHORT + 9558800,
    SMS + 575012345,
    E164 + 8617012345678,
]

times_s = st.one_of(
    st.just(0), st.integers(1, 2**32 - 1), st.integers(1_700_000_000, 1_800_000_000)
)
rows = st.fixed_dictionaries(
    {
        "version": st.integers(1, 2**40),
        "category": st.sampled_from(CATEGORIES),
        "probability": st.floats(0, 1, width=32),
        "categories": st.lists(st.sampled_from(CATEGORIES), min_size=5, max_size=5),
        "probabilities": st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
        "risk": st.floats(0, 1, width=32),
        "level": st.integers(0, 4),
        "state": st.integers(1, 8),
        "rule": st.sampled_from(["", "crowd@1", "r" * 300]),
        "effective_sources": st.floats(0, 5000, width=32),
        "mark_count": st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)),
        "former_mark_count": st.integers(0, 2**32 - 1),
        "first_mark_ms": times_s.map(lambda s: s * 1000),
        "last_mark_ms": times_s.map(lambda s: s * 1000),
        "reasons": st.sampled_from(["", "MARKS_AGREE", "BEHAVIOUR;a;b", "x" * 200]),
        "epoch": st.integers(0, 2**31 - 1),
        "update_ms": st.integers(1, 2**41),
        "model_version": st.sampled_from(["", "1"]),
    }
)
tables = st.dictionaries(st.sampled_from(KEYS), rows, max_size=8)


def columns_of(table) -> Columns:
    columns: Columns = {"number": np.array(sorted(table), dtype=np.int64)}
    for name in NAMES[1:]:
        values = [table[key][name] for key in sorted(table)]
        if name in ("rule", "reasons", "model_version"):
            columns[name] = np.array([*values, None], dtype=object)[:-1]
        elif name in ("categories", "probabilities"):
            columns[name] = np.array(values).reshape(len(values), 5)
        else:
            columns[name] = np.array(values)
    return columns


def expected(number: str, row) -> pb.Reputation:
    """The message, field by field."""
    if row is None:
        return pb.Reputation(
            number=number, state=pb.REPUTATION_STATE_UNKNOWN, max_age_s=encoding.SHORT_AGE_S
        )
    code, state = category_code(row["category"]), row["state"]
    by_marks = state not in (pb.REPUTATION_STATE_PROTECTED, pb.REPUTATION_STATE_ADJUDICATED)
    zh, en = texts.display(
        code, row["mark_count"] if by_marks else 0, disputed=state == pb.REPUTATION_STATE_DISPUTED
    )
    soon = (
        pb.REPUTATION_STATE_UNKNOWN, pb.REPUTATION_STATE_CONTESTED, pb.REPUTATION_STATE_DISPUTED
    )  # fmt: skip
    message = pb.Reputation(
        number=number, state=state, level=row["level"], risk=row["risk"], category=code,
        probability=row["probability"], reasons=row["reasons"].split(";") if row["reasons"] else (),
        effective_sources=row["effective_sources"], mark_count=row["mark_count"],
        display_text_zh=zh, display_text_en=en, epoch=row["epoch"], version=row["version"],
        model_version=row["model_version"], rule=row["rule"],
        max_age_s=encoding.SHORT_AGE_S if state in soon else encoding.MAX_AGE_S,
    )  # fmt: skip
    for category, share in zip(row["categories"], row["probabilities"], strict=True):
        if category and share >= encoding.MIN_SHARE:
            message.distribution.add(category=category_code(category), probability=share)
    if row["last_mark_ms"]:
        message.first_mark_time.FromMilliseconds(row["first_mark_ms"])
        message.last_mark_time.FromMilliseconds(row["last_mark_ms"])
    message.update_time.FromMilliseconds(row["update_ms"])
    message.expire_time.FromMilliseconds(row["update_ms"] + encoding.EXPIRY_MS)
    return message


def by_key(columns: Columns):
    names = [name for name in NAMES if name != "number"]
    found = zip(*(columns[name].tolist() for name in names), strict=True)
    return dict(
        zip(
            columns["number"].tolist(),
            (dict(zip(names, r, strict=True)) for r in found),
            strict=True,
        )
    )


class Fixed:
    def __init__(self, snapshot):
        self.snapshot, self.currency = snapshot, Currency()


@settings(deadline=None, max_examples=150)
@given(tables, tables, st.lists(st.sampled_from([*KEYS, 0]), min_size=1, max_size=20))
def test_a_batch_and_single_lookups_say_what_is_published(below, above, asked):
    layers = [rounded(columns_of(table)) for table in (above, below)]
    snapshot = Snapshot(7, layers=tuple(of_columns(columns) for columns in layers))
    model = by_key(layers[1]) | by_key(layers[0])
    texts_asked = [encoding.format_keys(np.array([key]))[0] if key else "12" for key in asked]
    request = pb.BatchGetReputationsRequest(numbers=texts_asked)

    answer = pb.BatchGetReputationsResponse.FromString(
        LookupServicer(Fixed(snapshot)).BatchGetReputations(request.SerializeToString(), None)
    )

    assert answer.version == 7
    for raw, key, result in zip(texts_asked, asked, answer.results, strict=True):
        if not key:
            assert rpc.from_status_proto(result.error).reason == "NUMBER_INVALID"
            continue
        assert result.reputation == expected(raw, model.get(key))
        one = pb.Reputation.FromString(encoding.encode_one(snapshot, key, raw))
        assert one == result.reputation
        bare = pb.Reputation.FromString(encoding.encode_one(snapshot, key, raw, making=False))
        for field in MAKING:
            one.ClearField(field)
        assert bare == one


mobiles = st.one_of(
    st.integers(13 * 10**9, 2 * 10**10 - 1).map(lambda n: f"+86{n}"),
    st.text(alphabet="+0123456789 a", min_size=14, max_size=14),
)


@settings(deadline=None)
@given(st.lists(mobiles, min_size=1, max_size=6), st.sampled_from(["", "CN", "US"]))
def test_a_batch_in_bytes_is_read_as_number_by_number(numbers, region):
    request = pb.BatchGetReputationsRequest(numbers=numbers, region=region)

    batch = read_batch(request.SerializeToString())

    assert batch.count == len(numbers)
    if batch.keys is None:
        assert [batch.text(place) for place in range(len(numbers))] == numbers
        assert batch.region == region
    else:
        assert batch.keys.tolist() == [parse(number).key for number in numbers]
        assert region == ""


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_empty_numbers_are_numbers_of_a_batch(count):
    batch = read_batch(pb.BatchGetReputationsRequest(numbers=[""] * count).SerializeToString())

    assert [batch.text(place) for place in range(batch.count)] == [""] * count


def test_mobile_numbers_in_wire_form_are_read_at_once():
    request = pb.BatchGetReputationsRequest(numbers=["+8613800138000", "+8619912345678"])

    assert read_batch(request.SerializeToString()).keys is not None


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_break_the_reading_of_a_batch(content):
    try:
        batch = read_batch(content)
    except InvalidArgument as error:
        assert error.metadata["field"] == "request"
        return
    servicer = LookupServicer(Fixed(Snapshot()))
    try:
        servicer.BatchGetReputations(content, None)
    except DomainError as error:
        assert error.reason in ("BATCH_SIZE_INVALID", "FIELD_OUT_OF_RANGE")
    assert batch.count >= 0


@pytest.mark.parametrize("marks", [0, 1, 9_999, 10_000, 2_097_151, 2_097_152])
def test_the_count_of_marks_is_shown_in_full(marks):
    table = {KEYS[0]: {**_plain(), "mark_count": marks, "category": 3101}}
    snapshot = Snapshot(1, layers=(of_columns(rounded(columns_of(table))),))

    content = encoding.encode_batch(snapshot, np.array(KEYS[:1]), {})

    (result,) = pb.BatchGetReputationsResponse.FromString(bytes(content)).results
    assert result.reputation.mark_count == marks
    assert (f"被{marks}人" in result.reputation.display_text_zh) == (marks > 0)


def _plain():
    return {
        "version": 1, "category": 0, "probability": 0.0, "categories": [0] * 5,
        "probabilities": [0.0] * 5, "risk": 0.0, "level": 0, "state": 3, "rule": "",
        "effective_sources": 0.0, "mark_count": 0, "former_mark_count": 0, "first_mark_ms": 0,
        "last_mark_ms": 0, "reasons": "", "epoch": 0, "update_ms": 1, "model_version": "",
    }  # fmt: skip
