"""What every command is told, and how it answers."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table


class Target:
    """Where commands work, and for whom they print; set once by the command line."""

    store = "chdb:var/store"
    server = ""
    as_json = False


def show(answer: dict[str, Any]) -> None:
    """Print named values: a table for people, JSON for machines."""
    if Target.as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    table = Table(show_header=False)
    for key, value in answer.items():
        table.add_row(key, str(value))
    Console().print(table)
