"""Targets that read files and texts without any service."""

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import lightgbm as lgb
import numpy as np

from services.common.errors import DomainError
from services.common.feed import files
from services.common.feed.head import Head, read_head
from services.common.feed.rows import ROW, Digest
from services.common.feed.signing import Signer, verify
from services.common.numbering import parse, parse_column
from services.common.numbering.keys import CN_11, e164_key
from services.consumer.copy import Copy, Folder
from services.reputation.packets import read_batch
from services.reputation.published import shelf, table
from services.scoring.registry import Registry
from tests.fuzz.mutate import TEXTS, mutated
from tests.fuzz.target import Run, Target
from tests.published_rows import published
from zhengming.reputation.v1 import reputation_pb2 as pb

MODELS = Path(__file__).parents[2] / "models"
KEYS = e164_key(CN_11) + 13_800_138_000 + np.arange(0, 90, 3)


def plain(run: Run) -> Callable[[Path], Iterator[Run]]:
    """A target that needs nothing."""
    return contextmanager(lambda folder: iter((run,)))


# ---- numbers ----------------------------------------------------------------------------------


def _numbers(content: bytes) -> None:
    keys = set()
    for raw in (content, content.decode("utf-8", "replace")):
        try:
            keys.add(parse(raw).key)
        except DomainError:
            keys.add(0)
    column = parse_column([content.decode("utf-8", "replace")]).keys[0]
    assert column in keys, "a column is read otherwise than a text"


def _number_seeds() -> Iterator[bytes]:
    yield from (text.encode("utf-8", "surrogatepass") for text in TEXTS if len(text) < 40)


def _batch(content: bytes) -> None:
    found = read_batch(content)
    if found.keys is not None:
        assert len(found.keys) == found.count
    else:
        for place in range(min(found.count, 3)):
            found.text(place)


def _batch_seeds() -> Iterator[bytes]:
    for numbers in (["+8613800138000"], ["+8613800138000"] * 3, ["10086", "+12025550123"], []):
        yield pb.BatchGetReputationsRequest(numbers=numbers, region="").SerializeToString()
    yield pb.BatchGetReputationsRequest(numbers=["13800138000"], region="CN").SerializeToString()


# ---- the published state ----------------------------------------------------------------------

_TAIL = struct.Struct("<II8s")


def sealed(content: bytes, places: dict | None = None) -> bytes:
    """The file with checksums that are right: whoever writes a hostile file computes them too."""
    if len(content) < _TAIL.size:
        return content
    _, length, _ = _TAIL.unpack(content[-_TAIL.size :])
    body = content[: max(len(content) - _TAIL.size - length, 0)]
    if places is None:
        try:
            places = json.loads(content[len(body) : -_TAIL.size])
        except ValueError:
            return content
    for place in places.values() if isinstance(places, dict) else ():
        if isinstance(place, dict) and {"start", "size"} <= place.keys():
            start, size = place["start"], place["size"]
            if isinstance(start, int) and isinstance(size, int):
                place["crc32"] = zlib.crc32(body[start : start + size])
    footer = json.dumps(places, sort_keys=True, separators=(",", ":")).encode()
    return body + footer + _TAIL.pack(zlib.crc32(footer), len(footer), table.MAGIC)


