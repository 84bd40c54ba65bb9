"""`zhengming audit`: the proof that no event of a dispute was changed or removed."""

import json
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from services.cli import session
from services.cli.target import Target
from zhengming.arbitration.v1 import dispute_pb2

app = typer.Typer(no_args_is_help=True, help="The hash-chained log of disputes and reads.")


@app.callback()
def group() -> None:
    """The hash-chained log of disputes and reads."""


@app.command()
def verify(
    head: Annotated[str, typer.Option(help="A head hash noted earlier must be in it.")] = "",
) -> None:
    """Read the whole log and prove its chain; exit status 1 where it is broken."""
    with session.connected(Target.store, Target.server) as stubs:
        proof = stubs.disputes.VerifyAudit(
            dispute_pb2.VerifyAuditRequest(known_hash=head), timeout=3600
        )
    found = MessageToDict(
        proof, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if Target.as_json:
        print(json.dumps(found))
    elif proof.intact:
        print(f"intact: {proof.event_count} events, head {proof.head_hash}")
    else:
        print(f"broken at event {proof.broken_seq}: {proof.fault}")
    if not proof.intact:
        raise typer.Exit(1)
