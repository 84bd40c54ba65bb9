"""The demonstration: a generated city through the running services, and how right they were."""

import json
import os
import shutil
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.table import Table

from services.application import Application
from services.cli import exporting, importing
from services.cli.evaluate import evaluate
from services.cli.kinds import KINDS
from services.cli.session import Stubs, run_pipeline
from services.common import allocation, rpc
from services.common.ending import Ending
from services.configuration import environment
from services.simulator.city import simulate
from zhengming.reputation.v1 import reputation_pb2

FILES = (
    ("registry", "registry.csv"),
    ("lifecycle", "lifecycle.csv"),
    ("behaviour", "behaviour.csv.gz"),
    ("refusals", "refusals.csv"),
    ("marks", "marks.csv.gz"),
    ("decisions", "decisions.csv"),
)


def run_demo(
    console: Console, numbers: int, days: int, seed: int, folder: Path, stay: bool, address: str
) -> None:
    """Simulate, import over gRPC, run the pipeline, print what came out, keep serving."""
    allocation.keep_little(allocation.COMMAND_ARRAY_BYTES)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.1f} s  {text}", highlight=False)

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    city = folder / "city"
    end = datetime.now(timezone(timedelta(hours=8))).date()
    summary = simulate(numbers, days, seed, city, end)
    say(f"simulated a city of {summary.numbers} numbers over {days} days in {city}")
    application = Application(
        environment(
            {
                **os.environ,
                "ZHENGMING_STORE": f"chdb:{folder}/store",
                "ZHENGMING_ADDRESS": address,
            }
        )
    )
    try:
        with rpc.connect(application.address) as channel:
            stubs = Stubs.of(channel)
            for kind, name in FILES:
                tally = importing.Tally()
                seen: dict[bytes, int] = {}
                for line, table in importing.read_tables(city / name):
                    KINDS[kind](stubs, city / name, line, table, seen, tally)
                say(f"imported {tally.committed} {kind} ({len(tally.rejected)} rejected)")
            run_pipeline(stubs, None, lambda step: say(f"pipeline: {step}"))
            application.follow()
            out = folder / "reputations.csv"
            say(f"published and exported {exporting.write(stubs, out, None)} numbers to {out}")
            _stories(console, stubs, json.loads((city / "story.json").read_text()))
            found = evaluate(city / "truth.csv", out, city / "marks.csv.gz")
            _accuracy(console, found)
            (folder / "accuracy.json").write_text(json.dumps(found, indent=2, ensure_ascii=False))
            say(f"figures in full: {folder}/accuracy.json")
            if stay:
                _stay(console, application.address, application.serve_console(), folder)
    finally:
        application.stop()


def _stories(console: Console, stubs: Stubs, story: list[dict[str, Any]]) -> None:
    table = Table("number", "truth", "published", "why", show_lines=True)
    for part in story:
        try:
            answer = stubs.reputation.ExplainReputation(
                reputation_pb2.ExplainReputationRequest(number=part["number"]), timeout=30
            )
        except grpc.RpcError as error:
            table.add_row(part["number"], "", "", error.details())
            continue
        found = answer.reputation
        state = reputation_pb2.ReputationState.Name(found.state).removeprefix("REPUTATION_STATE_")
        truth = part["truth"]
        table.add_row(
            f"{found.number}\n{part['title']['en']}",
            f"{truth['category'] or 'ordinary'} {'bad' if truth['bad'] else 'good'}",
            f"{state}, level {found.level}, risk {found.risk:.2f}\n{found.display_text_zh}",
            "\n".join(reason.text_en for reason in answer.reasons[:3]),
        )
    console.print(table)


def _accuracy(console: Console, found: dict[str, Any]) -> None:
    table = Table(
        "", "category right", "or an ancestor", "bad or good: AUC", "F1", "good called bad"
    )
    rows = [("Zhengming", found["published"]), ("majority vote", found["majority"])]
    best = found["best_source"]
    if best:
        rows.append((f"best single vendor ({best})", found["sources"][best]))
    for name, judged in rows:
        bad = judged["bad"]
        table.add_row(
            name,
            f"{judged['category']['exact']:.3f}",
            f"{judged['category']['lineage']:.3f}",
            f"{bad['auc']:.3f}",
            f"{bad['f1']:.3f}",
            f"{bad['false_bad']['rate']:.4f}",
        )
    console.print(table)


def _stay(console: Console, address: str, pages: str, folder: Path) -> None:
    if pages:
        console.print(
            f"pages on {pages} - look a number up, contest a label; to review, first\n"
            f"  .venv/bin/zhengming --store chdb:{folder}/store console user add ann "
            "--role reviewer",
            highlight=False,
        )
    console.print(
        f"serving on {address} - try:\n"
        f"  .venv/bin/zhengming --server {address} get 95588 13800138000\n"
        f"  .venv/bin/zhengming --server {address} explain NUMBER\n"
        f"  .venv/bin/zhengming sync --from {address} --dir var/copy\n"
        "stop with Ctrl-C",
        highlight=False,
    )
    allocation.give_back_until(Ending().wait)
