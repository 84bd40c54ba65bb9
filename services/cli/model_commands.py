"""`zhengming model`: the models that score, and a yes/no classifier for any table."""

import json
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from services.cli import session
from services.cli.target import Target, show
from zhengming.scoring.v1 import scoring_pb2

app = typer.Typer(
    no_args_is_help=True, help="The models that score; and a classifier for any table."
)
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


@app.command(name="list")
def list_models(
    name: Annotated[str, typer.Argument(help="risk or prior; none: both.")] = "",
) -> None:
    """The stored models, newest first, and which of them score."""
    with session.connected(Target.store, Target.server) as stubs:
        found = stubs.scoring.ListModels(scoring_pb2.ListModelsRequest(name=name)).models
    for model in found:
        card = json.loads(model.card_json)
        told = {key: card[key] for key in ("target", "as_of", "comparison") if key in card}
        state = {"active": model.active, "shadow": model.shadow} if model.name == "risk" else {}
        for field in ("drift", "shadow_difference", "shadow_outcome"):
            if model.HasField(field):
                told[field] = MessageToDict(
                    getattr(model, field),
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                )
        show({"name": model.name, "version": model.version, "active": model.active} | state | told)


@app.command()
def activate(
    name: Annotated[str, typer.Argument(help="risk or prior.")],
    version: Annotated[str, typer.Argument(help="As `model list` names it.")],
) -> None:
    """Have a stored model score."""
    request = scoring_pb2.ActivateModelRequest(name=name, version=version)
    with session.connected(Target.store, Target.server) as stubs:
        show({"name": name, "active": stubs.scoring.ActivateModel(request).version})


@app.command()
def rollback(name: Annotated[str, typer.Argument(help="risk or prior.")]) -> None:
    """Have the model score that did so before."""
    request = scoring_pb2.RollbackModelRequest(name=name)
    with session.connected(Target.store, Target.server) as stubs:
        show({"name": name, "active": stubs.scoring.RollbackModel(request).version})


@app.command()
def shadow(
    version: Annotated[str, typer.Argument(help="As `model list` names it; none: end it.")] = "",
) -> None:
    """Have a stored risk model score beside the active one, to be compared, never published."""
    request = scoring_pb2.ShadowModelRequest(version=version)
    with session.connected(Target.store, Target.server) as stubs:
        show({"name": "risk", "shadow": stubs.scoring.ShadowModel(request).version})
