"""The signed head of a state: what makes a copy worth trusting."""

import hashlib
import json
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.common.errors import FailedPrecondition, InvalidArgument

ALL = "all"
"""The filter that keeps everything."""

_VERSION = re.compile(r"([0-9]{1,18})-([0-9a-f]{8})")


@dataclass(frozen=True)
class Head:
    """A state of the feed.

    Attributes:
        version: opaque to consumers: the published version and a digest of the filter.
        filter: its canonical text, ALL without one.
        row_count: rows in the state.
        state_sha256: hex.
        publish_time_ms: when the published version was written; 0: nothing was published.
    """

    version: str
    filter: str
    row_count: int
    state_sha256: str
    publish_time_ms: int

    def to_bytes(self) -> bytes:
        """JSON with sorted keys and no spaces: what is signed."""
        return json.dumps(self.__dict__, sort_keys=True, separators=(",", ":")).encode()


def read_head(content: bytes) -> Head:
    """Read a head.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    try:
        fields = json.loads(content)
        head = Head(**fields)
        kinds = {"row_count": int, "publish_time_ms": int}
        for name, value in fields.items():
            if type(value) is not kinds.get(name, str):
                raise TypeError(f"{name} has another type")
    except (ValueError, TypeError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"this is no head of the feed: {error}",
            file="head",
            cause=error,
        ) from None
    return head


def make_version(version: int, filter_text: str) -> str:
    """The opaque version of a filtered state."""
    return f"{version}-{hashlib.sha256(filter_text.encode()).hexdigest()[:8]}"


def read_version(text: str, filter_text: str, field: str = "version") -> int | None:
    """The published version in an opaque one; None where it belongs to another filter.

    Raises:
        InvalidArgument: FEED_VERSION_INVALID.
    """
    found = _VERSION.fullmatch(text)
    if found is None:
        raise InvalidArgument(
            "FEED_VERSION_INVALID",
            f"{field} was not issued by a feed: {text[:40]!r}",
            field=field,
            value=text[:40],
        )
    version = int(found[1])
    return version if make_version(version, filter_text) == text else None


def key_id(public_key: bytes) -> str:
    """Short name of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


class Signer:
    """Signs heads with an Ed25519 key (RFC 8032)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    def sign(self, head: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(head)


def verify(public_key: bytes, head: bytes, signature: bytes) -> Head:
    """The head, if the key has signed it.

    Raises:
        FailedPrecondition: FEED_SIGNATURE_INVALID.
        InvalidArgument: FILE_UNREADABLE.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, head)
    except (InvalidSignature, ValueError):
        raise FailedPrecondition(
            "FEED_SIGNATURE_INVALID",
            f"the head is not signed by the trusted key {key_id(public_key)}",
            trusted=key_id(public_key),
        ) from None
    return read_head(head)
