"""Certificates of a process: a folder with tls.crt, tls.key and ca.crt, as a TLS Secret has them.

Servers read them anew at each handshake and channels at each call once the files have changed, so
that certificates are renewed without a restart.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from services.common.errors import InvalidArgument
from services.common.identity.watched import Watched

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"


@dataclass(frozen=True)
class Certificates:
    """What a process shows and whom it trusts, PEM each; certificate and key may be empty for one
    that shows a token."""

    certificate: bytes
    key: bytes
    authority: bytes


def read_certificates(folder: Path) -> Certificates:
    """Read a folder.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    try:
        own = [
            (folder / name).read_bytes() if (folder / name).exists() else b""
            for name in (CERTIFICATE, KEY)
        ]
        found = Certificates(own[0], own[1], (folder / AUTHORITY).read_bytes())
    except OSError as error:
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"{folder} lacks {AUTHORITY} or it cannot be read",
            file=folder.name,
            cause=type(error).__name__,
        ) from None
    if not _fit(found):
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"{folder}: {CERTIFICATE} and {KEY} do not belong together",
            file=folder.name,
            cause="Mismatch",
        )
    return found


def _fit(found: Certificates) -> bool:
    """Whether certificate and key are of one pair, or both absent."""
    if not found.certificate or not found.key:
        return found.certificate == found.key
    from cryptography import x509  # a process in clear does without it
    from cryptography.hazmat.primitives import serialization

    try:
        certificate = x509.load_pem_x509_certificate(found.certificate)
        key = serialization.load_pem_private_key(found.key, password=None)
    except ValueError:
        return False
    return key.public_key() == certificate.public_key()


def watched(folder: Path) -> Watched[Certificates]:
    """The newest good certificates of a folder.

    Raises:
        InvalidArgument: FILE_UNREADABLE, at the first reading.
    """
    return Watched(
        [folder / name for name in (CERTIFICATE, KEY, AUTHORITY)],
        lambda: read_certificates(folder),
    )


def server_credentials(
    certificates: Callable[[], Certificates], clients_show_one: bool
) -> grpc.ServerCredentials:
    """Credentials of a port.

    Args:
        certificates: the present ones.
        clients_show_one: whether nobody is let in without a certificate of the authority.
    """

    def configuration() -> Any:
        found = certificates()
        return grpc.ssl_server_certificate_configuration(
            [(found.key, found.certificate)], root_certificates=found.authority
        )

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, clients_show_one)


def channel_credentials(found: Certificates, token: str = "") -> grpc.ChannelCredentials:
    """Credentials of a channel, with a bearer token if there is one."""
    secure = grpc.ssl_channel_credentials(
        found.authority, found.key or None, found.certificate or None
    )
    if not token:
        return secure
    return grpc.composite_channel_credentials(secure, grpc.access_token_call_credentials(token))


class RenewedChannel(grpc.Channel):
    """A channel that is opened anew once its certificates have changed."""

    def __init__(
        self,
        certificates: Callable[[], Certificates],
        connect: Callable[[Certificates], grpc.Channel],
    ) -> None:
        self._certificates, self._connect = certificates, connect
        self._lock = threading.Lock()
        self._shown = certificates()
        self._channel = connect(self._shown)
        self._closed: list[grpc.Channel] = []

    def _present(self) -> grpc.Channel:
        found = self._certificates()
        if found is not self._shown:
            with self._lock:
                if found is not self._shown:
                    # Calls under way finish on the old channel; it is closed with this one.
                    self._closed.append(self._channel)
                    self._shown, self._channel = found, self._connect(found)
        return self._channel

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As of a channel."""
        return _Renewed(self._present, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As of a channel."""
        return _Renewed(self._present, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As of a channel."""
        return _Renewed(self._present, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As of a channel."""
        return _Renewed(self._present, "stream_stream", args, kwargs)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """As of a channel."""
        self._present().subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """As of a channel."""
        self._present().unsubscribe(callback)

    def close(self) -> None:
        """Close what was opened."""
        for channel in (*self._closed, self._channel):
            channel.close()

    def __enter__(self) -> "RenewedChannel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Renewed:
    """A method of the present channel."""

    def __init__(self, present: Callable[[], grpc.Channel], kind: str, args: Any, kwargs: Any):
        self._present, self._kind, self._args, self._kwargs = present, kind, args, kwargs
        self._made: tuple[grpc.Channel, Any] | None = None

    def _method(self) -> Any:
        channel, made = self._present(), self._made
        if made is None or made[0] is not channel:
            made = self._made = channel, getattr(channel, self._kind)(*self._args, **self._kwargs)
        return made[1]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._method()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method(), name)
