"""A ClickHouse cluster with ZooKeeper on loopback: real servers in directories of their own."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clickhouse_server import ClickHouseServer, free_ports

ZOOKEEPER = "/usr/share/zookeeper/bin/zkServer.sh"
CONSOLE = "/usr/share/zookeeper/bin/zkCli.sh"
NAME = "zhengming"
_START_TIMEOUT_S = 60.0


def ensure_zookeeper() -> str:
    """The start script's path, installing Debian's package first if root may do so.

    Raises:
        RuntimeError: it is missing, and cannot be installed.
    """
    if Path(ZOOKEEPER).exists():
        return ZOOKEEPER
    if os.geteuid() != 0:
        raise RuntimeError("zookeeper is missing: apt-get install -y zookeeper")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "zookeeper"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    return ZOOKEEPER


class ZooKeeper:
    """One ZooKeeper server."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="zookeeper-"))
        self.port, self._admin = free_ports(2)

    def __enter__(self) -> Self:
        """See `start`."""
        return self.start()

    def kill(self) -> None:
        """SIGKILL; what it has noted stays."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def start(self) -> Self:
        """Start and wait until it serves: it listens before, and a ClickHouse server of 18.16 that
        meets it then may end with a segmentation fault."""
        configuration = self.root / "zoo.cfg"
        configuration.write_text(
            f"tickTime=500\ninitLimit=10\nsyncLimit=5\ndataDir={self.root / 'data'}\n"
            f"clientPortAddress=127.0.0.1\nclientPort={self.port}\nadmin.enableServer=false\n"
        )
        with (self.root / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "bash", ensure_zookeeper(), "start-foreground",
                 str(configuration)],
                stdout=console, stderr=console, stdin=subprocess.DEVNULL, cwd=self.root,
                env={**os.environ, "ZOO_LOG_DIR": str(self.root), "JVMFLAGS": "-Xmx256m"},
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if self._serves():
                return self
            if time.monotonic() > deadline or self._process.poll() is not None:
                log = (self.root / "console.log").read_text(errors="replace")
                raise RuntimeError(f"zookeeper did not start: {log[-2000:]}")
            time.sleep(0.1)

    def forget(self, path: str) -> None:
        """Delete a node and what is below it."""
        subprocess.run(
            ["bash", CONSOLE, "-server", f"127.0.0.1:{self.port}", "deleteall", path],
            env={**os.environ, "ZOO_LOG_DIR": str(self.root)}, cwd=self.root,
            check=True, capture_output=True,
        )  # fmt: skip

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"srvr")
                return b"Mode:" in connection.makefile("rb").read()
        except OSError:
            return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and delete the directory."""
        if self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.root, ignore_errors=True)


class Cluster:
    """Servers by shard and replica, started together.

    Attributes:
        servers: [shard][replica].
        keeper: their ZooKeeper.
    """

    def __init__(self, shards: int = 2, replicas: int = 1) -> None:
        self._stack = ExitStack()
        self._shards, self._replicas = shards, replicas
        self.servers: list[list[ClickHouseServer]] = []

    def __enter__(self) -> Self:
        """Start ZooKeeper and the servers."""
        with ExitStack() as stack:
            keeper = self.keeper = stack.enter_context(ZooKeeper())
            self.servers = [
                [ClickHouseServer() for _ in range(self._replicas)] for _ in range(self._shards)
            ]
            shards = "".join(
                "<shard><internal_replication>true</internal_replication>"
                + "".join(
                    f"<replica><host>127.0.0.1</host><port>{server.tcp_port}</port></replica>"
                    for server in replicas
                )
                + "</shard>"
                for replicas in self.servers
            )
            for at, replicas in enumerate(self.servers):
                for replica, server in enumerate(replicas):
                    server.extra_config = (
                        f"<remote_servers><{NAME}>{shards}</{NAME}></remote_servers>"
                        f"<zookeeper><node><host>127.0.0.1</host><port>{keeper.port}</port></node>"
                        "</zookeeper>"
                        f"<macros><shard>{at}</shard><replica>{at}-{replica}</replica></macros>"
                        "<distributed_ddl><path>/clickhouse/task_queue/ddl</path>"
                        "</distributed_ddl>"
                    )
                    stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all."""
        self._stack.__exit__(kind, error, trace)

    def begin_again(self) -> None:
        """Start the servers that have ended, as whoever keeps them running would."""
        for server in itertools.chain.from_iterable(self.servers):
            if not server.is_running:
                server.start()

    def url(self, database: str) -> str:
        """The store URL of a database on the whole cluster."""
        return f"{self.servers[0][0].url(database)}?cluster={NAME}"
