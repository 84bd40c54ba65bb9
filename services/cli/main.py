"""The `zhengming` command."""

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.progress import Progress

from services import __main__ as composition
from services.cli import (
    audit,
    backups,
    certificates,
    console_users,
    copy_files,
    exporting,
    importing,
    lookup,
    model_commands,
    normalise,
    notices,
    referrals,
    report,
    scorecards,
    session,
    sync,
)
from services.cli.demo import run_demo
from services.cli.kinds import KINDS
from services.cli.target import Target, show
from services.common import operations, version
from services.common.errors import DomainError, InvalidArgument
from services.common.numbering import parse_column
from services.configuration import NAMES
from services.consumer import blocklists
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.ingest.v1 import number_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2
from zhengming.scoring.v1 import scoring_pb2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One authoritative, accurate, explained reputation per phone number.",
)
app.command(name="certificates")(certificates.make_certificates)
app.command(name="backup")(backups.backup)
app.command(name="restore")(backups.restore)
app.add_typer(audit.app, name="audit")
app.add_typer(console_users.app, name="console")
app.add_typer(report.app, name="report")
app.add_typer(referrals.app, name="referrals")
app.add_typer(notices.app, name="notices")
app.add_typer(model_commands.app, name="model")
console = Console()
errors_console = Console(stderr=True)
CHINA = timezone(timedelta(hours=8))


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


def _connect() -> Any:
    return session.connected(Target.store, Target.server)


def _time_option(value: str, name: str) -> int | None:
    if not value:
        return None
    at = int(importing.times_ms([value])[0])
    if at < 0:
        raise InvalidArgument(
            "TIME_INVALID", f"{name} is no time: {value!r}", field=name, value=value
        )
    return at


@app.command()
def serve(
    service: Annotated[list[str] | None, typer.Argument(help="Services; none: all.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on one port; `lookup` only.")
    ] = None,
) -> None:
    """Run services in this process until SIGTERM."""
    os.environ["ZHENGMING_STORE"] = Target.store
    if workers is not None:
        os.environ["ZHENGMING_WORKERS"] = str(workers)
    raise typer.Exit(composition.main(service or []))


@app.command(name="import")
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
        _connect() as stubs,
        Progress(console=errors_console, disable=not sys.stderr.isatty()) as bar,
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
        for file, line, field, reason in tally.rejected[:3]:
            errors_console.print(f"{file}:{line}: {field}: {reason}", markup=False)
        raise typer.Exit(2)


@app.command(name="aggregate-cdr")
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

    for path in [*files, *([refusals] if refusals else [])]:
        if not path.exists():
            raise typer.BadParameter(f"no file {path}")
    with Progress(console=errors_console, disable=not sys.stderr.isatty()) as bar:
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
        for file, line, field, reason in first:
            errors_console.print(f"{file}:{line}: {field}: {reason}", markup=False)
        raise typer.Exit(2)


@app.command()
def pipeline(
    as_of: Annotated[str, typer.Option(help="As of this time; default now.")] = "",
    max_churn: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of established labels that may move."),
    ] = None,
) -> None:
    """Features, arbitration, scoring, publishing over everything."""
    at = _time_option(as_of, "--as-of")
    began = time.monotonic()
    with _connect() as stubs:
        published = session.run_pipeline(
            stubs,
            at,
            lambda step: errors_console.print(f"{time.monotonic() - began:6.1f} s {step}"),
            max_churn,
        )
    show(MessageToDict(published, preserving_proto_field_name=True))


@app.command()
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
    at = _time_option(as_of, "--as-of")
    if at is None:
        raise typer.BadParameter("--as-of is required")
    if not (horizon.endswith("d") and horizon[:-1].isdigit()):
        raise typer.BadParameter(f"--horizon must read like 30d, not {horizon!r}")
    request = scoring_pb2.TrainModelRequest(
        name=model,
        horizon_days=int(horizon[:-1]),
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
    with _connect() as stubs:
        operations.wait(stubs.operations, stubs.scoring.TrainModel(request, timeout=120), learned)
    card = json.loads(learned.card_json)
    said = {"version": learned.version, "trees": card["trees"], **card["out_of_fold"]}
    show(said | ({"active": learned.active, **card["comparison"]} if only_if_better else {}))


@app.command()
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
    with _connect() as stubs:
        request = reputation_pb2.BatchGetReputationsRequest(numbers=number, region=region)
        answer = stubs.reputation.BatchGetReputations(request, timeout=60)
    lookup.show_reputations(console, number, answer)


@app.command()
def explain(
    number: str, region: Annotated[str, typer.Option(help="Country of national numbers.")] = "CN"
) -> None:
    """Look one number up, with what led to it."""
    with _connect() as stubs:
        request = reputation_pb2.ExplainReputationRequest(number=number, region=region)
        answer = stubs.reputation.ExplainReputation(request, timeout=60)
        asked = number_pb2.BatchDescribeNumbersRequest(numbers=[number], region=region)
        described = stubs.numbers.BatchDescribeNumbers(asked, timeout=60).results[0].number
    lookup.show_explained(console, answer, described)


@app.command()
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
    with _connect() as stubs:
        count = exporting.write(stubs, out, _time_option(as_of, "--as-of"))
    show({"rows": count, "file": str(out)})


@app.command()
def scorecard(
    source: Annotated[list[str] | None, typer.Argument(help="Sources; none: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write rows by category and week, CSV.")] = None,
) -> None:
    """How right each source is, by what all the others say."""
    with _connect() as stubs:
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


@app.command(name="sync")
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


@app.command()
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


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="truth.csv")],
    reputations: Annotated[Path, typer.Option(help="An export of reputations.")],
    marks: Annotated[Path | None, typer.Option(help="Also judge majority and vendors.")] = None,
) -> None:
    """Measure how right the published reputations are."""
    from services.cli.evaluate import evaluate as measure

    found = measure(truth, reputations, marks)
    print(json.dumps(found, ensure_ascii=False, indent=None if Target.as_json else 2))


@app.command()
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
    for file, line, field, reason in rejects[:10]:
        errors_console.print(f"{file}:{line}: {field}: {reason}", markup=False)


@app.command(name="normalise")
def normalise_numbers(
    region: Annotated[str, typer.Option(help="Country of national numbers.")] = "CN",
) -> None:
    """Raw numbers on stdin, one a line; JSON lines out."""
    normalise.normalise_stream(sys.stdin.buffer, sys.stdout.buffer, region)


@app.command()
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
    run_demo(console, numbers, days, seed, folder, stay, address)


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
