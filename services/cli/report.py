"""`zhengming report`: what a quarter or a month brought, each as one HTML file."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import typer

from services.cli.report_figures import Period, read_figures
from services.cli.report_page import page
from services.cli.target import Target
from services.common.errors import InvalidArgument, NotFound
from services.common.store import open_store

app = typer.Typer(no_args_is_help=True, help="Reports from the store.")
CHINA = timezone(timedelta(hours=8))
_QUARTER = re.compile(r"(20\d\d)Q([1-4])")
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


@app.callback()
def group() -> None:
    """Reports from the store."""


@app.command()
def quarter(
    name: Annotated[str, typer.Argument(help="Such as 2026Q3.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
) -> None:
    """Volumes, categories, sources, disputes and refusals of a quarter.

    Reads the store itself, without services; an embedded store must not be in use by another
    process.
    """
    if Target.server:
        raise typer.BadParameter("report reads the store: name it with --store, not --server")
    period = quarter_of(name)
    store = open_store(Target.store)
    try:
        figures = read_figures(store, period)
    finally:
        store.close()
    out.write_text(page(figures, datetime.now(CHINA)), encoding="utf-8")
    print(f"{out}: {figures.mark_count} marks, {figures.filed_count} disputes")


@app.command()
def bulletin(
    name: Annotated[str, typer.Argument(help="Such as 2026-10.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    source: Annotated[str, typer.Option(help="Only this vendor's part, for the vendor.")] = "",
) -> None:
    """A month's accuracy of every vendor with intervals, overturns, ranking and trend.

    Reads the store itself, as `quarter` does. Accuracy is that of scorecards: run the pipeline
    after the month's end.
    """
    from services.cli.report_bulletin import bulletin_page, read_bulletin

    if Target.server:
        raise typer.BadParameter("report reads the store: name it with --store, not --server")
    period, before = month_of(name)
    store = open_store(Target.store)
    try:
        found = read_bulletin(store, period, before)
    finally:
        store.close()
    if source and source not in {vendor.name for vendor in found.vendors}:
        raise NotFound("SOURCE_NOT_FOUND", f"no source {source!r} in {name}", source=source)
    out.write_text(bulletin_page(found, datetime.now(CHINA), source), encoding="utf-8")
    print(f"{out}: {len(found.vendors)} sources")


def month_of(name: str) -> tuple[Period, Period]:
    """The month of a name such as "2026-10", in China's time, and the one before it.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    match = _MONTH.fullmatch(name)
    if match is None:
        raise InvalidArgument(
            "TIME_INVALID", f"month must read like 2026-10, not {name!r}", field="month",
            value=name,
        )  # fmt: skip
    months = int(match[1]) * 12 + int(match[2]) - 1
    before, start, end = (
        _ms(datetime(at // 12, at % 12 + 1, 1, tzinfo=CHINA))
        for at in range(months - 1, months + 2)
    )
    return Period(name, start, end), Period("", before, start)


def quarter_of(name: str) -> Period:
    """The quarter of a name such as "2026Q3", in China's time.

    Raises:
        InvalidArgument: TIME_INVALID.
    """
    match = _QUARTER.fullmatch(name)
    if match is None:
        raise InvalidArgument(
            "TIME_INVALID", f"quarter must read like 2026Q3, not {name!r}", field="quarter",
            value=name,
        )  # fmt: skip
    year, number = int(match[1]), int(match[2])
    start = datetime(year, 3 * number - 2, 1, tzinfo=CHINA)
    end = datetime(year + (number == 4), (3 * number) % 12 + 1, 1, tzinfo=CHINA)
    return Period(name, _ms(start), _ms(end))


def _ms(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)
