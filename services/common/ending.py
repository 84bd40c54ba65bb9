"""The end of a process, as SIGTERM or SIGINT asks for it."""

import os
import select
import signal


class Ending:
    """Whether this process was told to end.

    Python runs a handler in the main thread between two of its steps. Between those in which
    `threading.Event.wait` holds its lock, `Event.set` in the handler would wait for ever; and
    just before a call that waits, the handler would be run after that call. So the interpreter is
    told to write a byte into a pipe when the signal comes, and whoever waits looks for one.
    No other signal of the process may have a handler: it would be taken for one of these.
    """

    def __init__(self) -> None:
        """Take over SIGTERM and SIGINT; for the main thread only."""
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._writable, False)
        signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: None)

    def is_set(self) -> bool:
        """Whether it was."""
        return self.wait(0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is, at most so long; whether it was. Any thread may wait."""
        ready, _, _ = select.select([self._readable], [], [], timeout_s)
        return bool(ready)
