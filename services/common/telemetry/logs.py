"""One line of JSON a record, with the trace it belongs to, and nothing that looks like a number."""

import json
import logging
import re
from datetime import UTC, datetime

from services.common.telemetry.traces import current

EXTRAS = ("method", "job", "reading")
"""What a record may name besides its message."""
_LONG_DIGITS = re.compile(r"\+?\d{5,}")


class JsonFormatter(logging.Formatter):
    """Writes records; five digits in a row and more are left out, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _safe(record.getMessage()),
        }
        if (context := current()) is not None:
            found["trace_id"] = f"{context.trace_id:032x}"
        for name in EXTRAS:
            if name in record.__dict__:
                found[name] = _safe(str(record.__dict__[name]))
        if record.exc_info:
            found["traceback"] = _safe(self.formatException(record.exc_info))
        return json.dumps(found, ensure_ascii=False)


def log_as_json(level: int = logging.INFO) -> None:
    """Have this process log so, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _safe(text: str) -> str:
    return _LONG_DIGITS.sub("…", text)
