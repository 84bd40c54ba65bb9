"""What an engine's failure means to a caller: later, never, or look at the statement."""

import re

from services.common.errors import DomainError, Unavailable

# TABLE_ALREADY_EXISTS, DUPLICATE_COLUMN, and ILLEGAL_COLUMN as 18.16 says the latter.
ALREADY_DONE_CODES = (57, 15, 44)

# Engine error codes (ClickHouse src/Common/ErrorCodes.cpp) after which the same statement may
# succeed later: the server is overloaded, restarting, or without its quorum.
_PASSING_CODES = {
    159: "TIMEOUT_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    289: "REPLICA_IS_NOT_IN_QUORUM",
    319: "UNKNOWN_STATUS_OF_INSERT",
    369: "ALL_REPLICAS_ARE_STALE",
    439: "CANNOT_SCHEDULE_TASK",
    999: "KEEPER_EXCEPTION",
}
_NO_SPACE = "errno: 28,"
"""In whatever statement and file it happens, the disk is full (errno.h: ENOSPC)."""
_SYNTAX_ERROR_CODE = 62

# From here on the engines repeat the statement, its values, or their own stack.
_REPETITION = re.compile(
    r"[\s.,:(]*(?:Stack trace:|In scope\b|[Ww]hile (?:processing|executing|converting)\b"
    r"|in query:|, e\.what\(\)|\(query: |failed at position|: value )",
)
_QUOTED = re.compile(r"'(?![A-Za-z_][\w.]*')[^']*'")
_LONG_DIGITS = re.compile(r"\+?\d{5,}")


class StoreError(Exception):
    """The engine refused a statement: a fault of the program or its schema, not of the caller.

    Attributes:
        code: the engine's error code, 60 for an unknown table.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"engine code {code}: {message}")
        self.code = code


def engine_failure(code: int, message: str) -> StoreError | DomainError:
    """The exception for an engine's error code and message.

    Returns:
        Unavailable(STORE_UNAVAILABLE) for a passing state, else StoreError; its message is one
        line without values, for it may reach a log.
    """
    line = one_line(message) if code != _SYNTAX_ERROR_CODE else "the statement's syntax is wrong"
    if _NO_SPACE in message:
        return Unavailable("STORE_UNAVAILABLE", "store: NOT_ENOUGH_SPACE: the disk is full")
    if code in _PASSING_CODES:
        return Unavailable("STORE_UNAVAILABLE", f"store: {_PASSING_CODES[code]}: {line}")
    return StoreError(code, line)


def one_line(message: str) -> str:
    """The first sentence of an engine's message, without statement, stack, literals or numbers."""
    text = message.removeprefix("DB::Exception: ").strip()
    text = text.splitlines()[0] if text else "no message"
    text = text.split("DB::Exception: ", 1)[-1]
    text = _REPETITION.split(text, maxsplit=1)[0].strip()
    text = _LONG_DIGITS.sub("…", _QUOTED.sub("'…'", text))
    return text[:300] or "no message"
