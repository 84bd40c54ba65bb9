"""The services as real processes, over an embedded store and over a ClickHouse server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.session import Stubs
from services.common import rpc
from tests.clickhouse_server import ClickHouseServer

ROOT = Path(__file__).parents[2]


class Services:
    """All services in one process of their own, or those named."""

    def __init__(self, store: str, folder: Path, *names: str, **variables: str) -> None:
        self._names = names
        self._environment = {
            **os.environ,
            "ZHENGMING_STORE": store,
            "ZHENGMING_ADDRESS": "127.0.0.1:0",
            "ZHENGMING_CONSOLE_ADDRESS": "127.0.0.1:0",
            "ZHENGMING_MODELS": str(folder / "models"),
            "ZHENGMING_KEY_FILE": str(folder / "key"),
            "ZHENGMING_PUBLISHED": str(folder / "published"),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
            **variables,
        }
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", *self._names],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("serving on "), line
        self.address = line.split()[-1]
        self.channel = rpc.connect(self.address)
        self.stubs = Stubs.of(self.channel)

    def end(self, signum: int) -> int:
        self.channel.close()
        self.process.send_signal(signum)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="session")
def clickhouse_url() -> Iterator[str]:
    with ClickHouseServer() as server:
        yield server.url("e2e")


@pytest.fixture(params=["chdb", "clickhouse", "cluster"])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    if request.param == "chdb":
        store = f"chdb:{tmp_path / 'store'}"
    elif request.param == "cluster":
        store = request.getfixturevalue("replicated").url("e2e")
    else:
        store = request.getfixturevalue("clickhouse_url")
    running = Services(store, tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)
