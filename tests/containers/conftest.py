"""Images that the make target built, certificates, and the overlays played."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.certificates import authority_in, issue
from services.common.version import VERSION
from services.configuration import NAMES
from tests.containers.play import PODMAN_ENVIRONMENT, Play, podman

IMAGE = f"localhost/zhengming:{VERSION}"
PREVIOUS = "localhost/zhengming:previous"
STORE_IMAGE = "localhost/clickhouse-server:debian"
CLIENTS = """clients:
  - {name: zhengming, scopes: [service]}
  - {name: app-one, scopes: [vendor]}
"""
SERVED = (*NAMES, "lookup")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the services and of a vendor."""
    folder = tmp_path_factory.mktemp("pki")
    authority, key = authority_in(folder)
    hosts = [n for name in SERVED for n in (f"{name}.zhengming.svc", f"*.{name}.zhengming.svc")]
    issue(folder / "services", "zhengming", hosts, authority, key, 2)
    issue(folder / "app-one", "app-one", ["app-one"], authority, key, 2)
    (folder / "app-one" / "tls.key").chmod(0o644)  # the client in the container is another user
    folder.chmod(0o755)
    return folder


def secrets_of(pki: Path) -> dict[str, dict[str, str]]:
    own = pki / "services"
    return {
        "zhengming-store": {
            "url": "clickhouse://zhengming:a-pass-word@clickhouse.zhengming.svc:9000/zhengming",
            "password": "a-pass-word",
        },
        "zhengming-keys": {"pseudonyms.key": "p" * 32, "signing.key": "s" * 32},
        "zhengming-tls": {n: (own / n).read_text() for n in ("tls.crt", "tls.key", "ca.crt")},
        "zhengming-clients": {"clients.yaml": CLIENTS},
        "zhengming-accounts": {"accounts.json": "[]"},
    }


SERVICES = (*NAMES, "console")


def started(pki: Path, folder: Path, image: str) -> Play:
    """Overlay `small` with one image, ready."""
    images = {IMAGE: image, "clickhouse/clickhouse-server:25.8": STORE_IMAGE}
    return Play("small", folder, secrets_of(pki), images)


def start_all(play: Play) -> None:
    """The store, then every service at once."""
    play.start("clickhouse")
    for name in play.names("clickhouse"):
        play.wait_listening(name, 9000)
    for service in SERVICES:
        play.start(service)
    for service in SERVICES:
        for name in play.names(service):
            play.wait_ready(name)


class Caller:
    """A client in a container of its own, which keeps calling."""

    def __init__(self, play: Play, pki: Path, policy: str, folder: Path) -> None:
        (folder / "policy.json").write_text(policy)
        (folder / "client.py").write_text((HERE / "client.py").read_text())
        folder.chmod(0o755)
        self._name = "zhengming-caller"
        podman("rm", "--force", self._name, may_fail=True)
        podman(
            "run", "--detach", "--name", self._name, "--network", play.network,
            "--volume", f"{folder}:/client:ro", "--volume", f"{pki / 'app-one'}:/identity:ro",
            "--entrypoint", "/opt/venv/bin/python", IMAGE, "/client/client.py",
            "ingest.zhengming.svc:50051", "reputation.zhengming.svc:50051",
            "lookup.zhengming.svc:50061", "/client/policy.json", "/identity",
        )  # fmt: skip
        self._following = subprocess.Popen(
            ["podman", "logs", "--follow", self._name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=PODMAN_ENVIRONMENT,
        )
        assert self._following.stdout is not None
        assert self._following.stdout.readline().strip() == "calling"

    def end(self) -> dict:
        """Have it finish its call; what it saw."""
        podman("kill", "--signal", "TERM", self._name)
        assert self._following.stdout is not None
        lines = self._following.stdout.read().splitlines()
        self._following.wait()
        return json.loads(lines[-1])

    def remove(self) -> None:
        podman("rm", "--force", self._name, may_fail=True)
        if self._following.poll() is None:
            self._following.kill()
        assert self._following.stdout is not None
        self._following.stdout.close()


@pytest.fixture
def small(pki: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Play]:
    """Overlay `small`, of the image that the test's parameter names, else of the newest."""
    image = getattr(request, "param", IMAGE)
    with started(pki, tmp_path, image) as play:
        start_all(play)
        yield play
