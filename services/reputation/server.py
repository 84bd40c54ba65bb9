"""zhengming.reputation.v1 over gRPC, answered from memory."""

from typing import Any

import grpc
import numpy as np
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.common import rpc
from services.common.errors import DomainError, InvalidArgument, NotFound, out_of_range
from services.common.numbering import Number, parse
from services.common.operations import Operations
from services.common.store import Store
from services.common.wire import category_code, check_batch
from services.reputation import queries, state, texts
from services.reputation.feed import Feed
from services.reputation.filters import Filter
from services.reputation.publisher import LIVE, Publisher
from services.reputation.rules import State
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2_grpc as pb_grpc

MAX_BATCH = 10_000
MAX_COLUMNS = 1_000_000
MIN_PREFIX_BYTES = 2
PADDED_BYTES = 4096
PADDING_OVERHEAD = 3
"""Tag and length of the padding itself."""
MAX_PAGE = 100_000
DEFAULT_PAGE = 50_000
MIN_SHARE = 0.01
"""Categories below it are left out of a distribution."""
EXPIRY_MS = 24 * 3_600_000
"""A published value should be asked for again after a day: marks age."""


class ReputationServicer(pb_grpc.ReputationServiceServicer):
    """Lookups from memory, listings from the log."""

    def __init__(
        self,
        store: Store,
        published: state.PublishedState,
        publisher: Publisher,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceStub,
        operations: Operations,
        feed: Feed,
    ) -> None:
        self._store, self._state, self._publisher, self._feed = store, published, publisher, feed
        self._arbitration, self._operations = arbitration, operations
        self._pages: tuple[tuple[int, int], state.Columns] | None = None

    def GetReputation(
        self, request: pb.GetReputationRequest, context: grpc.ServicerContext
    ) -> pb.Reputation:
        """Look one number up."""
        number = parse(request.number, request.region or "CN")
        return to_wire(number, self._state.snapshot.find(number.key))

    def BatchGetReputations(
        self, request: pb.BatchGetReputationsRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetReputationsResponse:
        """Look many numbers up in one version."""
        check_batch(len(request.numbers), MAX_BATCH, "numbers")
        snapshot, region = self._state.snapshot, request.region or "CN"
        answer = pb.BatchGetReputationsResponse(version=snapshot.version)
        for raw in request.numbers:
            result = answer.results.add()
            try:
                number = parse(raw, region)
            except DomainError as error:
                result.error.CopyFrom(rpc.to_status_proto(error))
            else:
                result.reputation.CopyFrom(to_wire(number, snapshot.find(number.key)))
        return answer

    def ExplainReputation(
        self, request: pb.ExplainReputationRequest, context: grpc.ServicerContext
    ) -> pb.ExplainReputationResponse:
        """Look one number up with what led to it."""
        number = parse(request.number, request.region or "CN")
        row = self._state.snapshot.find(number.key)
        answer = pb.ExplainReputationResponse(reputation=to_wire(number, row))
        for code in answer.reputation.reasons:
            zh, en = texts.reason(code)
            answer.reasons.add(code=code, text_zh=zh, text_en=en)
        if row is not None:
            ask = arbitration_pb2.BatchArbitrateRequest(number_keys=[number.key])
            ask.as_of_time.FromMilliseconds(int(_value(row, "update_ms")))
            found = self._arbitration.BatchArbitrate(ask, timeout=10)
            answer.evidence.extend(found.posteriors[0].evidence)
            answer.former_mark_count = found.posteriors[0].former_mark_count
            answer.quarantined_mark_count = found.posteriors[0].quarantined_mark_count
            answer.accuracy_run_id = found.accuracy_run_id
        return answer

    def ListReputations(
        self, request: pb.ListReputationsRequest, context: grpc.ServicerContext
    ) -> pb.ListReputationsResponse:
        """List one version, page by page."""
        lineage, version, after = self._page(request)
        rows = self._rows(lineage, version)
        limit = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
        start = int(np.searchsorted(rows["number"], after, side="right"))
        end = min(start + limit, len(rows["number"]))
        page = {name: column[start:end] for name, column in rows.items()}
        more = end < len(rows["number"])
        return pb.ListReputationsResponse(
            number_keys=page["number"].tolist(),
            categories=page["category"].tolist(),
            probabilities=page["probability"].tolist(),
            risks=page["risk"].tolist(),
            levels=page["level"].tolist(),
            states=page["state"].tolist(),
            effective_sources=page["effective_sources"].tolist(),
            mark_counts=page["mark_count"].tolist(),
            first_marked_ms=page["first_mark_ms"].tolist(),
            last_marked_ms=page["last_mark_ms"].tolist(),
            reasons=page["reasons"].tolist(),
            epochs=page["epoch"].tolist(),
            versions=page["version"].tolist(),
            version=version,
            next_page_token=f"{lineage}:{version}:{page['number'][-1]}" if more else "",
        )

    def LookupColumns(
        self, request: pb.LookupColumnsRequest, context: grpc.ServicerContext
    ) -> pb.LookupColumnsResponse:
        """Look numbers up in packed arrays."""
        if len(request.number_keys) % 8:
            raise out_of_range(
                "number_keys", f"{len(request.number_keys)} bytes", "a multiple of 8 bytes"
            )
        keys = np.frombuffer(request.number_keys, dtype="<i8")
        check_batch(len(keys), MAX_COLUMNS, "number_keys")
        found = self._feed.state(Filter())
        return pb.LookupColumnsResponse(
            values=found.find(keys).astype("<u8").tobytes(), version=found.source.version
        )

    def SearchHashPrefix(
        self, request: pb.SearchHashPrefixRequest, context: grpc.ServicerContext
    ) -> pb.SearchHashPrefixResponse:
        """Look a bucket of numbers up."""
        if not MIN_PREFIX_BYTES <= len(request.hash_prefix) <= 32:
            raise out_of_range(
                "hash_prefix",
                f"{len(request.hash_prefix)} bytes",
                f"{MIN_PREFIX_BYTES} to 32 bytes",
            )
        bucket, found = self._feed.find_hashes(request.hash_prefix)
        answer = pb.SearchHashPrefixResponse(version=found.source.version)
        numbers = np.array([number for _, number in bucket], dtype=np.int64)
        for (digest, _), value in zip(bucket, found.find(numbers).tolist(), strict=True):
            if value:
                answer.entries.add(hash=digest, value=value.to_bytes(8, "little"))
        answer.padding = bytes(-(answer.ByteSize() + PADDING_OVERHEAD) % PADDED_BYTES)
        return answer

    def PublishReputations(
        self, request: pb.PublishReputationsRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        if not request.run_id.isdigit():
            raise InvalidArgument("FIELD_REQUIRED", "run_id is required", field="run_id")
        churn = request.max_churn_ratio if request.HasField("max_churn_ratio") else None
        if churn is not None and not 0 <= churn <= 1:
            raise out_of_range("max_churn_ratio", churn, "in [0, 1]")

        def work() -> pb.PublishReputationsResponse:
            version, changed, total = self._publisher.publish_run(int(request.run_id), churn)
            return pb.PublishReputationsResponse(
                version=version, changed_count=changed, number_count=total
            )

        return self._operations.start("publishing", work)

    def GetVersion(
        self, request: pb.GetVersionRequest, context: grpc.ServicerContext
    ) -> pb.Version:
        """Say what is published."""
        snapshot = self._state.snapshot
        answer = pb.Version(
            version=snapshot.version,
            number_count=snapshot.number_count,
            change_cursor=snapshot.change_cursor,
        )
        if snapshot.version:
            answer.as_of_time.FromMilliseconds(snapshot.as_of_ms)
            answer.publish_time.FromMilliseconds(snapshot.publish_ms)
        return answer

    def _page(self, request: pb.ListReputationsRequest) -> tuple[int, int, int]:
        """Lineage, version and the key after which the page starts."""
        if request.page_token:
            parts = request.page_token.split(":")
            if len(parts) != 3 or not all(p.isascii() and p.isdigit() for p in parts):
                raise InvalidArgument(
                    "PAGE_TOKEN_INVALID", "page_token was not issued here", field="page_token"
                )
            return int(parts[0]), int(parts[1]), int(parts[2])
        known = queries.versions(self._store).to_pylist()
        if request.HasField("as_of_time"):
            as_of = request.as_of_time.ToMilliseconds()
            known = [row for row in known if row["as_of_ms"] <= as_of]
        else:
            known = [row for row in known if row["lineage"] == LIVE]
        if not known:
            raise NotFound(
                "VERSION_NOT_FOUND",
                "nothing was published for that time or before; run the pipeline as of it",
                as_of=request.as_of_time.ToJsonString() if request.HasField("as_of_time") else "",
            )
        best = max(known, key=lambda row: (row["as_of_ms"], row["version"]))
        return best["lineage"], best["version"], -1

    def _rows(self, lineage: int, version: int) -> state.Columns:
        """Rows of a version; those of the last listing are kept for its next page."""
        pages = self._pages
        if pages is None or pages[0] != (lineage, version):
            snapshot = self._state.snapshot
            if lineage == LIVE and version == snapshot.version:
                rows = state.flatten(snapshot)
            else:
                rows = queries.state_at(self._store, lineage, version)
            pages = ((lineage, version), rows)
            self._pages = pages
        return pages[1]


_AT = {name: at for at, name in enumerate(state.NAMES)}


def _value(row: tuple[Any, ...], name: str) -> Any:
    return row[_AT[name]]


def to_wire(number: Number, row: tuple[Any, ...] | None) -> pb.Reputation:
    """A published row as its message; without a row, that nothing is known."""
    if row is None:
        return pb.Reputation(number=number.number, state=pb.REPUTATION_STATE_UNKNOWN)
    (_, version, category, probability, categories, probabilities, risk, level, state_, rule,
     sources, marks, _, first_ms, last_ms, reasons, epoch, update_ms, model) = row  # fmt: skip
    code = category_code(int(category))
    by_marks = int(state_) not in (State.PROTECTED, State.ADJUDICATED)
    is_disputed = int(state_) == pb.REPUTATION_STATE_DISPUTED
    zh, en = texts.display(code, int(marks) if by_marks else 0, disputed=is_disputed)
    message = pb.Reputation(
        number=number.number,
        state=int(state_),  # type: ignore[arg-type]
        level=int(level),
        risk=float(risk),
        category=code,
        probability=float(probability),
        reasons=reasons.split(";") if reasons else (),
        effective_sources=float(sources),
        mark_count=int(marks),
        display_text_zh=zh,
        display_text_en=en,
        epoch=int(epoch),
        version=int(version),
        model_version=model,
        rule=rule,
    )
    for item, share in zip(categories.tolist(), probabilities.tolist(), strict=True):
        if share >= MIN_SHARE:
            message.distribution.add(category=category_code(item), probability=share)
    if first_ms:
        _set_time(message.first_mark_time, int(first_ms))
        _set_time(message.last_mark_time, int(last_ms))
    _set_time(message.update_time, int(update_ms))
    _set_time(message.expire_time, int(update_ms) + EXPIRY_MS)
    return message


def _set_time(field: Timestamp, value_ms: int) -> None:
    """As FromMilliseconds, without its checks: a third of the time of an answer."""
    field.seconds, rest = divmod(value_ms, 1000)
    if rest:
        field.nanos = rest * 1_000_000


def register(server: grpc.Server, servicer: ReputationServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_ReputationServiceServicer_to_server(servicer, server)
