"""What every command is told, and how it answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.table import Table

from services.common import rpc
from services.common.errors import InvalidArgument
from services.common.identity.certificates import watched


class Target:
    """Where commands work, and for whom they print; set once by the command line."""

    store = "chdb:var/store"
    server = ""
    peers: Mapping[str, str] = {}
    """Addresses of services apart, by name; they are asked where no server is named."""
    as_json = False
    certificates = ""
    """Folder of tls.crt, tls.key and ca.crt to show to a server; "" in clear."""
    token_file = ""
    """File with a token to show besides or instead."""


def connect(address: str) -> grpc.Channel:
    """A channel to a server, with what the target says to show.

    Raises:
        InvalidArgument: FILE_UNREADABLE, and FIELD_REQUIRED for a token without certificates: in
            clear it would be anybody's.
    """
    if not Target.certificates:
        if Target.token_file:
            raise InvalidArgument(
                "FIELD_REQUIRED",
                "a token goes over TLS only: ZHENGMING_CERTIFICATES must name a folder with ca.crt",
                field="ZHENGMING_CERTIFICATES",
            )
        return rpc.connect(address)
    token = ""
    if Target.token_file:
        try:
            token = Path(Target.token_file).read_text().strip()
        except OSError as error:
            raise InvalidArgument(
                "FILE_UNREADABLE",
                f"{Target.token_file}: {error}",
                file=Target.token_file,
                cause=type(error).__name__,
            ) from None
    return rpc.connect(address, watched(Path(Target.certificates)), token)


def show(answer: dict[str, Any]) -> None:
    """Print named values: a table for people, JSON for machines."""
    if Target.as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    table = Table(show_header=False)
    for key, value in answer.items():
        table.add_row(key, str(value))
    Console().print(table)
