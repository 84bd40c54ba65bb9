"""zhengming.reputation.v1 over gRPC: lookups, listings of any version, publishing."""

import grpc
import numpy as np
from google.longrunning import operations_pb2

from services.common.errors import InvalidArgument, NotFound, out_of_range
from services.common.identity.caller import caller
from services.common.numbering import parse
from services.common.operations import Operations
from services.common.store import Store
from services.common.wire import as_of_ms, page_limit, run_of, whole
from services.reputation import encoding, queries, texts
from services.reputation.lookup import LookupServicer
from services.reputation.published.packing import Columns
from services.reputation.published.table import of_columns
from services.reputation.publisher import LIVE, Publisher
from services.reputation.scopes import cut, sees_making
from services.reputation.snapshot import Snapshot, flatten
from services.reputation.state import PublishedState
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2 as pb

MAX_PAGE = 100_000
DEFAULT_PAGE = 50_000


class ReputationServicer(LookupServicer):
    """Lookups from the mapped state, the rest from the log and the other services."""

    def __init__(
        self,
        store: Store,
        published: PublishedState,
        publisher: Publisher,
        arbitration: arbitration_pb2_grpc.ArbitrationServiceStub,
        operations: Operations,
    ) -> None:
        super().__init__(published)
        self._store, self._publisher = store, publisher
        self._arbitration, self._operations = arbitration, operations
        self._pages: tuple[tuple[int, int], Columns] | None = None

    def ExplainReputation(
        self, request: pb.ExplainReputationRequest, context: grpc.ServicerContext
    ) -> pb.ExplainReputationResponse:
        """Look one number up with what led to it."""
        number = parse(request.number, request.region or "CN")
        found = encoding.encode_one(self._published.snapshot, number.key, number.number)
        answer = pb.ExplainReputationResponse(reputation=pb.Reputation.FromString(found))
        answer.reputation.stale = self._is_stale
        for code in answer.reputation.reasons:
            zh, en = texts.reason(code)
            answer.reasons.add(code=code, text_zh=zh, text_en=en)
        if answer.reputation.HasField("update_time") and not request.reasons_only:
            ask = arbitration_pb2.BatchArbitrateRequest(number_keys=[number.key])
            ask.as_of_time.CopyFrom(answer.reputation.update_time)
            found = self._arbitration.BatchArbitrate(ask, timeout=10)
            answer.evidence.extend(found.posteriors[0].evidence)
            answer.former_mark_count = found.posteriors[0].former_mark_count
            answer.quarantined_mark_count = found.posteriors[0].quarantined_mark_count
            answer.accuracy_run_id = found.accuracy_run_id
        return cut(answer, caller())

    def GetReputationAsOf(
        self, request: pb.GetReputationAsOfRequest, context: grpc.ServicerContext
    ) -> pb.GetReputationAsOfResponse:
        """Look one number up as it was."""
        number = parse(request.number, request.region or "CN")
        if not request.HasField("as_of_time"):
            raise InvalidArgument("FIELD_REQUIRED", "as_of_time is required", field="as_of_time")
        at_ms = as_of_ms(request, lambda: 0)
        newest = queries.published_at(self._store, LIVE, at_ms)
        if newest is None:
            raise NotFound(
                "VERSION_NOT_FOUND",
                "nothing had been published by then",
                as_of=request.as_of_time.ToJsonString(),
            )
        version, publish_ms = newest
        rows = queries.state_at(self._store, LIVE, version, number.key, number.key + 1)
        was = Snapshot(version, layers=(of_columns(rows),))
        answer = pb.GetReputationAsOfResponse(
            reputation=pb.Reputation.FromString(
                encoding.encode_one(was, number.key, number.number, sees_making(caller()))
            ),
            version=version,
        )
        answer.reputation.ClearField("max_age_s")
        answer.publish_time.FromMilliseconds(publish_ms)
        return answer

    def ListReputations(
        self, request: pb.ListReputationsRequest, context: grpc.ServicerContext
    ) -> pb.ListReputationsResponse:
        """List one version, page by page."""
        lineage, version, after = self._page(request)
        rows = self._rows(lineage, version)
        limit = page_limit(request.page_size, DEFAULT_PAGE, MAX_PAGE)
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

    def PublishReputations(
        self, request: pb.PublishReputationsRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        run = run_of(request.run_id)
        churn = request.max_churn_ratio if request.HasField("max_churn_ratio") else None
        if churn is not None and not 0 <= churn <= 1:
            raise out_of_range("max_churn_ratio", churn, "in [0, 1]")

        def work() -> pb.PublishReputationsResponse:
            version, changed, total = self._publisher.publish_run(run, churn)
            return pb.PublishReputationsResponse(
                version=version, changed_count=changed, number_count=total
            )

        return self._operations.start("publishing", work)

    def _page(self, request: pb.ListReputationsRequest) -> tuple[int, int, int]:
        """Lineage, version and the key after which the page starts."""
        if request.page_token:
            match [whole(part) for part in request.page_token.split(":")]:
                case [int(lineage), int(version), int(after)]:
                    return lineage, version, after
            raise InvalidArgument(
                "PAGE_TOKEN_INVALID", "page_token was not issued here", field="page_token"
            )
        known = queries.versions(self._store).to_pylist()
        if request.HasField("as_of_time"):
            as_of = as_of_ms(request, lambda: 0)
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

    def _rows(self, lineage: int, version: int) -> Columns:
        """Rows of a version; those of the last listing are kept for its next page."""
        pages = self._pages
        if pages is None or pages[0] != (lineage, version):
            snapshot = self._published.snapshot
            if lineage == LIVE and version == snapshot.version:
                rows = flatten(snapshot)
            else:
                rows = queries.state_at(self._store, lineage, version)
            pages = ((lineage, version), rows)
            self._pages = pages
        return pages[1]
