"""The wall clock of a process steps, as one does that is corrected or moved by mistake."""

import glob
import time
import uuid

import pytest

from tests.e2e.conftest import Services
from tests.faults.test_handover import seen
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 120
HOUR_S = 3_600
NUMBER = "13800300001"


class Stepping(Services):
    """Services whose wall clock, and not their monotonic one, is ahead by what a file says."""

    def __init__(self, store, folder):
        (library,) = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self._offset = folder / "offset"
        self._reporters = 0
        self.step(0)
        super().__init__(
            store,
            folder,
            LD_PRELOAD=library,
            FAKETIME_TIMESTAMP_FILE=str(self._offset),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )

    def step(self, ahead_s):
        """Set the clock by so much ahead of the true time."""
        part = self._offset.with_suffix(".part")
        part.write_text(f"{ahead_s:+d}")
        part.replace(self._offset)

    def submit(self, count):
        """Marks of two hours ago by so many reporters who have not spoken yet."""
        marks = []
        for _ in range(count):
            self._reporters += 1
            mark = pb.Mark(
                mark_id=uuid.uuid4().hex,
                number=NUMBER,
                label="房产中介",
                reporter=f"r{self._reporters}",
            )
            mark.occurred_time.FromSeconds(int(time.time()) - 2 * HOUR_S)
            marks.append(mark)
        request = pb.SubmitMarksRequest(source="app-one", marks=marks)
        answer = self.stubs.ingest.SubmitMarks(request, timeout=DEADLINE_S)
        assert not any(result.HasField("error") for result in answer.results)

    def version(self):
        request = reputation_pb2.GetVersionRequest()
        return self.stubs.reputation.GetVersion(request, timeout=DEADLINE_S)


@pytest.fixture
def stepping(tmp_path):
    running = Stepping(f"chdb:{tmp_path / 'store'}", tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(15)


@pytest.mark.timeout(600)
def test_a_clock_that_steps_to_and_fro_loses_no_mark_and_turns_no_version_back(stepping):
    stepping.submit(5)
    seen(stepping, NUMBER, 5)
    versions, total = [stepping.version()], 5

    for ahead_s in (HOUR_S, -HOUR_S, 0, 24 * HOUR_S, 0):
        stepping.step(ahead_s)
        stepping.submit(3)
        total += 3
        seen(stepping, NUMBER, total)
        versions.append(stepping.version())

    numbers = [found.version for found in versions]
    assert numbers == sorted(set(numbers))
    times = [found.as_of_time.ToMilliseconds() for found in versions]
    assert times == sorted(times)
    assert times[1] - times[0] >= HOUR_S * 1000 / 2  # the clock did step
