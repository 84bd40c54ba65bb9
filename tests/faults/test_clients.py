"""Clients that connect and say nothing, or half of what they began, cost others nothing."""

import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest

from tests.clickhouse_server import free_ports
from tests.e2e.conftest import Services
from tests.faults.test_handover import seen, submit

SILENT = 300
"""Connections of each kind; waitress takes 100 unless told otherwise."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113, section 3.4."""
NUMBER = "13800400001"
STARTED_S = 120
WAIT_S = 20
"""Less than the time after which silent connections are closed."""


@pytest.fixture
def services(tmp_path):
    (port,) = free_ports(1)
    console = f"127.0.0.1:{port}"
    running = Services(f"chdb:{tmp_path / 'store'}", tmp_path, ZHENGMING_CONSOLE_ADDRESS=console)
    running.console = console
    until, pause = time.monotonic() + STARTED_S, threading.Event()
    while not shows_pages(running):
        assert time.monotonic() < until
        pause.wait(0.1)
    yield running
    if running.process.poll() is None:
        running.end(15)


def shows_pages(services):
    try:
        with urllib.request.urlopen(f"http://{services.console}/", timeout=WAIT_S) as page:
            return page.status == 200
    except (OSError, urllib.error.URLError):
        return False


def open_and_say(stack, address, content):
    host, port = address.rsplit(":", 1)
    one = stack.enter_context(socket.create_connection((host, int(port)), timeout=WAIT_S))
    one.sendall(content)
    return one


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("door", "content"),
    [
        pytest.param("address", b"", id="gRPC, nothing"),
        pytest.param("address", PREFACE[:10], id="gRPC, half a preface"),
        pytest.param("address", PREFACE + b"\x00\x00", id="gRPC, half a frame"),
        pytest.param("console", b"", id="HTTP, nothing"),
        pytest.param("console", b"GET / HTTP/1.1\r\nHost: 127.", id="HTTP, half a head"),
        pytest.param(
            "console",
            b"POST /api/v1/marks HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{",
            id="HTTP, half a body",
        ),
    ],
)
def test_silent_connections_keep_nobody_out(services, door, content):
    with ExitStack() as stack:
        opened = [open_and_say(stack, getattr(services, door), content) for _ in range(SILENT)]

        submit(services, NUMBER, 4)
        found = seen(services, NUMBER, 4)
        shown = shows_pages(services)

        assert len(opened) == SILENT
    assert found.mark_count == 4
    assert shown
    assert services.end(15) == 0
