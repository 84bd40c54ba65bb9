"""A folder that holds a verified copy of the feed, replaced as a whole and never half."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.common.errors import DomainError, FailedPrecondition, InvalidArgument
from services.common.feed import files
from services.common.feed.head import Head
from services.common.feed.rows import Digest, Rows
from services.common.feed.signing import verify
from services.common.places import place

CURRENT = "current.json"


@dataclass(frozen=True)
class Copy:
    """A verified state.

    Attributes:
        content, signature: the head as it was signed, and
        public_key: by which key, 32 bytes.
        filter_json: what was asked for, as JSON of FeedFilter.
    """

    head: Head
    content: bytes
    signature: bytes
    public_key: bytes
    filter_json: str
    rows: Rows
    digest: Digest

    def find(self, key: int) -> Rows | None:
        """The row of a number's key as an array of one; None: nothing is to be shown of it."""
        at, there = place(self.rows["number"], np.array([key], dtype=np.int64))
        return self.rows[at] if there.all() else None


def check(head: Head, rows: Rows, digest: Digest) -> None:
    """Accept a state that is what its head says.

    Raises:
        FailedPrecondition: FEED_DIGEST_MISMATCH.
    """
    if digest.sha256.hex() != head.state_sha256 or len(rows) != head.row_count:
        raise FailedPrecondition(
            "FEED_DIGEST_MISMATCH",
            f"version {head.version} does not have the digest that its head names",
            version=head.version,
            expected=head.state_sha256,
            found=digest.sha256.hex(),
        )


def check_filter(head: Head, asked: str) -> None:
    """Accept a head that is of the filter that was asked for: all heads of a server are signed.

    Raises:
        FailedPrecondition: FEED_FILTER_MISMATCH.
    """
    if head.filter != asked:
        raise FailedPrecondition(
            "FEED_FILTER_MISMATCH",
            f"version {head.version} is of the filter {head.filter[:80]!r}; "
            f"{asked!r} was asked for",
            version=head.version,
            expected=asked,
            found=head.filter[:80],
        )


class Folder:
    """Where a copy is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def trusted_key(self) -> bytes | None:
        """The public key of the copy that is there; None without one."""
        try:
            return bytes.fromhex(self._current()["public_key"])
        except DomainError:
            return None

    def filter_json(self) -> str | None:
        """The filter of the copy that is there; None without one."""
        try:
            return self._current()["filter"]
        except DomainError:
            return None

    def load(self) -> Copy:
        """The copy, verified anew.

        Raises:
            FailedPrecondition: COPY_NOT_FOUND, FEED_DIGEST_MISMATCH, FEED_SIGNATURE_INVALID.
            InvalidArgument: FILE_UNREADABLE.
        """
        current = self._current()
        content, signature = current["head"].encode(), bytes.fromhex(current["signature"])
        public_key = bytes.fromhex(current["public_key"])
        head = verify(public_key, content, signature)
        rows = files.read_rows(str(self.path / Path(current["file"]).name))
        digest = Digest.of(rows)
        check(head, rows, digest)
        return Copy(head, content, signature, public_key, current["filter"], rows, digest)

    def _current(self) -> dict[str, str]:
        """What CURRENT says, every field there."""
        path = self.path / CURRENT
        if not path.exists():
            raise FailedPrecondition(
                "COPY_NOT_FOUND",
                f"{self.path} holds no copy; run zhengming sync",
                folder=self.path,
            )
        try:
            found = {name: str(value) for name, value in json.loads(path.read_text()).items()}
            for name in ("file", "filter", "head"):
                found[name]
            for name in ("signature", "public_key"):
                bytes.fromhex(found[name])
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise InvalidArgument(
                "FILE_UNREADABLE", f"{path} is damaged: {error}", file=CURRENT, cause=error
            ) from None
        return found

    def try_load(self) -> tuple[Copy | None, str]:
        """The copy, or None and why; "" where none was made yet."""
        try:
            return self.load(), ""
        except DomainError as error:
            return None, "" if error.reason == "COPY_NOT_FOUND" else str(error)

    def keep(self, copy: Copy) -> None:
        """Make a copy the current one; a crash at any moment leaves this or the one before."""
        self.path.mkdir(parents=True, exist_ok=True)
        name = f"state-{copy.head.state_sha256[:32]}.parquet"
        path = self.path / name
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                files.write_rows(copy.rows, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        current = {
            "file": name,
            "filter": copy.filter_json,
            "head": copy.content.decode(),
            "public_key": copy.public_key.hex(),
            "signature": copy.signature.hex(),
        }
        self._replace(self.path / CURRENT, json.dumps(current, indent=1).encode())
        for other in self.path.glob("state-*.parquet"):
            if other != path:
                other.unlink(missing_ok=True)

    def _replace(self, path: Path, content: bytes) -> None:
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
