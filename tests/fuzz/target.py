"""What a target of the fuzzing is."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import mutated

CORPUS = Path(__file__).parent / "corpus"

Run = Callable[[bytes], None]
Mutate = Callable[[bytes, Sequence[bytes], random.Random], bytes]


class Wrong(Exception):
    """An answer that no input may have: INTERNAL, or a status without its reason."""


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Attributes:
        opened: what runs one input, for as long as the block runs; takes an empty folder. It
            returns for an answer and raises DomainError for a refusal; anything else it raises is
            a finding.
        seeds: good inputs to begin with; `python -m tests.fuzz --write-corpus` keeps them.
        mutate: makes an input of another one.
    """

    name: str
    opened: Callable[[Path], AbstractContextManager[Run]]
    seeds: Callable[[], Iterator[bytes]]
    mutate: Mutate = mutated


def corpus(name: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
