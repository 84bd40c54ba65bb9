"""`zhengming report`: what a quarter or a month brought, each as one HTML file."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.report_periods import CHINA, month_of, quarter_of
from services.cli.target import Target
from services.common.errors import NotFound
from services.common.store import open_store

app = typer.Typer(no_args_is_help=True, help="Reports from the store.")


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
    from services.cli.report_figures import read_figures
    from services.cli.report_page import page

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
