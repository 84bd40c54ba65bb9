"""Commands that work over everything: a full pass, learning a model."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from services.cli import (
    importing,
    session,
)
from services.cli.options import errors_console, time_option
from services.cli.target import Target, show
from services.common import operations
from services.common.numbering import parse_column
from services.common.wire import whole
from zhengming.scoring.v1 import scoring_pb2


def pipeline(
    as_of: Annotated[str, typer.Option(help="As of this time; default now.")] = "",
    max_churn: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of established labels that may move."),
    ] = None,
) -> None:
    """Features, arbitration, scoring, publishing over everything."""
    at = time_option(as_of, "--as-of")
    began = time.monotonic()
    with session.connected(Target.store, Target.server) as stubs:
        published = session.run_pipeline(
            stubs,
            at,
            lambda step: errors_console.print(f"{time.monotonic() - began:6.1f} s {step}"),
            max_churn,
        )
    show(MessageToDict(published, preserving_proto_field_name=True))


def train(
    model: Annotated[str, typer.Argument(help="risk or prior")],
    as_of: Annotated[str, typer.Option(help="Learn what came after this time.")] = "",
    horizon: Annotated[str, typer.Option(help="How long after, such as 30d.")] = "30d",
    positive: Annotated[str, typer.Option(help="Positive examples.")] = "marks>=3",
    truth: Annotated[Path | None, typer.Option(help="Learn from truth.csv instead.")] = None,
    seed: int = 0,
    only_if_better: Annotated[
        bool, typer.Option(help="Learn from before --as-of; activate what is better after it.")
    ] = False,
) -> None:
    """Learn a model, store and activate it."""
    at = time_option(as_of, "--as-of")
    if at is None:
        raise typer.BadParameter("--as-of is required")
    days = whole(horizon.removesuffix("d"))
    if not horizon.endswith("d") or days is None or days > 365:
        raise typer.BadParameter(f"--horizon must be 1d to 365d, not {horizon[:40]!r}")
    request = scoring_pb2.TrainModelRequest(
        name=model,
        horizon_days=days,
        positive=positive,
        seed=seed,
        only_if_better=only_if_better,
    )
    request.as_of_time.FromMilliseconds(at)
    if truth is not None:
        for _, table in importing.read_tables(truth):
            until = importing.times_ms(importing.texts(table, "valid_until"))
            keys = parse_column(table["number"]).keys
            bad = importing.flags(importing.texts(table, "bad"))
            category = importing.texts(table, "category")
            for key, is_bad, end, code in zip(
                keys.tolist(), bad, until.tolist(), category, strict=True
            ):
                if key and (end == 0 or end > at):
                    request.truth.number_keys.append(key)
                    request.truth.bad.append(is_bad)
                    request.truth.categories.append(code)
    learned = scoring_pb2.Model()
    with session.connected(Target.store, Target.server) as stubs:
        operations.wait(stubs.operations, stubs.scoring.TrainModel(request, timeout=120), learned)
    card = json.loads(learned.card_json)
    said = {"version": learned.version, "trees": card["trees"], **card["out_of_fold"]}
    show(said | ({"active": learned.active, **card["comparison"]} if only_if_better else {}))
