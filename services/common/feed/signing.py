"""Signatures of heads: what makes a copy worth trusting."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.common.errors import FailedPrecondition
from services.common.feed.head import Head, read_head


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
