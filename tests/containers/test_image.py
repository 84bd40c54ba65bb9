"""What is in the image, and what is not."""

import json
import re
import tarfile
import urllib.parse

import pytest

from services.common.version import VERSION
from tests.containers.conftest import IMAGE
from tests.containers.play import podman

RESTRICTED = ("--rm", "--read-only", "--cap-drop=all", "--network=none")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")
SECRET_FILES = re.compile(r"(\.key|\.netrc|pip\.conf|id_rsa|id_ed25519|credentials)$")
SMALL_BYTES = 4 << 20


def run(
    *words: str, entrypoint: str = "/opt/venv/bin/python", options: tuple[str, ...] = ()
) -> str:
    return podman("run", *RESTRICTED, *options, "--entrypoint", entrypoint, IMAGE, *words)


@pytest.fixture(scope="module")
def bill():
    return json.loads(run("/app/sbom.cdx.json", entrypoint="/bin/cat"))


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """The archive that a registry would be given, and its layers."""
    path = tmp_path_factory.mktemp("image") / "image.tar"
    podman("save", "--format", "docker-archive", "--output", str(path), IMAGE)
    with tarfile.open(path) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        yield archive, manifest[0]
    path.unlink()


def test_it_runs_as_nobody_in_particular():
    assert run("-c", "import os; print(os.getuid(), os.getgid())") == "10001 10001"


def test_the_command_works_with_a_read_only_root_and_a_volume():
    make = "zhengming simulate --numbers 200 --days 14 --out /data/c >/dev/null"
    script = f"{make} && ls /data/c && ! touch /x"
    options = ("--volume", "zhengming-image:/data")

    try:
        said = run("-ec", script, entrypoint="/bin/sh", options=options)
    finally:
        podman("volume", "rm", "--force", "zhengming-image")

    assert "marks.csv.gz" in said


def test_its_version_is_told_by_the_command_and_the_label():
    labels = json.loads(podman("image", "inspect", IMAGE))[0]["Labels"]

    assert run("--version", entrypoint="/opt/venv/bin/zhengming").split()[:2] == [
        "zhengming",
        VERSION,
    ]
    assert labels["org.opencontainers.image.version"] == VERSION
    revision = labels["org.opencontainers.image.revision"]
    assert f"({revision})" in run("--version", entrypoint="/opt/venv/bin/zhengming")


def test_nothing_in_it_builds_software():
    look = "for t in gcc g++ cc ld make git curl wget; do command -v $t && exit 1; done; true"

    run("-c", look, entrypoint="/bin/sh")

    code = (
        "import importlib.util as u;"
        "print([m for m in ('pip', 'setuptools', 'grpc_tools', 'cyclonedx_py') if u.find_spec(m)])"
    )
    assert run("-c", code) == "[]"


def test_the_bill_of_materials_names_everything_that_is_installed(bill):
    code = (
        "import json, importlib.metadata as m;"
        "print(json.dumps([[d.name.lower(), d.version] for d in m.distributions()]))"
    )
    installed = {(name.replace("_", "-"), version) for name, version in json.loads(run("-c", code))}
    debian = run("-W", "-f", "${Package} ${Version}\\n", entrypoint="/usr/bin/dpkg-query")

    listed = {(c["name"].lower().replace("_", "-"), c["version"]) for c in bill["components"]}

    assert len(installed) > 40
    assert installed <= listed
    assert {tuple(line.split()) for line in debian.splitlines()} <= listed
    assert bill["metadata"]["component"]["version"].startswith(VERSION)


def test_the_bill_of_materials_is_cyclonedx(bill):
    assert (bill["bomFormat"], bill["specVersion"][:2]) == ("CycloneDX", "1.")
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(references) == len(set(references))
    for component in bill["components"]:
        assert urllib.parse.urlparse(component["purl"]).scheme == "pkg"


def test_no_layer_has_a_secret(layers):
    archive, manifest = layers
    found, looked_at = [], 0
    for name in manifest["Layers"]:
        with tarfile.open(fileobj=archive.extractfile(name)) as layer:
            for item in layer:
                if not item.isfile():
                    continue
                looked_at += 1
                content = layer.extractfile(item).read() if item.size <= SMALL_BYTES else b""
                is_program = content.startswith(b"\x7fELF")  # GnuTLS has the keys of its self-tests
                has_key = PRIVATE_KEY.search(content) and not is_program
                if has_key or SECRET_FILES.search(item.name):
                    found.append(item.name)

    assert looked_at > 5_000
    assert found == []


def test_its_history_names_no_secret_and_no_machine(layers):
    archive, manifest = layers
    config = json.load(archive.extractfile(manifest["Config"]))
    told = json.dumps([config["history"], config["config"]])

    assert not re.search(r"(?i)password|token=|index-url|secret", told)
    assert not re.search(r"/(home|root|work)/", told)
