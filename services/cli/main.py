"""The `zhengming` command."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console

from services.common import allocation  # noqa: F401 # before Arrow

# isort: split
from services.cli import (
    audit,
    backups,
    certificates,
    console_users,
    file_commands,
    lookup,
    model_commands,
    notices,
    pass_commands,
    referrals,
    report,
    scorecards,
    session,
    sync,
)
from services.cli.options import errors_console
from services.cli.target import Target, show
from services.common import version
from services.common.errors import DomainError, InvalidArgument
from services.configuration import NAMES
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.ingest.v1 import number_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One authoritative, accurate, explained reputation per phone number.",
)
console = Console()


StoreOption = Annotated[
    str, typer.Option("--store", help="chdb:PATH or clickhouse://HOST:PORT/DB.")
]
ServerOption = Annotated[str, typer.Option("--server", help="A running server, HOST:PORT.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(f"zhengming {version.described()}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which one.")
]


@app.callback()
def target(
    store: StoreOption = "",
    server: ServerOption = "",
    as_json: JsonOption = False,
    is_version_asked: VersionOption = False,
) -> None:
    """Choose where commands work."""
    Target.store = store or os.environ.get("ZHENGMING_STORE", "chdb:var/store")
    Target.server, Target.as_json = server, as_json
    addresses = {name: os.environ.get(f"ZHENGMING_{name.upper()}_ADDRESS", "") for name in NAMES}
    Target.peers = {} if store else addresses
    Target.certificates = os.environ.get("ZHENGMING_CERTIFICATES", "")
    Target.token_file = os.environ.get("ZHENGMING_TOKEN_FILE", "")


def serve(
    service: Annotated[list[str] | None, typer.Argument(help="Services; none: all.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on one port; `lookup` only.")
    ] = None,
) -> None:
    """Run services in this process until SIGTERM."""
    from services import __main__ as composition

    os.environ["ZHENGMING_STORE"] = Target.store
    if workers is not None:
        os.environ["ZHENGMING_WORKERS"] = str(workers)
    raise typer.Exit(composition.main(service or []))


def get(
    number: Annotated[list[str], typer.Argument(help="Numbers in any form.")],
    region: Annotated[str, typer.Option(help="Country of national numbers.")] = "CN",
    copy: Annotated[Path | None, typer.Option(help="Ask the copy in this folder.")] = None,
) -> None:
    """Look numbers up."""
    if copy is not None:
        for row in sync.look_up(copy, number, region):
            show(row)
        return
    with session.connected(Target.store, Target.server) as stubs:
        request = reputation_pb2.BatchGetReputationsRequest(numbers=number, region=region)
        answer = stubs.reputation.BatchGetReputations(request, timeout=60)
    lookup.show_reputations(console, number, answer)


def explain(
    number: str, region: Annotated[str, typer.Option(help="Country of national numbers.")] = "CN"
) -> None:
    """Look one number up, with what led to it."""
    with session.connected(Target.store, Target.server) as stubs:
        request = reputation_pb2.ExplainReputationRequest(number=number, region=region)
        answer = stubs.reputation.ExplainReputation(request, timeout=60)
        asked = number_pb2.BatchDescribeNumbersRequest(numbers=[number], region=region)
        described = stubs.numbers.BatchDescribeNumbers(asked, timeout=60).results[0].number
    lookup.show_explained(console, answer, described)


def scorecard(
    source: Annotated[list[str] | None, typer.Argument(help="Sources; none: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write rows by category and week, CSV.")] = None,
) -> None:
    """How right each source is, by what all the others say."""
    with session.connected(Target.store, Target.server) as stubs:
        listed = stubs.arbitration.ListSources(arbitration_pb2.ListSourcesRequest(), timeout=60)
        names = source or [item.name for item in listed.sources]
        cards = [
            stubs.arbitration.GetScorecard(
                arbitration_pb2.GetScorecardRequest(source=name), timeout=60
            )
            for name in names
        ]
    if out is not None:
        show({"rows": scorecards.write(cards, out), "file": str(out)})
        return
    if Target.as_json:
        for card in cards:
            found = MessageToDict(card, preserving_proto_field_name=True)
            print(json.dumps(found, ensure_ascii=False))
        return
    console.print(scorecards.table(cards))


def sync_copy(
    source: Annotated[str, typer.Option("--from", help="A server's address, HOST:PORT.")],
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the copy.")],
    consumer: Annotated[str, typer.Option(help="Report receipts under this name.")] = "",
    key: Annotated[
        Path | None, typer.Option(help="File with the public key to trust, in hex.")
    ] = None,
    calling_code: Annotated[list[int] | None, typer.Option(help="Keep these countries.")] = None,
    minimum_level: Annotated[int | None, typer.Option(min=0, max=4)] = None,
    group: Annotated[list[str] | None, typer.Option(help="Keep these groups, as A3.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay, and apply what comes.")] = False,
) -> None:
    """Keep a verified copy of all reputations; run again to catch up."""
    chosen = None
    if calling_code or minimum_level is not None or group:
        chosen = feed_pb2.FeedFilter(
            calling_codes=calling_code or [],
            minimum_level=minimum_level or 0,
            category_groups=group or [],
        )
    trusted = sync.read_public_key(key) if key else None
    for done in sync.synchronise(source, folder, consumer, chosen, trusted, follow):
        show(done)


def demo(
    numbers: Annotated[int, typer.Option(min=200)] = 20_000,
    days: Annotated[int, typer.Option(min=14, max=400)] = 60,
    seed: int = 1,
    folder: Annotated[Path, typer.Option("--dir", help="Where the city is kept.")] = Path(
        "var/demo"
    ),
    stay: Annotated[bool, typer.Option("--serve", help="Keep serving.")] = False,
    address: str = "127.0.0.1:50051",
) -> None:
    """Simulate a city, judge every number in it, show what came out."""
    from services.cli.demo import run_demo

    run_demo(console, numbers, days, seed, folder, stay, address)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "demo": demo,
    "serve": serve,
    "import": file_commands.import_files,
    "pipeline": pass_commands.pipeline,
    "get": get,
    "explain": explain,
    "export": file_commands.export,
    "sync": sync_copy,
    "scorecard": scorecard,
    "train": pass_commands.train,
    "simulate": file_commands.simulate,
    "evaluate": file_commands.evaluate,
    "arbitrate": file_commands.arbitrate,
    "normalise": file_commands.normalise_numbers,
    "aggregate-cdr": file_commands.aggregate_cdr,
    "certificates": certificates.make_certificates,
    "backup": backups.backup,
    "restore": backups.restore,
}
GROUPS = {
    "model": model_commands.app,
    "report": report.app,
    "referrals": referrals.app,
    "notices": notices.app,
    "console": console_users.app,
    "audit": audit.app,
}
for _name, _command in COMMANDS.items():
    app.command(name=_name)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def options_first(arguments: list[str]) -> list[str]:
    """The options that hold for every command, wherever they were written, before the command."""
    first, rest = [], []
    given = iter(arguments)
    for argument in given:
        if argument == "--":
            rest += [argument, *given]
        elif argument == "--json" or argument.startswith(("--store=", "--server=")):
            first.append(argument)
        elif argument in ("--store", "--server"):
            first += [argument, *islice(given, 1)]
        else:
            rest.append(argument)
    return first + rest


def run() -> int:
    """Entry point: 0 done, 1 failed, 2 wrong use."""
    try:
        app(options_first(sys.argv[1:]), standalone_mode=True)
    except DomainError as error:
        errors_console.print(f"{error.reason}: {error}", markup=False)
        return 2 if isinstance(error, InvalidArgument) else 1
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0
