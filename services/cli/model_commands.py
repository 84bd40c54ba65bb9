"""`zhengming model`: a yes/no classifier for any table."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.target import Target, show

app = typer.Typer(no_args_is_help=True, help="A yes/no classifier for any table.")
EdgesOption = Annotated[
    Path | None, typer.Option(help="Links: two id columns and an optional weight.")
]


@app.command()
def fit(
    train: Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet.")],
    id_column: Annotated[str, typer.Option("--id", help="Column that names a row.")],
    label: Annotated[str, typer.Option(help="Column to learn; rows without it are neighbours.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    edges: EdgesOption = None,
    seed: int = 7,
    positive: Annotated[str | None, typer.Option(help="The label that counts as yes.")] = None,
) -> None:
    """Learn a label from a table."""
    from services.cli.model import fit_file

    card = fit_file(train, id_column, label, out, edges, seed, positive)
    if Target.as_json:
        show(card)
        return
    told = card["cross_validation"]
    figures = {name: value for name, value in told.items() if not isinstance(value, dict)}
    shares = ", ".join(f"{name} {share:.2f}" for name, share in told["shares"].items())
    show(figures | {"blend": shares})


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="Folder of the model.")],
    test: Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet.")],
    out: Annotated[Path, typer.Option(help="Probability of every row.")],
    edges: EdgesOption = None,
) -> None:
    """Apply a learned model to a table."""
    from services.cli.model import predict_file

    show({"rows": predict_file(folder, test, out, edges)})
