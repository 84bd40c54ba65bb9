"""Lookups over gRPC, answered from the mapped state alone: no store is asked."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import grpc
import numpy as np
from google.protobuf.message_factory import GetMessageClass

from services.common import rpc
from services.common.errors import Unavailable, out_of_range
from services.common.identity.caller import caller
from services.common.numbering import Cause, format_keys, invalid, mobile_key, parse, parse_column
from services.common.telemetry import Value, names
from services.common.wire import check_batch
from services.reputation import encoding
from services.reputation.currency import Currency
from services.reputation.hashes import hash_of
from services.reputation.packets import read_batch
from services.reputation.protobuf import head, integer
from services.reputation.scopes import sees_making
from services.reputation.snapshot import Snapshot
from services.reputation.values import values_of
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2_grpc as pb_grpc

MAX_BATCH = 10_000
MAX_COLUMNS = 1_000_000
MIN_PREFIX_BYTES = 2
STALE = integer(22, 1)
"""Reputation.stale."""
PADDED_BYTES = 4096
PADDING_OVERHEAD = 3
"""Tag and length of the padding itself."""


class Published(Protocol):
    """Where the newest snapshot is."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""

    @property
    def currency(self) -> Currency:
        """How far it lags behind what was committed."""


def published_values(published: Published) -> Iterable[Value]:
    """Gauges of what a process answers from: version and size; nothing before the first."""
    try:
        snapshot = published.snapshot
    except Unavailable:  # a lookup process that has found no folder yet
        return
    if (age_s := published.currency.age_s) is not None:
        yield Value(names.PUBLISHED_AGE, age_s)
    yield Value(names.PUBLISHED_VERSION, snapshot.version)
    yield Value(names.PUBLISHED_NUMBERS, snapshot.number_count)


class LookupServicer(pb_grpc.ReputationServiceServicer):
    """What is published of numbers. Methods of OUT_BYTES answer bytes."""

    def __init__(self, published: Published) -> None:
        self._published = published

    @property
    def _is_stale(self) -> bool:
        return self._published.currency.is_stale

    def GetReputation(
        self, request: pb.GetReputationRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Look one number up."""
        text = request.number
        key = mobile_key(text) if request.region in ("", "CN") else 0
        if not key:
            number = parse(text, request.region or "CN")
            key, text = number.key, number.number
        answer = encoding.encode_one(self._published.snapshot, key, text, sees_making(caller()))
        return answer + STALE if self._is_stale else answer

    def BatchGetReputations(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Look many numbers up in one version."""
        asked = read_batch(request)
        check_batch(asked.count, MAX_BATCH, "numbers")
        keys, errors = asked.keys, {}
        if keys is None:
            found = parse_column(asked.numbers, asked.region or "CN")
            keys = found.keys
            for place in np.flatnonzero(found.causes).tolist():
                error = invalid(asked.text(place), Cause(int(found.causes[place])))
                errors[place] = rpc.to_status_proto(error).SerializeToString()
        snapshot = self._published.snapshot
        results = encoding.encode_batch(snapshot, keys, errors, asked.fields, sees_making(caller()))
        stale = integer(3, self._is_stale)
        return b"".join((integer(2, snapshot.version), stale, results))

    def LookupColumns(
        self, request: pb.LookupColumnsRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Look numbers up in packed arrays."""
        if len(request.number_keys) % 8:
            raise out_of_range(
                "number_keys", f"{len(request.number_keys)} bytes", "a multiple of 8 bytes"
            )
        keys = np.frombuffer(request.number_keys, dtype="<i8")
        check_batch(len(keys), MAX_COLUMNS, "number_keys")
        snapshot = self._published.snapshot
        values = values_of(snapshot, keys).astype("<u8", copy=False)
        stale = integer(3, self._is_stale)
        before = integer(2, snapshot.version) + stale + head(1, values.nbytes)
        return b"".join((before, values.data))

    def SearchHashPrefix(
        self, request: pb.SearchHashPrefixRequest, context: grpc.ServicerContext
    ) -> pb.SearchHashPrefixResponse:
        """Look a bucket of numbers up."""
        prefix = request.hash_prefix
        if not MIN_PREFIX_BYTES <= len(prefix) <= 32:
            raise out_of_range(
                "hash_prefix", f"{len(prefix)} bytes", f"{MIN_PREFIX_BYTES} to 32 bytes"
            )
        snapshot = self._published.snapshot
        answer = pb.SearchHashPrefixResponse(version=snapshot.version, stale=self._is_stale)
        bucket = snapshot.bucket(int.from_bytes(prefix[:2], "big"))
        hashes = [hash_of(text) for text in format_keys(bucket)]
        found = zip(hashes, values_of(snapshot, bucket).tolist(), strict=True)
        for digest, value in sorted(found):
            if value and digest.startswith(prefix):
                answer.entries.add(hash=digest, value=value.to_bytes(8, "little"))
        answer.padding = bytes(-(answer.ByteSize() + PADDING_OVERHEAD) % PADDED_BYTES)
        return answer

    def GetVersion(
        self, request: pb.GetVersionRequest, context: grpc.ServicerContext
    ) -> pb.Version:
        """Say what is published."""
        snapshot = self._published.snapshot
        answer = pb.Version(
            version=snapshot.version,
            number_count=snapshot.number_count,
            change_cursor=snapshot.change_cursor,
            stale=self._is_stale,
        )
        if (age_s := self._published.currency.age_s) is not None:
            answer.age.FromSeconds(int(age_s))
        if snapshot.version:
            answer.as_of_time.FromMilliseconds(snapshot.as_of_ms)
            answer.publish_time.FromMilliseconds(snapshot.publish_ms)
        return answer


IN_BYTES = ("BatchGetReputations",)
"""Methods that take their request as bytes."""
OUT_BYTES = ("GetReputation", "BatchGetReputations", "LookupColumns")
"""Methods that give their answer as bytes."""


QUICK = {"GetReputation": 0, "GetVersion": 0, "BatchGetReputations": 32_768}
"""Methods that take microseconds; batches of up to about 2,000 numbers, two milliseconds."""
SERVICE = pb.DESCRIPTOR.services_by_name["ReputationService"]


def handlers(
    servicer: pb_grpc.ReputationServiceServicer,
) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """The handler of each method that this servicer answers, by its name."""
    nothing = pb_grpc.ReputationServiceServicer
    return {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method.name),
            request_deserializer=_unless(
                method.name in IN_BYTES, GetMessageClass(method.input_type).FromString
            ),
            response_serializer=_unless(
                method.name in OUT_BYTES, GetMessageClass(method.output_type).SerializeToString
            ),
        )
        for method in SERVICE.methods
        if getattr(type(servicer), method.name) is not getattr(nothing, method.name)
    }


def register(server: grpc.Server, servicer: pb_grpc.ReputationServiceServicer) -> None:
    """Add the service to a server."""
    handler = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers(servicer))
    server.add_generic_rpc_handlers((handler,))


def _unless(as_bytes: bool, convert: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    return None if as_bytes else convert
