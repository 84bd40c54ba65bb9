"""Files made from a verified copy, without a server."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from services.common.errors import InvalidArgument
from services.consumer import blocklists, carrier_files
from services.consumer.copy import Folder

CHINA = timezone(timedelta(hours=8))
CARRIER_FILES, PHONEBLOCK, SPAMBLOCKER = "carrier-files", "phoneblock", "spamblocker"
KINDS = (CARRIER_FILES, PHONEBLOCK, SPAMBLOCKER)


def write(
    kind: str,
    folder: Path,
    out: Path,
    carrier: str,
    day: str,
    before: Path | None,
    minimum_level: int,
) -> dict[str, Any]:
    """Write files of a kind from the copy in a folder; what was done.

    Raises:
        DomainError: see Folder.load, carrier_files.hand_over and blocklists.phoneblock;
            TIME_INVALID for the day.
    """
    copy = Folder(folder).load()
    if kind == CARRIER_FILES:
        done = carrier_files.hand_over(copy, out, carrier, _day(day))
        return {
            "files": [path.name for path in done.paths],
            "put": done.puts,
            "deleted": done.deletes,
            "version": copy.head.version,
        }
    if kind == PHONEBLOCK:
        text = blocklists.phoneblock(copy, before, minimum_level)
    else:
        text = blocklists.spamblocker(copy, minimum_level)
    out.write_text(text, encoding="utf-8")
    return {"file": str(out), "version": copy.head.version}


def _day(text: str) -> date:
    """A day from YYYY-MM-DD; "" is today in China.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    try:
        return date.fromisoformat(text) if text else datetime.now(CHINA).date()
    except ValueError:
        raise InvalidArgument(
            "TIME_INVALID",
            f"--day must be YYYY-MM-DD, not {text[:40]!r}",
            field="day",
            value=text[:40],
        ) from None
