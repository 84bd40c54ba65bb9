"""The tables of disputes on both engines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import services.arbitration
from services.arbitration.disputes import queries
from services.arbitration.disputes.checks import Facts
from services.arbitration.disputes.dispute import View, fold
from services.arbitration.disputes.events import START, prove, seal
from services.arbitration.disputes.steps import Filing, file, supersede
from services.arbitration.disputes.words import Applicant, Ground, Outcome, Reason, State
from services.common.migrate import migrate
from services.common.store.asking import FEW
from services.reputation.queries import disputed

SCHEMA = Path(services.arbitration.__file__).parent / "schema"


def sealed(dispute_id, number, steps, after=None):
    seq, head = (after.seq, after.hash) if after else (0, START)
    return seal([(dispute_id, number, step) for step in steps], seq, head, 1_790_000_000_000)


def filed():
    return file(Filing(Applicant.PERSON, "", Ground.OTHER, "不是'我'\n", "public", "1"), Facts())


def test_events_come_back_as_they_were_written_and_the_chain_holds(either):
    migrate(either, "arbitration", SCHEMA, clock=lambda: 0)
    events = sealed("ZM1", 7, filed())

    queries.insert_events(either, None, events)

    assert queries.events_of(either, ["ZM1"]) == {"ZM1": events}
    assert queries.head(either) == (2, events[-1].hash)
    assert prove(queries.all_events(either)).fault == ""


def test_lists_show_where_a_dispute_is_now(either):
    migrate(either, "arbitration", SCHEMA, clock=lambda: 0)
    events = sealed("ZM1", 7, filed())
    queries.insert_events(either, None, events)
    missing = queries.unprojected(either)
    queries.insert_disputes(either, [fold(events)])
    before = queries.open_of(either, [7])
    more = sealed("ZM1", 7, supersede(), events[-1])
    queries.insert_events(either, None, more)
    queries.insert_disputes(either, [fold(events + more)])

    ids, _, total = queries.page(either, {"states": (9,), "number": 7}, (-1, ""), 10)

    assert missing == ["ZM1"]
    assert before == [(7, "ZM1")]
    assert queries.open_of(either, [7]) == []
    assert (ids, total) == (["ZM1"], 1)
    assert queries.page(either, {"states": (2,), "number": 7}, (-1, ""), 10) == ([], [], 0)
    assert queries.unprojected(either) == []
    assert queries.listed_seq(either) == 3


def test_a_precedent_is_what_is_decided_now_and_one_under_appeal_is_none(either):
    migrate(either, "arbitration", SCHEMA, clock=lambda: 0)
    cleared = View(Outcome.CLEARED, 0, Reason.MARKS_UNFOUNDED, "")
    before = fold(sealed("ZM1", 7, filed()))
    decided = replace(
        before, state=State.DECIDED, view=cleared, decided_ms=9, seq=3, contested=2000
    )
    appealed = replace(decided, state=State.APPEALED, seq=4, round=2)
    other = replace(decided, dispute_id="ZM2", number=8)

    queries.insert_disputes(either, [before, decided, other])
    first = queries.precedents(either, 7, 2000, int(before.ground), 5)
    queries.insert_disputes(either, [appealed])
    later = queries.precedents(either, 7, 2000, int(before.ground), 5)

    assert [row["dispute_id"] for row in first] == ["ZM1", "ZM2"]
    assert [row["dispute_id"] for row in later] == ["ZM2"]


def test_an_empty_log_has_no_head_and_proves(either):
    migrate(either, "arbitration", SCHEMA, clock=lambda: 0)

    assert queries.head(either) == (0, "")
    assert prove(queries.all_events(either)).event_count == 0
    assert queries.due(either, 1, 10) == []
    assert queries.source_outcomes(either, "") == []
    assert queries.precedents(either, 7, 0, 0, 5) == []


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_a_number_is_disputed_as_its_newest_row_says(either, count):
    migrate(either, "arbitration", SCHEMA, clock=lambda: 0)
    numbers = np.arange(7, 7 + count)
    filings = [fold(sealed(f"ZM{number}", number, filed())) for number in numbers.tolist()]

    def list_them(seq, since_ms, until_ms):
        changed = {"seq": seq, "contested_from_ms": since_ms, "contested_until_ms": until_ms}
        queries.insert_disputes(either, [replace(one, **changed) for one in filings])

    def at(time_ms, asked):
        return disputed(either, time_ms, asked).tolist()

    list_them(3, 50, 0)
    list_them(9, 50, 80)
    list_them(6, 50, 60)

    for asked in (None, numbers, np.append(numbers, 10**6)):
        assert sorted(at(70, asked)) == numbers.tolist()
        assert at(49, asked) == at(80, asked) == []
    assert at(70, np.array([6])) == []
