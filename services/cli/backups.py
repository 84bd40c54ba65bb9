"""`zhengming backup` and `zhengming restore`: a whole store as files, for either engine."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from services.cli.target import Target, show
from services.common.clock import wall_clock_ms
from services.common.migrate import migrate_services
from services.common.store import open_store
from services.configuration import NAMES
from services.keeping.backup import restore_backup, write_backup

Folder = Annotated[Path, typer.Argument(help="Folder of the backup.")]


def backup(folder: Folder) -> None:
    """Copy all tables of the store into a new folder; services over a server may keep running."""
    store = open_store(Target.store)
    try:
        with _progress() as bar:
            counts = write_backup(
                store, folder, wall_clock_ms(), lambda name, rows: bar.console.print(name, rows)
            )
    finally:
        store.close()
    show({"folder": str(folder), "tables": len(counts), "rows": sum(counts.values())})


def restore(folder: Folder) -> None:
    """Fill an empty store from a backup; no service may run over it yet."""
    from services.application import ROOT

    store = open_store(Target.store)
    try:
        migrate_services(store, ROOT, NAMES, wall_clock_ms)
        with _progress() as bar:
            counts = restore_backup(store, folder, lambda name, rows: bar.console.print(name, rows))
    finally:
        store.close()
    show({"store": Target.store, "tables": len(counts), "rows": sum(counts.values())})


def _progress() -> Progress:
    return Progress(console=Console(stderr=True, quiet=not sys.stderr.isatty()))
