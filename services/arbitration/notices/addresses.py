"""Which addresses notices may go to: none of the operator's own network (SSRF). Pure."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.common.errors import InvalidArgument

MAX_URL = 500
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


@dataclass(frozen=True)
class Place:
    """A URL taken apart.

    Attributes:
        host: name or address, without brackets.
        path: with the query.
    """

    is_secure: bool
    host: str
    port: int
    path: str


def place_of(url: str, allow_private: bool) -> Place:
    """Take a target's URL apart.

    Args:
        url: https; http too where private addresses are allowed.
        allow_private: for tests and laptops.

    Raises:
        InvalidArgument: FIELD_REQUIRED, FIELD_TOO_LONG or NOTICE_URL_REFUSED.
    """
    if not url:
        raise InvalidArgument("FIELD_REQUIRED", "url is required", field="url")
    if len(url) > MAX_URL:
        raise InvalidArgument(
            "FIELD_TOO_LONG",
            f"url has {len(url)} characters, at most {MAX_URL} are allowed",
            field="url",
            length=len(url),
            maximum=MAX_URL,
        )
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise _refused("HOST", "has characters that no address has")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("HOST", "cannot be read") from None
    if parts.scheme not in ("https", "http") or (parts.scheme == "http" and not allow_private):
        raise _refused("SCHEME", "must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise _refused("CREDENTIALS", "must carry no name or password")
    if not host or "%" in host:
        raise _refused("HOST", "names no host")
    if port == 0:
        raise _refused("PORT", "names no port")
    if not allow_private:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
            if local or "." not in host:
                raise _refused("ADDRESS_NOT_PUBLIC", "is no public host") from None
        else:
            if not is_public(str(address)):
                raise _refused("ADDRESS_NOT_PUBLIC", "is no public address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_secure = parts.scheme == "https"
    return Place(is_secure, host, port or (443 if is_secure else 80), path)


def is_public(text: str) -> bool:
    """Whether an address belongs to the public network, whatever wraps it."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address in _SIX_TO_FOUR:
            inner = ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _refused(cause: str, why: str) -> InvalidArgument:
    return InvalidArgument("NOTICE_URL_REFUSED", f"url {why}", field="url", cause=cause)
