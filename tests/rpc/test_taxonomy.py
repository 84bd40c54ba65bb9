"""TaxonomyService: the standard, the words of sources, and what a reviewer confirms of them."""

import uuid

import grpc
import pytest

from services.common import rpc
from tests.answers import lookup, lookup_when
from tests.dispute_calls import new_number
from tests.services_in_process import in_process
from zhengming.ingest.v1 import ingest_pb2
from zhengming.ingest.v1 import taxonomy_pb2 as pb


@pytest.fixture
def word():
    """A label that no crosswalk knows, unlike any of another test."""
    return f"贷款推广-{uuid.uuid4().hex}"


def mark(services, label, source="app-new", count=6):
    number = new_number()
    request = ingest_pb2.SubmitMarksRequest(source=source)
    for _ in range(count):
        item = request.marks.add(
            mark_id=uuid.uuid4().hex, number=number, label=label, reporter=uuid.uuid4().hex
        )
        item.occurred_time.FromMilliseconds(services.clock.now_ms - 60_000)
    services.stubs.ingest.SubmitMarks(request)
    return number


def confirm(services, label, category="A3101", source="app-new", every=False, reviewer="ann"):
    request = pb.ConfirmMappingRequest(
        source=source, label=label, every_source=every, reviewer=reviewer
    )
    if category:
        request.meanings.add(category=category, weight=1.0)
    return services.stubs.taxonomy.ConfirmMapping(request)


def unknown(services, source=""):
    return services.stubs.taxonomy.ListUnknownLabels(
        pb.ListUnknownLabelsRequest(source=source, page_size=500)
    )


def meanings(services, source, *labels):
    request = pb.MapLabelsRequest(source=source, labels=labels)
    answer = services.stubs.taxonomy.MapLabels(request)
    return [[m.category for m in result.meanings] for result in answer.results]


def test_the_standard_is_served_whole(services):
    found = services.stubs.taxonomy.GetStandard(pb.GetStandardRequest())

    by_code = {category.code: category for category in found.categories}
    assert by_code["A3107"].name_zh == "保险"
    assert by_code["A3107"].parent == "A3100"
    assert by_code["A1100"].severity == 4
    assert len(found.behaviours) >= 13
    assert len(found.identities) >= 9


def test_a_version_that_is_not_there_is_not_found(services):
    with pytest.raises(grpc.RpcError) as caught:
        services.stubs.taxonomy.GetStandard(pb.GetStandardRequest(version="0.0.1"))

    assert rpc.to_domain_error(caught.value).reason == "TAXONOMY_VERSION_UNKNOWN"


def test_labels_are_mapped_in_the_order_asked_and_an_unknown_one_is_an_answer(services, word):
    assert meanings(services, "app-new", "贷款", word, "A3107") == [["A3101"], [], ["A3107"]]


def test_an_unknown_label_waits_with_its_marks_and_suggestions(services, word):
    mark(services, word, count=3)

    (label,) = [row for row in unknown(services).labels if row.label == word]

    assert (label.source, label.mark_count, label.number_count) == ("app-new", 3, 1)
    assert label.suggestions[0].category.startswith("A31")
    assert 0 < label.suggestions[0].similarity <= 1


def test_the_queue_of_one_source_holds_its_labels_only(services, word):
    mark(services, word, source="app-other")

    found = unknown(services, "app-other")

    assert {row.source for row in found.labels} == {"app-other"}
    assert found.total_count == len(found.labels)


def test_a_confirmed_meaning_holds_for_marks_received_before(services, word):
    number = mark(services, word)
    lookup_when(services, number, lambda found: found.version > 0)
    assert lookup(services, number).category != "A3101"

    done = confirm(services, word)

    assert done.touched_number_count == 1
    assert done.scheme == "app-new"
    lookup_when(services, number, lambda found: found.category == "A3101")
    assert word not in {row.label for row in unknown(services).labels}


def test_a_confirmed_meaning_holds_for_marks_that_come_after(services, word):
    confirm(services, word)

    number = mark(services, word)

    lookup_when(services, number, lambda found: found.category == "A3101")


def test_a_meaning_is_the_sources_own_unless_it_holds_for_every_source(services, word):
    confirm(services, word)
    assert meanings(services, "app-second", word) == [[]]

    confirm(services, word, every=True)

    assert meanings(services, "app-second", word) == [["A3101"]]


def test_a_later_confirmation_replaces_an_earlier_one(services, word):
    number = mark(services, word)
    confirm(services, word, "A3101")
    lookup_when(services, number, lambda found: found.category == "A3101")
    services.clock.now_ms += 1000

    confirm(services, word, "A3107")

    lookup_when(services, number, lambda found: found.category == "A3107")
    listed = services.stubs.taxonomy.ListMappings(pb.ListMappingsRequest()).mappings
    assert [m.meanings[0].category for m in listed if m.label == word] == ["A3107", "A3101"]


def test_the_same_confirmation_again_changes_nothing(services, word):
    mark(services, word)
    confirm(services, word)

    again = confirm(services, word)

    assert again.touched_number_count == 0
    listed = services.stubs.taxonomy.ListMappings(pb.ListMappingsRequest()).mappings
    assert sum(m.label == word for m in listed) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"category": ""}, "MAPPING_INVALID"),
        ({"category": "A9999"}, "CATEGORY_UNKNOWN"),
        ({"reviewer": " "}, "FIELD_REQUIRED"),
        ({"source": "a b"}, "FIELD_OUT_OF_RANGE"),
    ],
)
def test_an_unsound_confirmation_is_refused(services, word, changes, reason):
    with pytest.raises(grpc.RpcError) as caught:
        confirm(services, word, **changes)

    assert rpc.to_domain_error(caught.value).reason == reason


def test_what_was_confirmed_outlives_a_restart(chdb_engine, chdb_path, tmp_path, word):
    with in_process(chdb_path, tmp_path, "rpc_mappings") as first:
        number = mark(first, word)
        confirm(first, word)
        lookup_when(first, number, lambda found: found.category == "A3101")

    with in_process(chdb_path, tmp_path, "rpc_mappings", first.clock) as again:
        other = mark(again, word)
        found = lookup_when(again, other, lambda found: found.category == "A3101")

    assert found.category == "A3101"
    chdb_engine.execute("DROP DATABASE IF EXISTS rpc_mappings")
