"""`zhengming notices`: where notices go, and what became of them."""

import getpass
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from services.cli import session
from services.cli.target import Target, show
from zhengming.arbitration.v1 import notice_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Notices by webhook.")
TIMEOUT_S = 60

WhoOption = Annotated[str, typer.Option(help="Who asks, for the audit; default: the user.")]
TargetArgument = Annotated[str, typer.Argument(help="Id of the target.")]


@app.callback()
def group() -> None:
    """Notices by webhook."""


def _who(given: str) -> str:
    return given or getpass.getuser()


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="https://…")],
    source: Annotated[str, typer.Option(help="For this source.")] = "",
    holder: Annotated[str, typer.Option(help="For this holder, as registered.")] = "",
    who: WhoOption = "",
) -> None:
    """Add a target; prints the key to check signatures with."""
    if bool(source) == bool(holder):
        raise typer.BadParameter("give --source or --holder")
    request = pb.CreateNoticeTargetRequest(url=url, created_by=_who(who))
    if source:
        request.source = source
    else:
        request.holder = holder
    with session.connected(Target.store, Target.server) as stubs:
        added = stubs.notices.CreateNoticeTarget(request, timeout=TIMEOUT_S)
    show({"target": added.target_id, "signing_secret": added.signing_secret})


@app.command(name="list")
def list_targets(who: WhoOption = "") -> None:
    """Targets with how many notices wait, were brought, were given up."""
    with session.connected(Target.store, Target.server) as stubs:
        found = stubs.notices.ListNoticeTargets(
            pb.ListNoticeTargetsRequest(reader=_who(who)), timeout=TIMEOUT_S
        )
    for target in found.targets:
        show(
            MessageToDict(
                target, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
        )


@app.command()
def remove(target: TargetArgument, who: WhoOption = "") -> None:
    """Remove a target."""
    request = pb.DeleteNoticeTargetRequest(target_id=target, removed_by=_who(who))
    with session.connected(Target.store, Target.server) as stubs:
        stubs.notices.DeleteNoticeTarget(request, timeout=TIMEOUT_S)
    show({"removed": target})


@app.command()
def retry(target: TargetArgument, who: WhoOption = "") -> None:
    """Begin a target's dead notices anew."""
    request = pb.RetryNoticesRequest(target_id=target, asked_by=_who(who))
    with session.connected(Target.store, Target.server) as stubs:
        done = stubs.notices.RetryNotices(request, timeout=TIMEOUT_S)
    show({"begun_anew": done.notice_count})
