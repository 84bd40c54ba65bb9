"""The tables of referrals on both engines."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import services.arbitration
import services.features
import services.ingest
import services.reputation
from services.arbitration.referrals import queries
from services.arbitration.referrals.referral import Disposition
from services.common.migrate import migrate

FRAUD, LOANS, PRANKS = 1100, 3101, 2200
ESTABLISHED, PROVISIONAL, ADJUDICATED = 3, 2, 6


@pytest.fixture
def store(either):
    for service in (
        services.arbitration,
        services.features,
        services.ingest,
        services.reputation,
    ):
        folder = Path(service.__file__).parent
        migrate(either, folder.name, folder / "schema", clock=lambda: 0)
    return either


def published(store, version, *rows):
    """Rows of (number, category, state, level, epoch)."""
    count = len(rows)
    number, category, state, level, epoch = (list(column) for column in zip(*rows, strict=True))
    store.insert(
        "published",
        {
            "lineage": np.zeros(count, np.uint64),
            "number": np.array(number, np.int64),
            "version": np.full(count, version, np.uint64),
            "category": np.array(category, np.uint16),
            "probability": np.full(count, 0.9, np.float32),
            "level": np.array(level, np.uint8),
            "state": np.array(state, np.uint8),
            "epoch": np.array(epoch, np.uint32),
            "mark_count": np.full(count, 7, np.uint32),
            "update_ms": np.full(count, version * 10, np.int64),
        },
    )
    store.insert("versions", {"lineage": [0], "version": [version], "publish_ms": [version * 10]})


def refer(store, request_id, *rows, drawn_ms=100):
    """Rows of (referral_id, number, epoch, category, authority)."""
    count = len(rows)
    names, number, epoch, category, authority = (list(c) for c in zip(*rows, strict=True))
    queries.insert_referrals(
        store,
        {
            "referral_id": names,
            "request_id": [request_id] * count,
            "number": np.array(number, np.int64),
            "epoch": np.array(epoch, np.uint32),
            "category": np.array(category, np.uint16),
            "authority": authority,
            "level": np.full(count, 4, np.uint8),
            "drawn_ms": np.full(count, drawn_ms, np.int64),
        },
    )


def answer(store, referral_id, disposition, recorded_ms, text=""):
    row = {
        "referral_id": referral_id,
        "number": 1,
        "disposition": int(disposition),
        "disposed_ms": recorded_ms - 1,
        "text": text,
        "recorded_by": "ann",
        "recorded_ms": recorded_ms,
    }
    queries.insert_feedback(store, [row])


def test_settled_labels_of_the_categories_are_drawn_gravest_first(store):
    published(
        store,
        1,
        (1, FRAUD, PROVISIONAL, 4, 0),
        (2, FRAUD, ESTABLISHED, 4, 0),
        (3, PRANKS, ADJUDICATED, 3, 0),
        (4, LOANS, ESTABLISHED, 2, 0),
        (5, FRAUD, ESTABLISHED, 4, 0),
    )
    published(store, 2, (5, 0, 1, 0, 0), (1, FRAUD, ADJUDICATED, 4, 0))

    found = queries.candidates(store, [FRAUD, PRANKS], 10)
    first = queries.candidates(store, [FRAUD, PRANKS], 1)

    assert found["number"].to_pylist() == [1, 2, 3]
    assert found["last_version"].to_pylist() == [2, 1, 1]
    assert first["number"].to_pylist() == [1]


def test_rows_of_a_version_that_was_never_published_are_not_drawn(store):
    published(store, 1, (1, 0, 1, 0, 0))
    store.insert(
        "published",
        {
            "lineage": pa.array([0], pa.uint64()),
            "number": [1],
            "version": pa.array([2], pa.uint64()),
            "category": pa.array([FRAUD], pa.uint16()),
            "state": pa.array([ESTABLISHED], pa.uint8()),
        },
    )

    assert queries.candidates(store, [FRAUD], 10).num_rows == 0


def test_what_was_referred_is_drawn_again_only_for_another_epoch_or_category(store):
    published(
        store,
        1,
        (1, FRAUD, ESTABLISHED, 4, 0),
        (2, FRAUD, ESTABLISHED, 4, 1),
        (3, PRANKS, ESTABLISHED, 3, 0),
    )
    refer(
        store,
        "a",
        ("RF1", 1, 0, FRAUD, "公安部"),
        ("RF2", 2, 0, FRAUD, "公安部"),
        ("RF3", 3, 0, FRAUD, "公安部"),
    )

    assert queries.candidates(store, [FRAUD, PRANKS], 10)["number"].to_pylist() == [2, 3]


def test_the_feedback_recorded_last_holds_and_the_others_are_kept(store):
    refer(store, "a", ("RF1", 1, 0, FRAUD, "公安部"), ("RF2", 2, 0, FRAUD, "公安部"))
    answer(store, "RF1", Disposition.CASE_OPENED, 200, "立案")
    answer(store, "RF1", Disposition.PENALISED, 300, "it's done")

    rows, total = queries.page(store, {}, None, 10)
    still_open, open_total = queries.page(store, {"open": True}, None, 10)

    assert total == 2
    assert [(r["referral_id"], r["disposition"], r["text"]) for r in rows] == [
        ("RF1", Disposition.PENALISED, "it's done"),
        ("RF2", 0, ""),
    ]
    assert [r["referral_id"] for r in still_open] == ["RF2"]
    assert open_total == 1
    assert [r["text"] for r in queries.feedback_of(store, ["RF1"])["RF1"]] == ["立案", "it's done"]
    assert queries.disposition_counts(store, "公安部") == [
        {"authority": "公安部", "disposition": 0, "referrals": 1},
        {"authority": "公安部", "disposition": int(Disposition.PENALISED), "referrals": 1},
    ]


def test_pages_follow_each_other_without_a_gap(store):
    refer(store, "a", *[(f"RF{i}", i, 0, FRAUD, "公安部") for i in range(1, 6)])
    refer(store, "b", ("RG", 9, 0, FRAUD, "工信部"), drawn_ms=200)
    seen, after = [], None
    while True:
        rows, total = queries.page(store, {}, after, 2)
        assert total == 6
        if not rows:
            break
        seen += [row["referral_id"] for row in rows]
        after = rows[-1]["drawn_ms"], rows[-1]["level"], rows[-1]["referral_id"]

    assert seen == ["RG", "RF1", "RF2", "RF3", "RF4", "RF5"]
    assert queries.drawn_counts(store, "a") == [("公安部", 5)]
    assert queries.referred(store, ["RG", "none"]) == {"RG": (9, "工信部")}


def test_a_draw_is_finished_by_its_record(store):
    before = queries.draw(store, "a")
    queries.insert_draw(store, "a", "ann", 7)

    assert before is None
    assert queries.draw(store, "a") == ("ann", 7)


def test_registrations_of_enterprises_alone_are_read(store):
    rows = [
        (1, "", "某公司", "C03", 0, 0),
        (0, "4001", "某中心", "C04", 0, 1 << 60),
        (2, "", "张三", "C00", 0, 0),
        (3, "", "某局", "C01", 0, 0),
        (4, "", "旧公司", "C03", 0, 50),
    ]
    number, prefix, holder, identity, start, end = (list(c) for c in zip(*rows, strict=True))
    store.insert(
        "registry",
        {
            "number": np.array(number, np.int64),
            "prefix": prefix,
            "holder": holder,
            "identity": identity,
            "valid_from_ms": np.array(start, np.int64),
            "valid_until_ms": np.array(end, np.int64),
        },
    )
    published(
        store, 1, (1, LOANS, ESTABLISHED, 2, 0), (2, FRAUD, PROVISIONAL, 4, 0), (3, LOANS, 3, 1, 0)
    )
    refer(store, "a", ("RF1", 1, 0, LOANS, "金融监管总局"))

    found = queries.enterprise_registrations(store, 100)

    assert sorted(found["holder"].to_pylist()) == ["某中心", "某公司"]
    assert queries.offending(store, [LOANS, FRAUD], 11).to_pylist() == [
        {"number": 1, "category": LOANS, "is_referred": 1}
    ]
    assert queries.offending(store, [LOANS, FRAUD], 10).num_rows == 0
    assert queries.offending(store, [LOANS, FRAUD], 11, [1, 3])["number"].to_pylist() == [1]
    assert queries.offending(store, [LOANS, FRAUD], 11, [2, 3]).num_rows == 0


def test_grave_signals_of_the_newest_run_are_read_and_victims_are_not(store):
    for run, as_of_ms, number in ((1, 50, 7), (2, 90, 8), (3, 200, 9)):
        store.insert(
            "signals",
            {
                "run": np.full(3, run, np.uint64),
                "number": np.array([number, number + 10, number + 20], np.int64),
                "code": ["B06", "B05", "B09"],
                "victim": np.array([0, 0, 1], np.uint8),
            },
        )
        store.insert(
            "feature_runs",
            {"run": np.array([run], np.uint64), "as_of_ms": np.array([as_of_ms], np.int64)},
        )

    assert queries.signalled(store, ["B06", "B09"], 100) == [8]
    assert queries.signalled(store, ["B06"], 10) == []
