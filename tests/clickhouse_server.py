"""A real clickhouse-server on loopback ports of its own, in a temporary directory."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from clickhouse_driver import Client

BINARY = "clickhouse-server"
# The kernel ends the server when the test process is killed before it could.
_END_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_PORTS_EACH = 1_500
_FIRST_PORT = 20_000 + _PORTS_EACH * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_ports = itertools.islice(
    itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS_EACH)), os.getpid() % _PORTS_EACH, None
)

_CONFIG = """<?xml version="1.0"?>
<yandex>
    <logger><level>warning</level><log>{root}/server.log</log>
        <errorlog>{root}/error.log</errorlog><size>50M</size><count>1</count></logger>
    <listen_host>127.0.0.1</listen_host>
    <http_port>{http_port}</http_port>
    <tcp_port>{tcp_port}</tcp_port>
    <interserver_http_port>{interserver_port}</interserver_http_port>
    <interserver_http_host>127.0.0.1</interserver_http_host>
    <path>{root}/data/</path>
    <tmp_path>{root}/tmp/</tmp_path>
    <user_files_path>{root}/user_files/</user_files_path>
    <format_schema_path>{root}/format_schemas/</format_schema_path>
    <users_config>{root}/users.xml</users_config>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
    <timezone>UTC</timezone>
    <mark_cache_size>67108864</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <max_concurrent_queries>100</max_concurrent_queries>
    <builtin_dictionaries_reload_interval>3600</builtin_dictionaries_reload_interval>
    {extra}
</yandex>
"""

_USERS = """<?xml version="1.0"?>
<yandex>
    <profiles><default>
        <max_memory_usage>4000000000</max_memory_usage>
        <background_pool_size>2</background_pool_size>
    </default></profiles>
    <users><default>
        <password></password>
        <networks><ip>127.0.0.1</ip></networks>
        <profile>default</profile><quota>default</quota>
    </default></users>
    <quotas><default></default></quotas>
</yandex>
"""


def ensure_installed() -> str:
    """The server's path, installing Debian's package first if root may do so.

    Raises:
        RuntimeError: it is missing, and cannot be installed.
    """
    found = shutil.which(BINARY)
    if found:
        return found
    packages = ["clickhouse-server", "clickhouse-client"]
    if os.geteuid() != 0:
        raise RuntimeError(f"{BINARY} is missing: apt-get install -y {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", *packages]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    found = shutil.which(BINARY)
    if not found:
        raise RuntimeError(f"{BINARY} is still missing after installing it")
    return found


def free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago; none is given twice.

    They lie below those that the kernel gives to whoever asks for any, and each worker of the tests
    has its own, so that nobody else takes them in between.
    """
    found: list[int] = []
    while len(found) < count:
        port = next(_ports)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found


class ClickHouseServer:
    """A server process that keeps its directory over `stop` and `start`, until `remove`.

    Attributes:
        tcp_port: the native protocol's.
        http_port: the HTTP interface's.
        interserver_port: for replicas.
        root: configuration, data and logs.
    """

    def __init__(self, extra_config: str = "", root: Path | None = None) -> None:
        """Choose ports and write the configuration.

        Args:
            extra_config: XML inside `<yandex>`: zookeeper, remote_servers, macros.
            root: an existing directory; a temporary one if None.
        """
        self.root = root or Path(tempfile.mkdtemp(prefix="clickhouse-"))
        self.extra_config = extra_config
        self.tcp_port, self.http_port, self.interserver_port = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running server's process id."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "default") -> str:
        """The store URL of a database on this server."""
        return f"clickhouse://127.0.0.1:{self.tcp_port}/{database}"

    def start(self) -> Self:
        """Start and wait until it answers.

        Raises:
            RuntimeError: it ended or did not answer; the message has the end of its log.
        """
        for folder in ("data", "tmp", "user_files", "format_schemas"):
            (self.root / folder).mkdir(exist_ok=True)
        config = self.root / "config.xml"
        config.write_text(
            _CONFIG.format(
                root=self.root,
                http_port=self.http_port,
                tcp_port=self.tcp_port,
                interserver_port=self.interserver_port,
                extra=self.extra_config,
            )
        )
        (self.root / "users.xml").write_text(_USERS)
        with (self.root / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [*_END_WITH_US, ensure_installed(), f"--config-file={config}"],
                stdout=console,
                stderr=console,
                stdin=subprocess.DEVNULL,
                cwd=self.root,
                start_new_session=True,
            )
        self._wait_until_answering()
        return self

    def stop(self) -> None:
        """SIGTERM and, if that is ignored, SIGKILL."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop and delete the directory."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; the directory with its logs stays if the block failed."""
        if kind is None:
            self.remove()
        else:
            self.stop()

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"clickhouse-server ended: {self._log_end()}")
            try:
                socket.create_connection(("127.0.0.1", self.tcp_port), timeout=1).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"no answer: {error}: {self._log_end()}") from error
                time.sleep(0.05)
        client = Client("127.0.0.1", self.tcp_port)
        client.execute("SELECT 1")
        client.disconnect()

    def _log_end(self) -> str:
        logs = [self.root / "error.log", self.root / "console.log"]
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())
