"""The head of a state: what is signed of it, and the names of versions."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.common.errors import InvalidArgument

ALL = "all"
"""The filter that keeps everything."""

_VERSION = re.compile(r"([0-9]{1,18})-([0-9a-f]{8})")


@dataclass(frozen=True)
class Head:
    """A state of the feed.

    Attributes:
        version: opaque to consumers: the published version and a digest of the filter.
        filter: its canonical text, see `filter_text`.
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


def filter_text(
    calling_codes: Iterable[int], minimum_level: int, category_groups: Iterable[str]
) -> str:
    """Canonical text of a filter: equal for filters that keep the same, whatever their order.

    Args:
        calling_codes: of countries; none: all.
        minimum_level: 0 to 4.
        category_groups: "A1", ...; none: all.
    """
    parts = []
    if codes := sorted(set(calling_codes)):
        parts.append("+" + ",".join(map(str, codes)))
    if minimum_level:
        parts.append(f"level>={minimum_level}")
    if groups := sorted(set(category_groups), key=lambda group: (len(group), group)):
        parts.append(",".join(groups))
    return " ".join(parts) or ALL


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
