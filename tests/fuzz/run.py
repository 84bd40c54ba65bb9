"""One target for some time: mutated inputs, counted; findings told apart by where they arose."""

import faulthandler
import mmap
import random
import time
import traceback
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from services.common.errors import DomainError
from tests.fuzz.target import Target, corpus
from zhengming.type.v1.error_reason_pb2 import ErrorReason

LONGEST_S = 15.0
"""No input may take so long."""
LAST_BYTES = 1 << 20
"""Of the file that holds the input that runs, so that one that kills the process is known."""


@dataclass
class Findings:
    """What came of a run.

    Attributes:
        executions: inputs that ran.
        refused: of these, how many were refused with a reason.
        found: an input and its traceback by the place where it arose.
    """

    executions: int = 0
    refused: int = 0
    found: dict[str, tuple[bytes, str]] = field(default_factory=dict)


def check(run, content: bytes) -> bool:
    """Run one input; whether it was refused. Raises what no input may raise."""
    try:
        run(content)
    except DomainError as error:
        assert f"ERROR_REASON_{error.reason}" in ErrorReason.keys(), f"no reason {error.reason}"  # noqa: SIM118
        return True
    return False


def fuzz(target: Target, seconds: float, seed: int, folder: Path) -> Findings:
    """Run inputs for some seconds; the same seed gives the same inputs in the same order.

    Args:
        folder: empty, for what the target keeps and the input that runs.
    """
    rng, result = random.Random(seed), Findings()
    inputs = [path.read_bytes() for path in corpus(target.name)] or list(target.seeds())
    with target.opened(folder) as run, LastInput(folder / "last") as last:
        until = time.monotonic() + seconds
        armed = 0.0
        while (now := time.monotonic()) < until:
            if now > armed + 1:  # an input that takes for ever ends the process with a traceback
                faulthandler.dump_traceback_later(LONGEST_S, exit=True)
                armed = now
            content = target.mutate(rng.choice(inputs), inputs, rng)
            last.set(content)
            result.executions += 1
            try:
                result.refused += check(run, content)
            except Exception as error:
                result.found.setdefault(place_of(error), (content, traceback.format_exc()))
        faulthandler.cancel_dump_traceback_later()
    return result


def place_of(error: BaseException) -> str:
    """Kind of an exception and the innermost line of ours that it went through."""
    while error.__cause__ or error.__context__:  # of an answer INTERNAL, what was raised
        error = error.__cause__ or error.__context__
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/services/" in f.filename] or frames
    last = ours[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} {last.name}"


def name_of(content: bytes) -> str:
    """Of an input's file."""
    return sha256(content).hexdigest()[:16]


class LastInput:
    """A file that holds the input that runs, mapped, so that it costs no call."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(LAST_BYTES))
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), LAST_BYTES)

    def __enter__(self) -> "LastInput":
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()
        self._file.close()

    def set(self, content: bytes) -> None:
        """Keep the input."""
        part = content[: LAST_BYTES - 4]
        self._map[: 4 + len(part)] = len(part).to_bytes(4, "little") + part

    @staticmethod
    def read(path: Path) -> bytes:
        """The input that ran last."""
        content = path.read_bytes()
        return content[4 : 4 + int.from_bytes(content[:4], "little")]
