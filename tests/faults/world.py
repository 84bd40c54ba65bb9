"""A sender that knows what was acknowledged, and what must hold of it after any fault."""

import multiprocessing
import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import numpy as np

from services.common.feed.rows import ROW, VALUE, Digest, Rows
from services.common.numbering import parse
from services.common.store import Store, open_store
from services.consumer.sync import Consumer
from services.reputation import queries
from services.reputation.filters import COLUMNS, to_rows
from services.reputation.published import table
from services.reputation.published.shelf import Mark
from services.reputation.publisher import LIVE
from services.reputation.snapshot import flatten, snapshot_of
from zhengming.arbitration.v1 import dispute_pb2
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 240
CALL_S = 30
PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
"""Statuses after which a source sends the same again."""
FIRST = 13800200000


def until_true(condition):
    """Wait until it holds; calls that a fault may fail are made again."""
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    failure = None
    while True:
        try:
            if condition():
                return
        except grpc.RpcError as error:
            if error.code() not in PASSING:
                raise
            failure = error
        except ValueError as error:  # between a process and the next one
            if "closed channel" not in str(error):
                raise
            failure = error
        assert time.monotonic() < until, f"it never became so; last failure: {failure}"
        pause.wait(0.1)


def acknowledged(call):
    """The answer of a call that is made until it is answered."""
    found = []
    until_true(lambda: found.append(call()) or True)
    return found[0]


def one_mark(mark_id):
    """A batch of one mark, on a number that no `Sender` marks."""
    request = ingest_pb2.SubmitMarksRequest(source="app-one")
    mark = request.marks.add(mark_id=mark_id, number=str(FIRST + 99_999), label="房产中介")
    mark.occurred_time.GetCurrentTime()
    return request


class Sender:
    """Sends random batches of marks, and now and then a dispute, each until it is acknowledged.

    A batch of which it is not known whether it was taken is sent again as it was, and now and then
    one that was taken: sources do so.

    Attributes:
        marks: acknowledged marks by number, as the source sent it.
        cases: acknowledged case numbers.
    """

    def __init__(self, seed, ingest, disputes=None, numbers=30):
        self._chance = random.Random(seed)
        self._ingest, self._disputes = ingest, disputes
        self._numbers = [str(FIRST + i) for i in range(numbers)]
        self._name = uuid.uuid4().hex[:8]
        self._sent = 0
        self.marks, self.cases = Counter(), []
        self.failure = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End with the batch under way."""
        self._stopping.set()
        self._thread.join()

    def wait_for(self, count):
        """Wait until so many more marks are acknowledged."""
        wanted = self.marks.total() + count
        until_true(lambda: self.marks.total() >= wanted or self.failure is not None)
        assert self.failure is None, self.failure

    def _run(self):
        try:
            while not self._stopping.is_set():
                self._send(self._batch())
                if self._disputes is not None and self._chance.random() < 0.05:
                    self._file()
        except BaseException as error:
            self.failure = error

    def _batch(self):
        request = ingest_pb2.SubmitMarksRequest(source="app-one")
        for _ in range(self._chance.randint(1, 20)):
            self._sent += 1
            entry = request.marks.add(
                mark_id=f"{self._name}-{self._sent}",
                number=self._chance.choice(self._numbers),
                label=self._chance.choice(["房产中介", "广告推销", "骚扰电话"]),
                reporter=f"r{self._sent}",
            )
            entry.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
        return request

    def _send(self, request):
        for _ in range(2 if self._chance.random() < 0.1 else 1):
            answer = acknowledged(lambda: self._ingest().SubmitMarks(request, timeout=CALL_S))
            assert not any(result.HasField("error") for result in answer.results)
        self.marks.update(mark.number for mark in request.marks)

    def _file(self):
        request = dispute_pb2.FileDisputeRequest(
            number=str(FIRST + 50_000 + len(self.cases)),
            request_id=f"{self._name}-{len(self.cases)}",
            applicant_kind=dispute_pb2.APPLICANT_KIND_PERSON,
            ground=dispute_pb2.DISPUTE_GROUND_REASSIGNED,
            statement="新办号码",
        )
        filed = acknowledged(lambda: self._disputes().FileDispute(request, timeout=CALL_S))
        self.cases.append(filed.case_number)


def check_shown(reputation, marks):
    """Every acknowledged mark becomes visible, and none twice."""

    def shown():
        request = reputation_pb2.BatchGetReputationsRequest(numbers=list(marks))
        answer = reputation.BatchGetReputations(request, timeout=CALL_S)
        counts = [result.reputation.mark_count for result in answer.results]
        assert all(n <= m for n, m in zip(counts, marks.values(), strict=True)), "doubled"
        return counts == list(marks.values())

    until_true(shown)


def check_store(store: Store, sent: int) -> None:
    """Marks, commit records and versions are whole, and there once."""
    marks = store.query(
        "SELECT count() AS n, uniqExact(mark_key, mark_check) AS once, uniqExact(seq) AS places"
        " FROM marks"
    ).to_pylist()[0]
    assert marks == {"n": sent, "once": sent, "places": sent}
    ids = store.query("SELECT uniqExact(mark_key, mark_check) AS n FROM mark_ids").to_pylist()
    assert ids == [{"n": sent}]
    changes = store.query("SELECT count() AS n, uniqExact(seq) AS once FROM changes").to_pylist()
    assert changes[0]["n"] == changes[0]["once"]
    orphans = store.query(
        "SELECT count() AS n FROM marks WHERE seq NOT IN (SELECT seq FROM changes)"
    )
    assert orphans["n"][0].as_py() == 0
    versions = store.query("SELECT version, changed_count FROM versions ORDER BY version")
    numbers = versions["version"].to_pylist()
    assert len(numbers) == len(set(numbers))
    rows = store.query(
        "SELECT version, count() AS n, uniqExact(number) AS once FROM published"
        " WHERE version IN (SELECT version FROM versions) GROUP BY version"
    ).to_pylist()
    held = {row["version"]: row["n"] for row in rows}
    assert [held.get(v, 0) for v in numbers] == versions["changed_count"].to_pylist()
    assert all(row["n"] == row["once"] for row in rows)


def check_store_apart(url: str, sent: int) -> None:
    """`check_store` of a store that a process of its own opens: a process opens one path only."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as apart:
        apart.submit(_check_opened, url, sent).result()


