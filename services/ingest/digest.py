"""Digests: keys of sources, labels and marks, and the keyed pseudonyms of people.

All are BLAKE2b (Saarinen and Aumasson 2015, RFC 7693); a person's pseudonym uses its keyed mode,
so that nobody without the key can find out whether a given person is behind a mark.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]


def source_key(name: str) -> int:
    """Key of a source: 64 bits of the digest of its name."""
    return int.from_bytes(
        blake2b(name.encode(), digest_size=8, person=b"source").digest(), "little"
    )


def label_key(source: str, label: str) -> int:
    """Key of a source's label: 64 bits of the digest of both."""
    text = f"{source}\0{label}".encode(errors="replace")
    return int.from_bytes(blake2b(text, digest_size=8, person=b"label").digest(), "little")


def mark_keys(
    source: str, mark_ids: Iterable[str], withdrawn: npt.NDArray[np.bool_]
) -> tuple[U64, U64]:
    """Key and check of each mark, shape (n,) each: 127 bits together.

    The key of a mark is even, that of its withdrawal is the same plus one.
    """
    start = blake2b(source.encode() + b"\0", digest_size=16, person=b"mark")

    def digest(mark_id: str) -> bytes:
        state = start.copy()
        state.update(mark_id.encode(errors="surrogatepass"))
        return state.digest()

    both = np.frombuffer(b"".join(map(digest, mark_ids)), dtype="<u8").reshape(-1, 2)
    return (both[:, 0] & ~np.uint64(1)) | withdrawn.astype(np.uint64), both[:, 1].copy()


def person_keys(secret: bytes, scope: str, persons: Sequence[str]) -> U64:
    """Pseudonym of each person within a scope, shape (n,); 0 for the empty name.

    Args:
        secret: the key, 16 to 64 bytes.
        scope: the source or "callee": the same name in two scopes has unrelated pseudonyms.
        persons: names as received.
    """
    start = blake2b(scope.encode() + b"\0", key=secret, digest_size=8, person=b"person")
    seen: dict[str, int] = {"": 0}

    def digest(person: str) -> int:
        state = start.copy()
        state.update(person.encode(errors="surrogatepass"))
        return int.from_bytes(state.digest(), "little") or 1

    for person in set(persons) - seen.keys():
        seen[person] = digest(person)
    return np.fromiter((seen[p] for p in persons), dtype=np.uint64, count=len(persons))
