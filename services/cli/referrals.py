"""`zhengming referrals`: numbers for the authorities in charge, and what they answered."""

import getpass
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.cli import importing, session
from services.cli.target import Target, show
from services.console import referral_tables
from zhengming.arbitration.v1 import referral_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Referrals to the authorities in charge.")
PAGE, BATCH, SHOWN = 5_000, 1_000, 50
TIMEOUT_S = 120

WhoOption = Annotated[str, typer.Option(help="Who asks, for the audit; default: the user.")]
AuthorityOption = Annotated[str, typer.Option(help="Only this authority, as 公安部.")]


@app.callback()
def group() -> None:
    """Referrals to the authorities in charge."""


def _who(given: str) -> str:
    return given or getpass.getuser()


@app.command()
def draw(
    request_id: Annotated[
        str, typer.Option("--id", help="Of this draw: the same again gives the same answer.")
    ] = "",
    authority: AuthorityOption = "",
    maximum: Annotated[int, typer.Option(min=1, max=10_000)] = 1_000,
    who: WhoOption = "",
) -> None:
    """Refer settled labels of the grave classes that were not referred yet."""
    request = pb.DrawReferralsRequest(
        request_id=request_id or uuid.uuid4().hex,
        drawn_by=_who(who),
        authority=authority,
        maximum_count=maximum,
    )
    with session.connected(Target.store, Target.server) as stubs:
        drawn = stubs.referrals.DrawReferrals(request, timeout=TIMEOUT_S)
    show({"id": drawn.request_id, **{c.authority: c.referral_count for c in drawn.counts}})


@app.command(name="list")
def list_referrals(
    authority: AuthorityOption = "",
    open_only: Annotated[bool, typer.Option("--open", help="Without a final answer.")] = False,
    number: Annotated[str, typer.Option(help="Only this number.")] = "",
    drawn: Annotated[str, typer.Option("--id", help="Only this draw.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write all of them here, CSV.")] = None,
    who: WhoOption = "",
) -> None:
    """Referrals, the newest first, and how many each authority has."""
    request = pb.ListReferralsRequest(
        reader=_who(who),
        authority=authority,
        open_only=open_only,
        number=number,
        request_id=drawn,
        export=out is not None,
        page_size=PAGE if out else SHOWN,
    )
    rows = []
    with session.connected(Target.store, Target.server) as stubs:
        while True:
            page = stubs.referrals.ListReferrals(request, timeout=TIMEOUT_S)
            rows += [referral_tables.referral_row(found) for found in page.referrals]
            request.page_token = page.next_page_token
            if out is None or not request.page_token:
                break
    if out is not None:
        out.write_text(
            referral_tables.csv_text(referral_tables.REFERRALS, rows), encoding="utf-8", newline=""
        )
        show({"rows": len(rows), "file": str(out)})
    elif Target.as_json:
        for row in rows:
            show(dict(zip(referral_tables.REFERRALS, row, strict=True)))
    else:
        _print(rows, page)


def _print(rows: list[tuple[object, ...]], page: pb.ListReferralsResponse) -> None:
    counts = Table("authority", "", "referred", "open")
    for count in page.counts:
        counts.add_row(
            count.authority, count.authority_en, str(count.referral_count), str(count.open_count)
        )
    columns = ("referral_id", "authority", "number", "category", "level", "disposition")
    listed = Table(*columns, title=f"{len(rows)} of {page.total_count}")
    for row in rows:
        cells = dict(zip(referral_tables.REFERRALS, row, strict=True))
        listed.add_row(*(str(cells[name]) for name in columns))
    console = Console()
    console.print(counts)
    console.print(listed)


@app.command()
def feedback(
    file: Annotated[Path, typer.Argument(help="CSV: referral_id,disposition,dispose_time,text.")],
    authority: AuthorityOption = "",
    rejects: Annotated[Path | None, typer.Option(help="Write rejected rows here.")] = None,
    who: WhoOption = "",
) -> None:
    """Record what authorities answered; a bad row is named and does not stop the rest.

    Rows of a downloaded list whose disposition is empty are passed over.
    """
    tally = importing.Tally()
    with session.connected(Target.store, Target.server) as stubs:
        for first_line, table in importing.read_tables(file):
            importing.require(table, file, ("referral_id", "disposition", "dispose_time"))
            items = _items(table, first_line)
            for start in range(0, len(items), BATCH):
                part = items[start : start + BATCH]
                request = pb.RecordFeedbackRequest(
                    recorded_by=_who(who), authority=authority, feedback=[i for _, i in part]
                )
                answer = stubs.referrals.RecordFeedback(request, timeout=TIMEOUT_S)
                for (line, _), result in zip(part, answer.results, strict=True):
                    if result.HasField("error"):
                        tally.rejected.append((file.name, line, *importing.reason_of(result.error)))
                    else:
                        tally.committed += 1
    if rejects is not None:
        importing.write_rejects(rejects, tally.rejected)
    show({"recorded": tally.committed, "rejected": len(tally.rejected)})
    for name, line, field, reason in tally.rejected[:5]:
        Console(stderr=True).print(f"{name}:{line}: {field}: {reason}", markup=False)
    if tally.rejected and not tally.committed:
        raise typer.Exit(2)


def _items(table: Any, first_line: int) -> list[tuple[int, pb.Feedback]]:
    names = importing.texts(table, "referral_id")
    words = importing.texts(table, "disposition")
    times = importing.times_ms(importing.texts(table, "dispose_time"))
    texts = importing.texts(table, "text")
    items = []
    for at, (name, word, time_ms, text) in enumerate(
        zip(names, words, times.tolist(), texts, strict=True)
    ):
        if not word:
            continue
        kind = f"DISPOSITION_{word.strip().upper()}"
        item = pb.Feedback(referral_id=name, text=text)
        # A word that is none goes on as a value that is none: the service names the field.
        item.disposition = pb.Disposition.Value(kind) if kind in pb.Disposition.keys() else 99  # type: ignore[assignment]  # noqa: SIM118
        if time_ms:  # -1, what is no time, goes on: the service names it
            item.dispose_time.FromMilliseconds(time_ms)
        items.append((first_line + at, item))
    return items


@app.command()
def holders(
    minimum: Annotated[int, typer.Option(min=2, help="Offending numbers from which on.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write them here, CSV.")] = None,
    who: WhoOption = "",
) -> None:
    """Enterprises to which many offending numbers are registered."""
    request = pb.ListOffendingHoldersRequest(
        reader=_who(who), minimum_count=minimum, maximum_count=1_000, export=out is not None
    )
    with session.connected(Target.store, Target.server) as stubs:
        found = stubs.referrals.ListOffendingHolders(request, timeout=TIMEOUT_S).holders
    rows = [referral_tables.holder_row(holder) for holder in found]
    if out is not None:
        out.write_text(
            referral_tables.csv_text(referral_tables.HOLDERS, rows), encoding="utf-8", newline=""
        )
        show({"rows": len(rows), "file": str(out)})
    elif Target.as_json:
        for row in rows:
            show(dict(zip(referral_tables.HOLDERS, row, strict=True)))
    else:
        table = Table(*referral_tables.HOLDERS)
        for row in rows:
            table.add_row(*map(str, row))
        Console().print(table)