def _check_opened(url: str, sent: int) -> None:
    with closing(open_store(url)) as store:
        check_store(store, sent)


def rebuilt(store: Store) -> tuple[int, Rows]:
    """The newest version in the store, and the feed's rows made from the store alone."""
    version = int(queries.newest_live(store)["version"])
    layer = table.of_columns(queries.state_at(store, LIVE, version))
    rows, shown = to_rows(flatten(snapshot_of(Mark(version), [layer]), COLUMNS))
    return version, rows[shown]


def looked_up(reputation, keys: np.ndarray) -> tuple[int, Rows]:
    """The version of a lookup of those keys, and its answers as rows of the feed."""
    answer = reputation.LookupColumns(
        reputation_pb2.LookupColumnsRequest(number_keys=keys.astype("<i8").tobytes()),
        timeout=CALL_S,
    )
    values = np.frombuffer(answer.values, dtype=VALUE)
    there = values != 0
    rows = np.zeros(int(there.sum()), dtype=ROW)
    rows["number"] = keys[there]
    rows.view(VALUE).reshape(-1, 2)[:, 1] = values[there]
    return answer.version, rows


def check_digests(store: Store, channel, reputation, folder: Path, marks) -> None:
    """A consumer's copy, lookups and the state made from the store are the same, byte for byte."""
    keys = np.unique([parse(number).key for number in marks]).astype(np.int64)

    def equal():
        copy, _ = Consumer(channel, folder).catch_up()
        seen, rows = looked_up(reputation, keys)
        version, made = rebuilt(store)
        if not seen == version == int(copy.head.version.partition("-")[0]):
            return False  # something was published between the three
        asked = copy.rows[np.isin(copy.rows["number"], keys)]
        assert Digest.of(rows).sha256 == Digest.of(asked).sha256
        assert Digest.of(made).sha256.hex() == copy.head.state_sha256
        return True

    until_true(equal)


def check_all(store, sender, stubs, channel, folder):
    """Nothing acknowledged is lost or doubled, no version is half there, and all say the same.

    Args:
        stubs: of a process that answers for reputation and arbitration: by service's name.
        channel: to that of reputation.
    """
    assert sender.failure is None, sender.failure
    check_shown(stubs["reputation"].reputation, sender.marks)
    check_store(store, sender.marks.total())
    check_digests(store, channel, stubs["reputation"].reputation, folder, sender.marks)
    proof = acknowledged(
        lambda: stubs["arbitration"].disputes.VerifyAudit(
            dispute_pb2.VerifyAuditRequest(), timeout=CALL_S
        )
    )
    assert proof.intact, proof
    assert len(set(sender.cases)) == len(sender.cases)
    for case in sender.cases:
        found = acknowledged(
            lambda case=case: stubs["arbitration"].disputes.GetDispute(
                dispute_pb2.GetDisputeRequest(case_number=case), timeout=CALL_S
            )
        )
        assert found.state != dispute_pb2.DISPUTE_STATE_UNSPECIFIED