def _mutated_table(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Change a section, or what the footer says of it, and make the checksums right again."""
    draw = rng.random()
    try:
        length = _TAIL.unpack(content[-_TAIL.size :])[1]
        footer = content[-_TAIL.size - length : -_TAIL.size]
        places = json.loads(footer)
        name = rng.choice(sorted(places))
        place = dict(places[name])
    except (struct.error, ValueError, TypeError, IndexError):
        draw, places, name, place, footer = 1.0, {}, "", {}, b""
    if draw < 0.5:
        start, size = int(place["start"]), int(place["size"])
        part = mutated(content[start : start + size], (), rng)[:size].ljust(size, b"\xff")
        return sealed(content[:start] + part + content[start + size :])
    if draw < 0.9:
        field = rng.choice(sorted(place))
        kinds = [
            "|O",
            "<i8",
            "<u1",
            "<f4",
            "V0",
            "<U9",
            "|S0",
            5,
            None,
            [["what", "<u1"]],
            "M8[s]",
            "x",
        ]
        values = kinds if field == "dtype" else [0, 1, -1, 7, 64, 1 << 40, None, "1", 1.5, [1]]
        place[field] = rng.choice(values)
        if rng.random() < 0.2:
            del places[name]
        else:
            places[name] = place
        try:
            return sealed(content, places)
        except (TypeError, ValueError):
            return content
    return mutated(content, others, rng)


def read_table(content: bytes) -> None:
    """Open and ask everything that lookups, the feed and merges ask."""
    found = table.from_bytes(content)
    found.index.find(KEYS)
    found.columns(table.packing.NAMES)
    found.newest()
    found.since(1)
    found.hashed.find(7)
    table.merged([found, _TABLE])


def _published(count: int) -> table.Table:
    rows = {int(key): (3101 + at, at, 1, 70_000 * at) for at, key in enumerate(KEYS[:count])}
    return table.of_columns(published(rows, 7))


_TABLE = _published(len(KEYS))


def _table_seeds() -> Iterator[bytes]:
    for count in (len(KEYS), 1, 0):
        yield table.to_bytes(_published(count))


@contextmanager
def _log(folder: Path) -> Iterator[Run]:
    path = folder / "x.log"

    def run(content: bytes) -> None:
        path.write_bytes(content)
        shelf.read_log(path, 0)

    yield run


def _log_seeds() -> Iterator[bytes]:
    record = shelf._pack_record(shelf.Mark(2, 3, 4, "5", 3), _published(3))
    yield record
    yield record + record


def _mutated_log(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    head = shelf._RECORD
    if len(content) < head.size or rng.random() < 0.3:
        return mutated(content, others, rng)
    body = mutated(content[head.size :], (), rng)
    return head.pack(shelf._RECORD_MAGIC, zlib.crc32(body), len(body)) + body


@contextmanager
def _manifest(folder: Path) -> Iterator[Run]:
    def run(content: bytes) -> None:
        body = content + b"\n" + str(zlib.crc32(content)).encode()
        (folder / shelf.CURRENT).write_bytes(body if content[:1] == b"{" else content)
        shelf.read_manifest(folder)

    yield run


def _manifest_seeds() -> Iterator[bytes]:
    yield (
        b'{"log": "1-0.log", "mark": {"as_of_ms": 1, "change_cursor": "1", "number_count": 1, '
        b'"publish_ms": 1, "version": 1}, "tables": ["1-0.table"]}'
    )


# ---- the feed ---------------------------------------------------------------------------------

_ROWS = np.zeros(3, dtype=ROW)
_ROWS["number"] = KEYS[:3]


def _rows(content: bytes) -> None:
    Digest.of(files.read_rows(content))


def _removals(content: bytes) -> None:
    files.read_numbers(content)


@contextmanager
def _copy(folder: Path) -> Iterator[Run]:
    kept = Folder(folder / "copy")
    kept.keep(_good_copy())

    def run(content: bytes) -> None:
        (folder / "copy" / "current.json").write_bytes(content)
        Folder(folder / "copy").trusted_key()
        Folder(folder / "copy").filter_json()
        Folder(folder / "copy").load()

    yield run


def _good_copy() -> Copy:
    digest = Digest.of(_ROWS)
    content = Head("1-00000000", "all", 3, digest.sha256.hex(), 1).to_bytes()
    signer = Signer(b"s" * 32)
    return Copy(
        verify(signer.public_key, content, signer.sign(content)), content, signer.sign(content),
        signer.public_key, "{}", _ROWS, digest,
    )  # fmt: skip


def _copy_seeds() -> Iterator[bytes]:
    good = _good_copy()
    yield json.dumps(
        {
            "file": f"state-{good.head.state_sha256[:32]}.parquet",
            "filter": "{}",
            "head": good.content.decode(),
            "public_key": good.public_key.hex(),
            "signature": good.signature.hex(),
        },
        indent=1,
    ).encode()


# ---- models -----------------------------------------------------------------------------------


@contextmanager
def _models(folder: Path) -> Iterator[Run]:
    """Input: the name of a file of the model, a line feed, its content."""
    shipped = next((MODELS / "risk").glob("*/card.json")).parent
    own = folder / "risk" / "v1"
    own.mkdir(parents=True)
    registry = Registry(folder / "none", folder)
    good = {name: (shipped / name).read_bytes() for name in ("card.json", "reference.json")}
    good["model.txt"] = _small_model()
    card = json.loads(good["card.json"])
    card["files"] = {"model.txt": sha256(good["model.txt"]).hexdigest()}
    good["card.json"] = json.dumps(card).encode()

    def run(content: bytes) -> None:
        name, _, body = content.partition(b"\n")
        for file, text in good.items():
            (own / file).write_bytes(body if file.encode() == name else text)
        registry.load("risk", "v1")
        registry.reference("risk", "v1")
        registry.target("v1")
        registry.cards("risk")

    yield run


def _small_model() -> bytes:
    """A model with one tree over the features of the shipped card, so that reading it is quick."""
    names = json.loads(next((MODELS / "risk").glob("*/card.json")).read_text())["features"]
    rows = np.arange(40 * len(names), dtype=np.float64).reshape(40, -1)
    rows = lgb.Dataset(rows, np.arange(40) % 2, feature_name=names)
    settings = {"objective": "binary", "min_data_in_leaf": 2, "verbosity": -1, "num_threads": 1}
    return lgb.train(settings, rows, 1).model_to_string().encode()


def _model_seeds() -> Iterator[bytes]:
    shipped = next((MODELS / "risk").glob("*/card.json")).parent
    # A card that names other files is refused for that alone.
    card = json.loads((shipped / "card.json").read_text()) | {"files": {}}
    yield b"card.json\n" + json.dumps(card).encode()
    yield b"reference.json\n" + (shipped / "reference.json").read_bytes()
    yield b"model.txt\n" + _small_model()


TARGETS = (
    Target("numbers", plain(_numbers), _number_seeds),
    Target("read_batch", plain(_batch), _batch_seeds),
    Target("table", plain(read_table), _table_seeds, _mutated_table),
    Target("log", _log, _log_seeds, _mutated_log),
    Target("manifest", _manifest, _manifest_seeds),
    Target("feed_rows", plain(_rows), lambda: iter((files.pack_rows(_ROWS),))),
    Target("feed_removals", plain(_removals), lambda: iter((files.pack_numbers(KEYS[:3]),))),
    Target(
        "head",
        plain(lambda content: None if read_head(content) else None),
        lambda: iter((_good_copy().content,)),
    ),
    Target("copy", _copy, _copy_seeds),
    Target("model", _models, _model_seeds),
)
