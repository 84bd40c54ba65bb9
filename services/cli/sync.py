"""A consumer's copy on this machine: kept up to date, and asked without a server."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc

from services.cli.target import connect
from services.common import rpc
from services.common.errors import DomainError, InvalidArgument
from services.common.numbering import parse
from services.common.wire import category_code
from services.consumer.copy import Folder
from services.consumer.states import state_name
from services.consumer.sync import Consumer
from zhengming.reputation.v1 import feed_pb2

KEY_BYTES = 32


def read_public_key(path: Path) -> bytes:
    """32 bytes in hex from a file.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE", f"{path}: {error}", file=path, cause=error
        ) from None
    if len(key) != KEY_BYTES:
        cause = f"it has {len(key)} bytes, not {KEY_BYTES}, in hex"
        raise InvalidArgument("FILE_UNREADABLE", f"{path}: {cause}", file=path, cause=cause)
    return key


def synchronise(
    address: str,
    folder: Path,
    name: str,
    chosen: feed_pb2.FeedFilter | None,
    public_key: bytes | None,
    follow: bool,
) -> Iterator[dict[str, Any]]:
    """Bring a copy up to date, and with `follow` keep it so; what was done, each time.

    Raises:
        DomainError: see Consumer.catch_up.
    """
    try:
        with connect(address) as channel:
            consumer = Consumer(channel, folder, name, chosen, public_key)
            if not follow:
                yield asdict(consumer.catch_up()[1])
                return
            for _, progress in consumer.follow():
                yield asdict(progress)
    except grpc.RpcError as error:
        raise rpc.translated(error) from None


def look_up(folder: Path, numbers: list[str], region: str) -> Iterator[dict[str, Any]]:
    """What a copy says of numbers, in the order asked; no server is needed.

    Raises:
        DomainError: see Folder.load.
    """
    copy = Folder(folder).load()
    for raw in numbers:
        try:
            number = parse(raw, region)
        except DomainError as error:
            yield {"number": raw, "error": str(error)}
            continue
        found = copy.find(number.key)
        if found is None:
            yield {"number": number.number, "state": "UNKNOWN", "level": 0}
            continue
        row = found[0]
        yield {
            "number": number.number,
            "state": state_name(int(row["state"])),
            "level": int(row["level"]),
            "risk": int(row["risk"]) / 100,
            "category": category_code(int(row["category"])),
            "probability": int(row["probability"]) / 100,
            "marks_at_least": int(row["marks"]),
        }
