"""What reviewers see of a number: posterior, marks by day, sources, precedents, prospects."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import grpc

from services.arbitration.disputes import queries, wire
from services.arbitration.disputes.cases import Cases
from services.arbitration.engine import Engine
from services.common.numbering import Number
from services.common.store import Store
from services.common.wire import category_code
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.arbitration.v1 import dispute_pb2 as pb

MARK_DAYS = 400
PRECEDENTS = 12
DAY_MS = 86_400_000
BESIDE = 4
"""Reads of the store that go on beside the calls they are for."""

T = TypeVar("T")


class CaseFiles:
    """Puts case files together."""

    def __init__(
        self,
        store: Store,
        cases: Cases,
        engine: Engine,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceServicer,
    ) -> None:
        self._store, self._cases, self._engine = store, cases, engine
        self._arbitration = arbitration
        self._beside = ThreadPoolExecutor(BESIDE, thread_name_prefix="case-file")

    def read(
        self, number: Number, dispute_id: str, now_ms: int, context: grpc.ServicerContext
    ) -> pb.CaseFile:
        """The case file of a number, for one of its disputes or for none ("").

        Raises:
            NotFound: DISPUTE_NOT_FOUND.
        """
        key, since_ms = number.key, now_ms - MARK_DAYS * DAY_MS
        # Beside the posterior, which waits for the store as often as all of these.
        holding = self._begin(queries.holders, [key], now_ms)
        marked = self._begin(queries.mark_days, key, since_ms)
        alike: Future[list[dict[str, Any]]] | None = None
        if dispute_id:
            dispute = self._cases.get(dispute_id)
            of = dispute.contested, int(dispute.ground)
            alike = self._begin(queries.precedents, key, *of, PRECEDENTS)
        asked = arbitration_pb2.BatchArbitrateRequest(number_keys=[key])
        asked.as_of_time.FromMilliseconds(now_ms)
        posterior = self._arbitration.BatchArbitrate(asked, context).posteriors[0]
        holder = holding.result().get(key, "")
        facts = wire.facts_of(posterior, holder)
        message = pb.CaseFile(number=number.number, posterior=posterior, registered_holder=holder)
        if alike is None:
            alike = self._begin(queries.precedents, key, facts.contested, 0, PRECEDENTS)
        self._add_marks(message, marked.result(), facts.epoch_start_ms)
        involved = {item.source for item in message.mark_days}
        sources = self._arbitration.ListSources(arbitration_pb2.ListSourcesRequest(), context)
        message.sources.extend(s for s in sources.sources if s.name in involved)
        for row in alike.result():
            if row["dispute_id"] != dispute_id:
                _add_precedent(message, row, key)
        wire.add_prospects(message, facts)
        return message

    def _begin(self, read: Callable[..., T], *values: Any) -> "Future[T]":
        """Begin a read of the store in another thread, in the trace of this call."""
        return self._beside.submit(copy_context().run, read, self._store, *values)

    def _add_marks(
        self, message: pb.CaseFile, days: list[dict[str, Any]], epoch_start_ms: int
    ) -> None:
        names = self._engine.label_names()
        for row in days:
            source, text = names.get(row["label"], ("", ""))
            item = message.mark_days.add(
                source=source,
                label=text,
                category=category_code(self._engine.meaning_of(row["label"])),
                mark_count=row["marks"],
                former=row["last_ms"] < epoch_start_ms,
            )
            item.day_time.FromMilliseconds(row["day"] * DAY_MS - queries.CHINA_MS)


def _add_precedent(message: pb.CaseFile, row: dict[str, Any], number: int) -> None:
    decided = row["decided_category"]
    item = message.precedents.add(
        dispute_id=row["dispute_id"],
        contested_category=category_code(row["contested"]),
        ground=row["ground"],
        outcome=row["outcome"],
        decided_category=(category_code(decided) or "CLEARED") if decided >= 0 else "",
        same_number=row["number"] == number,
    )
    item.decide_time.FromMilliseconds(row["decided_ms"])
