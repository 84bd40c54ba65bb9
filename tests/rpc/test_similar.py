"""FindSimilarNumbers and ListCampaigns over a small city."""

from datetime import UTC, date, datetime

import pytest

from services.cli import importing
from services.common import operations
from services.common.numbering import parse
from services.simulator.city import simulate
from tests.answers import failure
from tests.services_in_process import SetClock, import_city, in_process
from zhengming.features.v1 import features_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2

DAY_MS = 86_400_000
STRANGER = "+8613911112222"


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    simulate(numbers=3_000, days=30, seed=5, out=folder, end=date(2026, 6, 30))
    return folder


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, city, tmp_path_factory):
    folder = tmp_path_factory.mktemp("similar")
    clock = SetClock()
    clock.now_ms = int(datetime(2026, 6, 30, tzinfo=UTC).timestamp() * 1000)
    with in_process(chdb_path, folder, "similar", clock, follow=False) as running:
        import_city(running, city)
        build(running)
        yield running


@pytest.fixture(scope="module")
def empty(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("empty"), follow=False) as running:
        yield running


def build(running, as_of_ms=None):
    request, built = pb.BuildFeaturesRequest(), pb.BuildFeaturesResponse()
    if as_of_ms is not None:
        request.as_of_time.FromMilliseconds(as_of_ms)
    started = running.stubs.features.BuildFeatures(request)
    operations.wait(running.stubs.operations, started, built)
    return built


def similar(running, number, count=0):
    request = pb.FindSimilarNumbersRequest(number=number, max_results=count)
    return running.stubs.features.FindSimilarNumbers(request)


def campaigns(running, **fields):
    return running.stubs.features.ListCampaigns(pb.ListCampaignsRequest(**fields))


def behave(running, number, **columns):
    day = (running.clock.now_ms + 8 * 3_600_000) // DAY_MS - 1
    request = ingest_pb2.SubmitBehaviourRequest(carrier="CMCC", numbers=[number], days=[day])
    for name, value in columns.items():
        getattr(request, name).append(value)
    assert running.stubs.ingest.SubmitBehaviour(request).committed_count == 1


def touch(running, number):
    key = parse(number, "CN").key
    running.stubs.features.BatchGetFeatures(pb.BatchGetFeaturesRequest(number_keys=[key]))


def test_the_nearest_come_first_with_what_they_share_and_without_the_number(services):
    member = campaigns(services).campaigns[0].numbers[0]

    found = similar(services, member, 20)

    distances = [other.distance for other in found.numbers]
    assert len(distances) == 20
    assert distances == sorted(distances)
    assert member not in {other.number for other in found.numbers}
    assert found.indexed_count > 1_000
    assert found.campaign_id == campaigns(services).campaigns[0].campaign_id
    shared = [trait for other in found.numbers for trait in other.shared_traits]
    assert shared
    assert all(abs(trait.deviation) >= 1 for trait in shared)


def test_a_number_of_which_carriers_tell_after_the_run_is_found_and_finds(services):
    columns = {"calls_out": 500, "answered_out": 10, "distinct_callees": 500, "ring_only_out": 480}
    behave(services, STRANGER, **columns)
    behave(services, "+8613911113333", **columns)
    touch(services, STRANGER)

    found = similar(services, "+8613911113333", 3)

    assert found.numbers[0].number == STRANGER
    assert found.numbers[0].distance == pytest.approx(0, abs=1e-3)
    assert not found.numbers[0].same_block or STRANGER[:-4] == "+861391111"
    assert "ring_only_ratio" in {trait.feature for trait in found.numbers[0].shared_traits}


def test_a_number_without_behaviour_has_no_neighbours(services):
    assert failure(similar, services, "+8613711110000") == "NO_BEHAVIOUR"


@pytest.mark.parametrize("count", [-1, 101])
def test_a_count_out_of_range_is_refused(services, count):
    assert failure(similar, services, STRANGER, count) == "FIELD_OUT_OF_RANGE"


def test_a_word_is_no_number(services):
    assert failure(similar, services, "police") == "NUMBER_INVALID"
    assert failure(campaigns, services, number="police") == "NUMBER_INVALID"


def test_before_the_first_run_there_is_nothing_to_search_and_no_campaign(empty):
    assert failure(similar, empty, STRANGER) == "JOB_NOT_RUN"
    assert campaigns(empty) == pb.ListCampaignsResponse()


def test_campaigns_come_page_by_page_largest_first(services):
    whole = campaigns(services, page_size=100)
    pages, token = [], ""
    while True:
        page = campaigns(services, page_size=3, page_token=token)
        pages += page.campaigns
        token = page.next_page_token
        if not token:
            break

    assert [c.campaign_id for c in pages] == [c.campaign_id for c in whole.campaigns]
    assert whole.total_count == len(whole.campaigns) > 3
    sizes = [c.number_count for c in whole.campaigns]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= 3
    first = whole.campaigns[0]
    assert first.first_active_time.ToMilliseconds() <= first.last_active_time.ToMilliseconds()
    assert first.last_active_time.ToMilliseconds() < services.clock.now_ms


def test_the_campaign_of_a_number_is_found_and_others_have_none(services):
    of = campaigns(services, page_size=100).campaigns[-1]

    assert [c.campaign_id for c in campaigns(services, number=of.numbers[0]).campaigns] == [
        of.campaign_id
    ]
    assert not campaigns(services, number="+8613711110000").campaigns


@pytest.mark.parametrize("token", ["x", "1-1", "-", "1-x"])
def test_a_token_of_another_run_is_refused(services, token):
    assert failure(campaigns, services, page_token=token) == "PAGE_TOKEN_INVALID"


def test_campaigns_hold_bad_numbers_of_one_category_far_more_than_chance(services, city):
    truth = {}
    for _, table in importing.read_tables(city / "truth.csv"):
        for number, category, bad in zip(
            *(table[name].to_pylist() for name in ("number", "category", "bad")), strict=True
        ):
            truth[number] = category if bad == "1" else ""
    bad = [category for category in truth.values() if category]
    by_chance = sum((bad.count(c) / len(truth)) ** 2 for c in set(bad))

    pairs = [
        truth.get(first, "") == truth.get(second, "-")
        for campaign in campaigns(services, page_size=100).campaigns
        for i, first in enumerate(campaign.numbers)
        for second in campaign.numbers[:i]
        if truth.get(first, "")
    ]

    assert sum(pairs) / len(pairs) > 20 * by_chance


def test_a_run_over_the_past_leaves_neighbours_and_campaigns_alone(services):
    before = campaigns(services, page_size=100)

    build(services, services.clock.now_ms - 10 * DAY_MS)

    assert campaigns(services, page_size=100) == before
    member = before.campaigns[0].numbers[0]
    assert similar(services, member, 1).as_of_time == before.as_of_time
