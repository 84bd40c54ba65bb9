"""HTTP/JSON for those who cannot speak gRPC: the services' own messages as JSON."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import flask
import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

from services.common import rpc
from services.common.errors import InvalidArgument, out_of_range
from services.common.wire import check_batch, without_making
from services.console import limits, web
from services.console.accounts import Account
from services.console.hashed_numbers import HEX_DIGITS, MIN_HEX_DIGITS
from services.console.web import CALL_S, Refused, site
from zhengming.arbitration.v1 import dispute_pb2, notice_pb2
from zhengming.ingest.v1 import ingest_pb2, number_pb2
from zhengming.reputation.v1 import reputation_pb2

pages = flask.Blueprint("api", __name__, url_prefix="/api/v1")

JUDGES = ("reviewer", "auditor", "authority")
"""Roles that are shown which rule and model decided."""
MAX_LOOKUPS = 1_000
MAX_MARKS = 1_000
REMEMBERED_S = 300
PADDED_BYTES = 4096
_SHA1_PREFIX = re.compile(rf"[0-9A-Fa-f]{{{MIN_HEX_DIGITS},{HEX_DIGITS}}}")

M = TypeVar("M", bound=Message)


@pages.get("/openapi.json")
def openapi() -> Any:
    """What there is."""
    return flask.jsonify(description())


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "openapi.yaml").read_text())
    return found


@pages.get("/reputations/<number>")
def reputation(number: str) -> Any:
    """Look one number up."""
    web.limit(limits.LOOKUP)
    found = site().upstream.reputation.GetReputation(
        reputation_pb2.GetReputationRequest(number=number), timeout=CALL_S
    )
    return _answer(without_making(found))


@pages.get("/numbers/<number>")
def number(number: str) -> Any:
    """Say what a number is by the numbering plan."""
    web.limit(limits.LOOKUP)
    found = site().upstream.numbers.BatchDescribeNumbers(
        number_pb2.BatchDescribeNumbersRequest(numbers=[number]), timeout=CALL_S
    )
    result = found.results[0]
    if result.HasField("error"):
        raise rpc.from_status_proto(result.error) or AssertionError(result.error.message)
    return _answer(result.number.facts)


@pages.post("/reputations:batchGet")
def reputations() -> Any:
    """Look many numbers up, each answered in its place."""
    account = _account()
    request = _read(reputation_pb2.BatchGetReputationsRequest())
    check_batch(len(request.numbers), MAX_LOOKUPS, "numbers")
    site().limits.take(limits.BATCH, account.name)
    answer = site().upstream.reputation.BatchGetReputations(request, timeout=CALL_S)
    if account.role not in JUDGES:
        for result in answer.results:
            if result.HasField("reputation"):
                without_making(result.reputation)
    return _answer(answer)


@pages.post("/reputations:searchSha1")
def reputations_by_sha1() -> Any:
    """Look up mobile numbers by a prefix of the SHA-1 of their eleven digits, or all of it."""
    account = _account("vendor")
    prefix = _sha1_prefix()
    site().limits.take(limits.BATCH, account.name)
    found = site().hashes.find(prefix)
    request = reputation_pb2.BatchGetReputationsRequest(numbers=found.values())
    answer = reputation_pb2.BatchGetReputationsResponse()
    if found:
        answer = site().upstream.reputation.BatchGetReputations(request, timeout=CALL_S)
    entries = []
    for sha1, result in zip(found, answer.results, strict=True):
        without_making(result.reputation).ClearField("number")  # who knows it has its hash
        entries.append({"sha1": sha1, "reputation": _as_dict(result.reputation)})
    return _padded({"entries": entries})


@pages.post("/marks")
def marks() -> Any:
    """Submit marks of the vendor's own source, each answered in its place."""
    account = _account("vendor")
    request = _read(ingest_pb2.SubmitMarksRequest())
    check_batch(len(request.marks), MAX_MARKS, "marks")
    request.source = _own_source(account, request.source)
    site().limits.take(limits.BATCH, account.name)
    return _answer(site().upstream.ingest.SubmitMarks(request, timeout=CALL_S))


@pages.post("/marks:getStatus")
def mark_status() -> Any:
    """What became of the vendor's own marks."""
    account = _account("vendor")
    request = _read(ingest_pb2.GetMarkStatusRequest())
    request.source = _own_source(account, request.source)
    site().limits.take(limits.BATCH, account.name)
    return _answer(site().upstream.ingest.GetMarkStatus(request, timeout=CALL_S))


@pages.post("/disputes")
def file_dispute() -> Any:
    """File one."""
    web.limit(limits.FILING)
    request = _read(dispute_pb2.FileDisputeRequest())
    request.filer = "public"
    return _answer(site().upstream.disputes.FileDispute(request, timeout=CALL_S))


@pages.post("/disputes:batchFile")
def file_disputes() -> Any:
    """File many, each answered in its place."""
    account = _account()
    request = _read(dispute_pb2.BatchFileDisputesRequest())
    site().limits.take(limits.BATCH, account.name)
    for item in request.disputes:
        item.filer = account.name
    return _answer(site().upstream.disputes.BatchFileDisputes(request, timeout=120))


@pages.post("/disputes:get")
def get_dispute() -> Any:
    """Follow a case; its number is in the body, so that it stands in no log of addresses."""
    web.limit(limits.CASE)
    asked = _read(dispute_pb2.GetDisputeRequest())
    request = dispute_pb2.GetDisputeRequest(case_number=_required(asked.case_number))
    return _answer(site().upstream.disputes.GetDispute(request, timeout=CALL_S))


