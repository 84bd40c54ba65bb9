"""A load scenario against real services: python -m loadtests.load SCENARIO [--minutes N].

Prints what it measured and what must hold; writes a report by locust and a summary as JSON. Ends
with 1 when something did not hold.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import grpc

from loadtests.load import plan
from loadtests.load.checks import (
    CALL_S,
    READY_S,
    Calls,
    Outcome,
    check_calls,
    check_drained,
    check_feed,
    check_marks,
    check_memory,
    check_slower,
)
from loadtests.load.processes import Server, until
from loadtests.load.watching import Faults, Meter
from services.common import rpc
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

ROOT = Path(__file__).parents[2]


def prepare(server: Server) -> None:
    """Marks on the numbers that will be asked about, until all of them are published."""
    numbers = [f"+{plan.FIRST + i}" for i in range(plan.KNOWN)]
    each = [number for number in numbers for _ in range(plan.MARKS_EACH)]
    with rpc.connect(server.address) as channel, rpc.connect(server.lookup.address) as lookup:
        ingest_pb2_grpc.IngestServiceStub(channel).SubmitMarkColumns(
            ingest_pb2.SubmitMarkColumnsRequest(
                source="before",
                mark_ids=[f"before-{i}" for i in range(len(each))],
                numbers=each,
                labels=plan.LABELS[:1],
                label_indexes=[0] * len(each),
                occurred_ms=[time.time_ns() // 1_000_000 - 3_600_000] * len(each),
                reporters=[f"r{i}" for i in range(len(each))],
            ),
            timeout=READY_S,
        )
        stub = reputation_pb2_grpc.ReputationServiceStub(lookup)
        request = reputation_pb2.BatchGetReputationsRequest(numbers=numbers)

        def seen() -> bool:
            try:
                found = stub.BatchGetReputations(request, timeout=CALL_S).results
            except grpc.RpcError:  # nothing is published yet
                return False
            return all(one.reputation.mark_count == plan.MARKS_EACH for one in found)

        until(seen, READY_S)


def locust(server: Server, folder: Path, out: Path, name: str, seconds: int, rate: float) -> Calls:
    """Run the users; what locust counted, by kind of call.

    Vendors have a locust of their own: users of one wait for each other, and how long a lookup
    takes is to be the server's doing.
    """
    variables = {
        plan.SCENARIO: name,
        plan.FOLDER: str(folder),
        plan.CONSOLE: server.console,
        plan.RATE: str(rate),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
    }
    users = {
        f"{name}-lookups": (server.lookup.address, ["Vendor"]),
        name: (server.address, ["Source", "Carrier", "Holder", "Reviewer"]),
    }
    running = []
    for report, (address, kinds) in users.items():
        command = [
            sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests/load/users.py"),
            "--headless", "--host", address, "--users", "20", "--spawn-rate", "20",
            "--run-time", f"{seconds}s", "--stop-timeout", "60", "--only-summary",
            "--html", str(out / f"{report}.html"), "--json-file", str(out / f"{report}-calls"),
            "--exit-code-on-error", "0", *kinds,
        ]  # fmt: skip
        running.append(
            subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.DEVNULL
            )
        )
    for process in running:
        if process.wait():
            raise RuntimeError(f"locust ended with {process.returncode}")
    found: Calls = []
    for report in users:
        found += json.loads((out / f"{report}-calls.json").read_text())
    return found


def run(name: str, scenario: plan.Scenario, out: Path, seed: int) -> Outcome:
    """Run one scenario; what it showed."""
    outcome = Outcome(
        {"scenario": name, "seconds": scenario.seconds, "rate": scenario.marks, "seed": seed}
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        server = Server(folder)
        try:
            prepare(server)
            meter = Meter(server.services)
            faults = None
            if scenario.faults_from is not None:
                faults = Faults(server, scenario.faults_from, plan.KILLS_UNTIL_S, seed)
            try:
                calls = locust(server, folder, out, name, scenario.seconds, scenario.marks)
            finally:
                if faults is not None:
                    faults.stop()
                    outcome.figures["faults"] = faults.done
                meter.stop()
            check_calls(calls, outcome)
            if any(counted["name"].endswith(plan.LOADED) for counted in calls):
                check_slower(calls, outcome)
            check_drained(server, outcome)
            check_feed(server, folder, outcome)
            check_memory(meter.slope(), faults is not None, outcome)
            outcome.check(server.end() == [0, 0], "the services ended as they were told")
        finally:
            server.remove()
        check_marks(server, folder, outcome)
    return outcome


def main() -> int:
    """Run the scenario that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=plan.SCENARIOS)
    parser.add_argument("--minutes", type=float, help="in place of the scenario's own length")
    parser.add_argument("--rate", type=float, help="marks a second, in place of the scenario's")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31))
    parser.add_argument("--out", type=Path, default=ROOT / "var/load")
    chosen = parser.parse_args()
    scenario = plan.SCENARIOS[chosen.scenario]
    if chosen.rate:
        scenario = replace(scenario, marks=chosen.rate)
    if chosen.minutes:
        scenario = replace(scenario, seconds=int(chosen.minutes * 60))
    chosen.out.mkdir(parents=True, exist_ok=True)
    print(f"{chosen.scenario}: {scenario.seconds} s, seed {chosen.seed}", flush=True)
    outcome = run(chosen.scenario, scenario, chosen.out, chosen.seed)
    summary = chosen.out / f"{chosen.scenario}.json"
    told = {**outcome.figures, "broken": outcome.broken}
    summary.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    print(f"report {chosen.out / chosen.scenario}.html, summary {summary}")
    return int(bool(outcome.broken))


if __name__ == "__main__":
    sys.exit(main())
