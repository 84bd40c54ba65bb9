"""What several commands read and print alike."""

import sys

from rich.console import Console
from rich.progress import Progress

from services.cli import importing
from services.common.errors import InvalidArgument

errors_console = Console(stderr=True)


def time_option(value: str, name: str) -> int | None:
    """An option's time as epoch milliseconds; None where it is not given.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    if not value:
        return None
    at = int(importing.times_ms([value])[0])
    if at < 0:
        raise InvalidArgument(
            "TIME_INVALID", f"{name} is no time: {value!r}", field=name, value=value
        )
    return at


def progress() -> Progress:
    """A bar for people, nothing where nobody looks."""
    return Progress(console=errors_console, disable=not sys.stderr.isatty())


def show_rejects(rejects: list[tuple[str, int, str, str]]) -> None:
    """Rows that were refused, each by file, line, field and reason."""
    for file, line, field, reason in rejects:
        errors_console.print(f"{file}:{line}: {field}: {reason}", markup=False)
