"""zhengming.ingest.v1.NumberService: what a number says of itself, and what carriers told of it."""

import grpc
import numpy as np

from services.common import rpc
from services.common.clock import Clock
from services.common.errors import DomainError
from services.common.numbering import Number, facts, parse
from services.common.numbering.parser import check_region
from services.common.numbering.prefixes import Prefixes
from services.common.registrations import in_force
from services.common.store import Store
from services.common.wire import check_batch
from services.ingest import queries
from zhengming.ingest.v1 import number_pb2 as pb
from zhengming.ingest.v1 import number_pb2_grpc as pb_grpc
from zhengming.type.v1 import number_pb2 as type_pb

MAX_BATCH = 1_000


class NumberServicer(pb_grpc.NumberServiceServicer):
    """Answers from the plan, and from what is stored of lifecycle and registry."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def BatchDescribeNumbers(
        self, request: pb.BatchDescribeNumbersRequest, context: grpc.ServicerContext
    ) -> pb.BatchDescribeNumbersResponse:
        """Describe numbers, each answered in its place."""
        check_batch(len(request.numbers), MAX_BATCH, "numbers")
        region = check_region(request.region or "CN")
        read: list[Number | DomainError] = []
        for raw in request.numbers:
            try:
                read.append(parse(raw, region))
            except DomainError as error:
                read.append(error)
        now_ms = self._clock()
        keys = np.array([n.key for n in read if isinstance(n, Number)], dtype=np.int64)
        ports = {row["number"]: row for row in queries.ports(self._store, keys, now_ms).to_pylist()}
        columns = "number, prefix, holder, identity, purpose"
        registry = in_force(self._store, columns, now_ms, np.append(keys, 0)).to_pylist()
        exact = {row["number"]: row for row in registry if row["number"]}
        ranges = Prefixes({row["prefix"]: row for row in registry if row["prefix"]})
        answer = pb.BatchDescribeNumbersResponse()
        for found in read:
            result = answer.results.add()
            if isinstance(found, DomainError):
                result.error.CopyFrom(rpc.to_status_proto(found))
                continue
            result.number.facts.CopyFrom(facts_to_wire(found))
            if port := ports.get(found.key):
                result.number.ported_to_carrier = port["carrier"]
                result.number.port_time.FromMilliseconds(port["at_ms"])
            if row := exact.get(found.key) or ranges.find(found.number):
                result.number.registered_holder = row["holder"]
                result.number.registered_identity = row["identity"]
                result.number.registered_purpose = row["purpose"]
        return answer


def facts_to_wire(number: Number) -> type_pb.NumberFacts:
    """The facts of a number as their message."""
    known = facts(number)
    return type_pb.NumberFacts(
        number=number.number,
        number_key=number.key,
        canonical_key=number.canonical,
        kind=int(number.kind),  # type: ignore[arg-type] # the wire's values are Kind's
        country=known.country,
        extension=number.extension,
        issuing_carrier=known.carrier,
        issuing_carrier_zh=known.carrier_zh,
        is_mvno=known.is_mvno,
        province=known.province,
        city=known.city,
        province_code=known.province_code,
        service_range_zh=known.service_range,
        service_range_en=known.service_range_en,
        is_relay=known.is_relay,
        is_toll_free=known.is_toll_free,
        is_premium=known.is_premium,
        is_allocated=known.is_allocated,
    )


def register(server: grpc.Server, servicer: NumberServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_NumberServiceServicer_to_server(servicer, server)
