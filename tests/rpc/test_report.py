"""The report of a quarter, from a store in which everything is known."""

import re
from datetime import datetime

import pytest

from services.arbitration.disputes.words import Ground, Outcome
from services.cli.report_figures import K_ANONYMITY, read_figures
from services.cli.report_page import page, quantile
from services.cli.report_periods import quarter_of
from services.common.errors import InvalidArgument
from tests.answers import lookup_when
from tests.dispute_calls import (
    DAY_MS,
    decide,
    filed,
    in_review,
    marked,
    opinion,
    proven,
    reassigned,
)
from tests.services_in_process import in_process
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2

LOANS, COURIER = "+8613400000001", "+8613400000002"


@pytest.fixture(scope="module")
def figures(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services")) as services:
        marked(services, LOANS, "贷款", "app-right", 8)
        marked(services, LOANS, "快递", "app-wrong", 2)
        marked(services, "+8613400000003", "快递", "app-right", 3, age_ms=100 * DAY_MS)
        _, dispute = in_review(services, LOANS, ground=pb.DISPUTE_GROUND_CONSENTED)
        services.clock.now_ms += 2 * DAY_MS
        decide(services, dispute, "ann", opinion(pb.DISPUTE_OUTCOME_UPHELD))
        marked(services, COURIER, "骚扰电话")
        reassigned(services, COURIER)
        proven(services, COURIER, ground=pb.DISPUTE_GROUND_REASSIGNED)
        filed(services, "+8613400000004")
        lookup_when(services, LOANS, lambda r: r.rule == "decided@1")
        refusals = [
            ingest_pb2.Refusal(number=LOANS, callee=f"p{i}", industry="A3101")
            for i in range(K_ANONYMITY)
        ] + [
            ingest_pb2.Refusal(number=LOANS, callee=f"p{i}", industry="A3107")
            for i in range(K_ANONYMITY - 1)
        ]
        for at, refusal in enumerate(refusals):
            refusal.occurred_time.FromMilliseconds(services.clock.now_ms - DAY_MS + at)
        services.stubs.ingest.SubmitRefusals(ingest_pb2.SubmitRefusalsRequest(refusals=refusals))
        yield read_figures(services.store, quarter_of("2026Q3"))


def test_a_quarter_is_chinas(figures):
    assert quarter_of("2026Q3") == figures.period
    assert quarter_of("2026Q4").start_ms == figures.period.end_ms
    assert quarter_of("2026Q4").end_ms == quarter_of("2027Q1").start_ms


@pytest.mark.parametrize("name", ["2026", "2026Q5", "26Q1", "2026q3", ""])
def test_a_name_that_is_no_quarter_is_refused(name):
    with pytest.raises(InvalidArgument) as caught:
        quarter_of(name)

    assert caught.value.metadata["field"] == "quarter"


def test_marks_are_counted_by_class_within_the_quarter(figures):
    assert {group: sum(weeks) for group, weeks in figures.weekly.items()} == {
        1: 0, 2: 8, 3: 8, 4: 2, 9: 0,
    }  # fmt: skip


def test_every_mark_on_a_labelled_number_is_compared(figures):
    found = {source.name: source for source in figures.sources}

    assert (found["app-right"].compared_count, found["app-right"].agreed_count) == (8, 8)
    assert (found["app-wrong"].compared_count, found["app-wrong"].agreed_count) == (2, 0)
    assert (found["app-wrong"].decided_count, found["app-wrong"].overturned_count) == (1, 1)
    assert (found["app-right"].decided_count, found["app-right"].overturned_count) == (1, 0)


def test_disputes_are_counted_by_ground_outcome_and_time(figures):
    assert figures.filed_count == 3
    assert figures.grounds[Ground.REASSIGNED] == 1
    assert figures.outcomes == {Outcome.UPHELD: 1, Outcome.CLEARED: 1}
    assert figures.automatic_count == 1
    assert figures.open_count == 1
    assert figures.days == [2]


def test_refusals_of_too_few_people_are_withheld(figures):
    told = {row.industry: row.people_count for row in figures.refusals}

    assert told == {"A3101": K_ANONYMITY, "A3107": None}
    assert str(K_ANONYMITY - 1) not in re.findall(
        r"<td[^>]*>(\d+)</td>", page(figures, datetime(2026, 11, 24))
    )


def test_the_page_stands_alone_and_names_no_number(figures):
    text = page(figures, datetime(2026, 11, 24))

    assert "2026Q3" in text
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", text)
    assert not re.search(r"1340000000\d", text)
    assert text.count("<svg") >= 4


def test_a_quarter_without_anything_is_a_page_too(chdb_store):
    figures = read_figures(chdb_store, quarter_of("2020Q1"))

    assert figures.mark_count == 0
    assert "没有数据" in page(figures, datetime(2026, 11, 24))


def test_a_quantile_is_the_least_value_that_covers_its_share():
    assert quantile([1, 2, 3, 4], 0.5) == 2
    assert quantile([1, 2, 3, 4], 0.9) == 4
    assert quantile([7], 0.5) == 7
