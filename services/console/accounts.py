"""Who may log in to the console: names, roles and scrypt hashes, in a file of the operator's."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.common.errors import InvalidArgument, out_of_range
from services.common.taxonomy import standard

ROLES = ("reviewer", "vendor", "operator", "auditor", "authority")
MIN_PASSWORD_CHARS = 10
"""NIST SP 800-63B-4 asks for eight and more; a rate limit stands before the hash."""

# RFC 7914 names N = 2^14 for interactive log-ins; twice that takes about 0.1 s and 32 MiB.
_N, _R, _P = 1 << 15, 8, 1
_MEMORY = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


@dataclass(frozen=True)
class Account:
    """One person, or one vendor's client.

    Attributes:
        role: one of ROLES.
        source: the source whose vendor it is, or the authority, by its short Chinese name; ""
            for other roles.
        salt, digest: base64 of the scrypt salt and hash (RFC 7914).
    """

    name: str
    role: str
    source: str
    salt: str
    digest: str


def hashed(name: str, role: str, source: str, password: str) -> Account:
    """An account with a fresh salt.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE or FIELD_REQUIRED.
    """
    if not _NAME.fullmatch(name):
        raise out_of_range("name", name[:64], "1 to 64 letters, digits, '.', '_', '@' or '-'")
    if role not in ROLES:
        raise out_of_range("role", role[:64], ", ".join(ROLES))
    if (role in ("vendor", "authority")) != bool(source):
        raise InvalidArgument(
            "FIELD_REQUIRED",
            "source is required of a vendor and of an authority, and of nobody else",
            field="source",
        )
    if role == "authority" and source not in standard.load().authorities:
        raise out_of_range("source", source[:64], ", ".join(standard.load().authorities))
    if len(password) < MIN_PASSWORD_CHARS:
        raise out_of_range("password", "…", f"{MIN_PASSWORD_CHARS} characters or more")
    salt = secrets.token_bytes(16)
    return Account(name, role, source, base64.b64encode(salt).decode(), _digest(password, salt))


def _digest(password: str, salt: bytes) -> str:
    key = hashlib.scrypt(
        password.encode(errors="surrogatepass"), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY
    )
    return base64.b64encode(key).decode()


_NOBODY = Account("", "", "", base64.b64encode(bytes(16)).decode(), "")


class Accounts:
    """The accounts of a file, read anew when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read: tuple[int, Mapping[str, Account]] = (-1, {})

    def get(self, name: str) -> Account | None:
        """The account of a name."""
        return self._accounts().get(name)

    def check(self, name: str, password: str) -> Account | None:
        """The account, if the password is right; a wrong name takes as long as a wrong password."""
        account = self._accounts().get(name, _NOBODY)
        digest = _digest(password, base64.b64decode(account.salt))
        return account if hmac.compare_digest(digest, account.digest) else None

    def put(self, account: Account) -> None:
        """Add or replace an account; the file is readable by us alone."""
        kept = {**self._accounts(), account.name: account}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump([asdict(kept[name]) for name in sorted(kept)], file, indent=1)
        fresh.replace(self._path)

    def names(self) -> list[tuple[str, str, str]]:
        """(name, role, source) of every account, by name."""
        return [(a.name, a.role, a.source) for _, a in sorted(self._accounts().items())]

    def _accounts(self) -> Mapping[str, Account]:
        with self._lock:
            try:
                changed_ns = self._path.stat().st_mtime_ns
            except FileNotFoundError:
                return {}
            if changed_ns != self._read[0]:
                rows = json.loads(self._path.read_text())
                self._read = changed_ns, {row["name"]: Account(**row) for row in rows}
            return self._read[1]