@pages.post("/disputes:sendCode")
def send_code() -> Any:
    """Have a code sent to the number."""
    web.limit(limits.CASE)
    request = _read(dispute_pb2.SendOwnershipCodeRequest())
    return _answer(site().upstream.disputes.SendOwnershipCode(request, timeout=CALL_S))


@pages.post("/disputes:prove")
def prove() -> Any:
    """Prove ownership."""
    web.limit(limits.CASE)
    request = _read(dispute_pb2.ProveOwnershipRequest())
    return _answer(site().upstream.disputes.ProveOwnership(request, timeout=CALL_S))


@pages.post("/disputes:appeal")
def appeal() -> Any:
    """Appeal."""
    web.limit(limits.CASE)
    request = _read(dispute_pb2.AppealDisputeRequest())
    return _answer(site().upstream.disputes.AppealDispute(request, timeout=CALL_S))


@pages.post("/disputes:withdraw")
def withdraw() -> Any:
    """Take it back."""
    web.limit(limits.CASE)
    request = _read(dispute_pb2.WithdrawDisputeRequest())
    return _answer(site().upstream.disputes.WithdrawDispute(request, timeout=CALL_S))


@pages.post("/disputes:subscribe")
def subscribe() -> Any:
    """Have notices of a case sent to an address; answers with the key of their signatures."""
    web.limit(limits.CASE)
    asked = _read(notice_pb2.CreateNoticeTargetRequest())
    request = notice_pb2.CreateNoticeTargetRequest(
        case_number=_required(asked.case_number), url=asked.url
    )
    return _answer(site().upstream.notices.CreateNoticeTarget(request, timeout=CALL_S))


def _answer(message: Message) -> Any:
    return flask.jsonify(_as_dict(message))


def _as_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _padded(body: dict[str, Any]) -> Any:
    """The body with a `padding` that makes its size a multiple of PADDED_BYTES."""
    bare = len(flask.json.dumps({**body, "padding": ""}))
    text = flask.json.dumps({**body, "padding": "0" * (-bare % PADDED_BYTES)})
    return flask.Response(text, mimetype="application/json")


def _sha1_prefix() -> str:
    """The prefix that the body names, in small letters.

    Raises:
        InvalidArgument: BODY_INVALID or FIELD_OUT_OF_RANGE.
    """
    body = flask.request.get_json(silent=True)
    if not isinstance(body, dict) or set(body) - {"sha1_prefix"}:
        cause = "an object with sha1_prefix is meant"
        raise InvalidArgument("BODY_INVALID", f"body is not right: {cause}", cause=cause)
    prefix = body.get("sha1_prefix")
    if not isinstance(prefix, str) or not _SHA1_PREFIX.fullmatch(prefix):
        raise out_of_range("sha1_prefix", str(prefix)[:64], "4 to 40 hexadecimal digits")
    return prefix.lower()


def _read(message: M) -> M:
    """The body as a message.

    Raises:
        InvalidArgument: BODY_INVALID.
    """
    try:
        text = flask.request.get_data().decode()
        json_format.Parse(text or "{}", message, max_recursion_depth=20)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        cause = str(error).splitlines()[0][:200]
        raise InvalidArgument(
            "BODY_INVALID", f"body is not the JSON of this method: {cause}", cause=cause
        ) from None
    return message


def _required(case_number: str) -> str:
    if not case_number:
        raise InvalidArgument("FIELD_REQUIRED", "case_number is required", field="case_number")
    return case_number


def _own_source(account: Account, asked: str) -> str:
    if asked not in ("", account.source):
        raise Refused("PERMISSION_DENIED", "another source's marks", role=account.role)
    return account.source


class _Remembered:
    """Log-ins found right a short while ago, by keyed digest: scrypt is slow on purpose."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._until: dict[tuple[bytes, str], int] = {}

    def digest(self, header: str, account_digest: str) -> tuple[bytes, str]:
        """Of a header and the hash that it was found right against."""
        mac = hmac.new(self._key, header.encode(), hashlib.sha256).digest()
        return mac, account_digest

    def holds(self, key: tuple[bytes, str], now_ms: int) -> bool:
        """Whether it was found right lately."""
        return self._until.get(key, 0) > now_ms

    def keep(self, key: tuple[bytes, str], now_ms: int) -> None:
        """Remember it."""
        with self._lock:
            if len(self._until) > 10_000:
                self._until.clear()
            self._until[key] = now_ms + REMEMBERED_S * 1000


_remembered = _Remembered()


def _account(*roles: str) -> Account:
    """The account of the Authorization header (Basic, RFC 7617), in one of the roles.

    Raises:
        Refused: UNAUTHENTICATED or PERMISSION_DENIED.
        ResourceExhausted: RATE_LIMITED, for too many wrong ones.
    """
    header = flask.request.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name = colon = password = ""
    if scheme.lower() != "basic" or not colon:
        raise Refused("UNAUTHENTICATED", "this method needs an account (HTTP Basic)")
    now_ms = site().clock()
    account = site().accounts.get(name)
    key = _remembered.digest(header, account.digest if account else "")
    if account is None or not _remembered.holds(key, now_ms):
        web.limit(limits.LOGIN)
        account = site().accounts.check(name, password)
        if account is None:
            raise Refused("UNAUTHENTICATED", "name or password is wrong")
        _remembered.keep(key, now_ms)
    if roles and account.role not in roles:
        raise Refused("PERMISSION_DENIED", f"not for the role {account.role}", role=account.role)
    return account
