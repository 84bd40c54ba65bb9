"""The bulletin of a month, over a small city that went the whole way, and over known rows."""

import re
from datetime import UTC, date, datetime

import pytest

from services.cli.report_bulletin import (
    MIN_TOLD,
    Share,
    VendorMonth,
    bulletin_page,
    ranked,
    read_bulletin,
)
from services.cli.report_periods import month_of
from services.cli.session import run_pipeline
from services.common.errors import InvalidArgument
from services.simulator.city import simulate
from tests.services_in_process import SetClock, import_city, in_process
from zhengming.arbitration.v1 import arbitration_pb2


@pytest.fixture(scope="module")
def city(chdb_engine, chdb_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bulletin")
    simulate(numbers=600, days=45, seed=3, out=folder / "city", end=date(2026, 7, 1))
    clock = SetClock()
    clock.now_ms = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp() * 1000)
    with in_process(chdb_path, folder, "bulletin", clock, follow=False) as running:
        import_city(running, folder / "city")
        run_pipeline(running.stubs, clock.now_ms, lambda step: None)
        yield running


@pytest.fixture(scope="module")
def june(city):
    return read_bulletin(city.store, *month_of("2026-06"))


def test_a_month_is_chinas():
    june, may = month_of("2026-06")

    assert june.start_ms == may.end_ms
    assert june.start_ms == int(datetime(2026, 5, 31, 16, tzinfo=UTC).timestamp() * 1000)
    assert month_of("2026-12")[0].end_ms == month_of("2027-01")[0].start_ms
    assert month_of("2027-01")[1].start_ms == month_of("2026-12")[0].start_ms


@pytest.mark.parametrize("name", ["2026", "2026-13", "2026-00", "26-10", "2026-1", ""])
def test_a_name_that_is_no_month_is_refused(name):
    with pytest.raises(InvalidArgument) as caught:
        month_of(name)

    assert caught.value.metadata["field"] == "month"


def test_shares_are_those_of_the_scorecards(city, june):
    for vendor in june.vendors:
        card = city.stubs.arbitration.GetScorecard(
            arbitration_pb2.GetScorecardRequest(source=vendor.name)
        )
        weeks = {w.week_time.ToMilliseconds(): w.accuracy for w in card.weeks if w.told_count}
        told = {start: share.value for start, share in vendor.weeks.items() if share.told}
        assert told == pytest.approx(weeks)
    assert any(vendor.month.told for vendor in june.vendors)


def test_the_months_weeks_alone_make_its_accuracy(june):
    for vendor in june.vendors:
        assert vendor.month.told <= sum(share.told for share in vendor.weeks.values())
        if vendor.month.told and vendor.before.told:
            both = vendor.month.told + vendor.before.told
            assert both <= sum(share.told for share in vendor.weeks.values()) + 1e-9


def test_ranks_go_by_the_lower_end_and_few_marks_have_none():
    def vendor(name, told, right):
        nothing = Share(0, 0)
        return VendorMonth(name, {}, Share(told, right), nothing, (), 0, 0, 0, 0)

    found = ranked(
        [
            vendor("few", MIN_TOLD - 1, MIN_TOLD - 1),
            vendor("small", 40, 38),
            vendor("large", 4000, 3780),
            vendor("bad", 4000, 2000),
        ]
    )

    assert [(v.name, v.rank) for v in found] == [
        ("large", 1), ("small", 2), ("bad", 3), ("few", 0),
    ]  # fmt: skip


def test_the_page_stands_alone_with_a_plot_for_every_vendor(june):
    text = bulletin_page(june, datetime(2026, 7, 2))

    assert "2026-06" in text
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", text)
    assert text.count("<polyline") == sum(
        any(share.told for share in vendor.weeks.values()) for vendor in june.vendors
    )
    assert all(vendor.name in text for vendor in june.vendors)


def test_a_vendors_own_copy_names_no_other(june):
    first, *others = [vendor.name for vendor in june.vendors]

    text = bulletin_page(june, datetime(2026, 7, 2), first)

    assert first in text
    assert not any(re.search(rf"\b{re.escape(name)}\b", text) for name in others)


def test_a_month_without_anything_is_a_page_too(chdb_store):
    found = read_bulletin(chdb_store, *month_of("2020-01"))

    assert found.vendors == []
    assert "没有数据" in bulletin_page(found, datetime(2026, 7, 2))
