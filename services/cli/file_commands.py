"""Commands that read or write files."""

import json
import sys
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from services.cli import (
    copy_files,
    exporting,
    importing,
    normalise,
    session,
)
from services.cli.kinds import KINDS
from services.cli.options import progress, show_rejects, time_option
from services.cli.target import Target, show
from services.consumer import blocklists

CHINA = timezone(timedelta(hours=8))


def import_files(
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    files: Annotated[list[Path], typer.Argument(help="CSV, CSV.gz or Parquet files.")],
    rejects: Annotated[Path | None, typer.Option(help="Write rejected rows here.")] = None,
) -> None:
    """Import files; a bad row is named and does not stop the rest."""
    if kind not in KINDS:
        raise typer.BadParameter(f"no kind {kind!r}; there are {', '.join(KINDS)}")
    for path in files:
        if not path.exists():
            raise typer.BadParameter(f"no file {path}")
    tally = importing.Tally()
    with (
        session.connected(Target.store, Target.server) as stubs,
        progress() as bar,
    ):
        for path in files:
            task = bar.add_task(path.name, total=None)
            seen: dict[bytes, int] = {}
            for line, table in importing.read_tables(path):
                KINDS[kind](stubs, path, line, table, seen, tally)
                bar.update(task, advance=len(table))
    if rejects is not None:
        importing.write_rejects(rejects, tally.rejected)
    show(
        {
            "rows": tally.rows,
            "committed": tally.committed,
            "duplicate": tally.duplicate,
            "rejected": len(tally.rejected),
        }
    )
    if not tally.committed and not tally.duplicate:
        show_rejects(tally.rejected[:3])
        raise typer.Exit(2)


def aggregate_cdr(
    files: Annotated[list[Path], typer.Argument(help="Call records: CSV, CSV.gz or Parquet.")],
    out: Annotated[Path, typer.Option(help="Behaviour by number and day: Parquet, CSV, CSV.gz.")],
    carrier: Annotated[str, typer.Option(help="Who tells.")],
    refusals: Annotated[
        Path | None, typer.Option(help="Callees who refused callers: number,callee,occurred_at.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="Write rejected rows here.")] = None,
    temporary: Annotated[
        Path | None, typer.Option(help="Folder for what is put aside; default: beside --out.")
    ] = None,
) -> None:
    """Call records to daily aggregates, at the carrier's: docs/cdr.md."""
    from services.cli.cdr.run import aggregate_files

    # This process ends with its work: the allocator that keeps what was freed takes a third less.
    pa.set_memory_pool(pa.mimalloc_memory_pool())
    for path in [*files, *([refusals] if refusals else [])]:
        if not path.exists():
            raise typer.BadParameter(f"no file {path}")
    with progress() as bar:
        task = bar.add_task("records", total=None)
        done = asdict(
            aggregate_files(
                files, out, carrier, refusals, rejects, temporary,
                lambda count: bar.update(task, advance=count),
            )
        )  # fmt: skip
    first = done.pop("first_rejects")
    show(done)
    if not done["rows"]:
        show_rejects(first)
        raise typer.Exit(2)


def export(
    what: Annotated[str, typer.Argument(help=", ".join(("reputations", *copy_files.KINDS)))],
    out: Annotated[Path, typer.Option(help="CSV, CSV.gz or Parquet file; carrier-files: folder.")],
    as_of: Annotated[str, typer.Option(help="The newest version of that time or before.")] = "",
    copy: Annotated[Path | None, typer.Option(help="Take it from the copy in this folder.")] = None,
    carrier: Annotated[str, typer.Option(help="Carrier of carrier-files, as CMCC.")] = "",
    day: Annotated[str, typer.Option(help="Day in the names of carrier-files; today.")] = "",
    before: Annotated[
        Path | None, typer.Option(help="phoneblock: only what changed since this list.")
    ] = None,
    minimum_level: Annotated[
        int, typer.Option(min=1, max=4, help="Level from which a blocker blocks.")
    ] = blocklists.BLOCKED_LEVEL,
) -> None:
    """Write what is published, or files from a copy for those who take files."""
    if what in copy_files.KINDS:
        if copy is None:
            raise typer.BadParameter(f"{what} is made from a copy: give --copy DIR")
        show(copy_files.write(what, copy, out, carrier, day, before, minimum_level))
        return
    if what != "reputations":
        raise typer.BadParameter(f"{what!r} cannot be exported")
    with session.connected(Target.store, Target.server) as stubs:
        count = exporting.write(stubs, out, time_option(as_of, "--as-of"))
    show({"rows": count, "file": str(out)})


def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    numbers: Annotated[int, typer.Option(min=200)] = 20_000,
    days: Annotated[int, typer.Option(min=14, max=400)] = 60,
    seed: int = 1,
    end: Annotated[str, typer.Option(help="Last day, exclusive; default today in China.")] = "",
) -> None:
    """Write the files of a generated city, and the truth about it."""
    from services.simulator.city import simulate as simulate_city

    last = datetime.fromisoformat(end).date() if end else datetime.now(CHINA).date()
    summary = simulate_city(numbers, days, seed, out, last)
    show({"folder": str(out), "numbers": summary.numbers, **summary.rows})


def evaluate(
    truth: Annotated[Path, typer.Option(help="truth.csv")],
    reputations: Annotated[Path, typer.Option(help="An export of reputations.")],
    marks: Annotated[Path | None, typer.Option(help="Also judge majority and vendors.")] = None,
) -> None:
    """Measure how right the published reputations are."""
    from services.cli.evaluate import evaluate as measure

    found = measure(truth, reputations, marks)
    print(json.dumps(found, ensure_ascii=False, indent=None if Target.as_json else 2))


def arbitrate(
    answers: Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet: task,worker,label.")],
    out: Annotated[Path, typer.Option(help="Posterior of every task.")],
    workers: Annotated[
        Path | None, typer.Option(help="Write the workers' accuracies here.")
    ] = None,
    gold: Annotated[Path | None, typer.Option(help="Known truths: task,label.")] = None,
) -> None:
    """Infer the truth from any table of tasks, workers and labels."""
    from services.cli.arbitrate import arbitrate_file

    found = asdict(arbitrate_file(answers, out, workers, gold))
    rejects = found.pop("rejects")
    show({**found, "rejects": rejects} if Target.as_json else found)
    show_rejects(rejects[:10])


def normalise_numbers(
    region: Annotated[str, typer.Option(help="Country of national numbers.")] = "CN",
) -> None:
    """Raw numbers on stdin, one a line; JSON lines out."""
    normalise.normalise_stream(sys.stdin.buffer, sys.stdout.buffer, region)
