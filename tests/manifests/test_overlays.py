"""What is written in k8s/ is valid, and agrees with itself and with the code."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import kubernetes_validate
import pytest
import typer

from services.cli.main import app
from services.common.health import LIVE
from services.common.telemetry import names as telemetry
from services.common.version import VERSION
from services.configuration import NAMES, environment
from services.jobs import JOBS, STORE_JOBS
from tests.manifests.rendered import (
    OVERLAYS,
    ROOT,
    WORKLOADS,
    containers,
    is_ours,
    of_kind,
    rendered,
    template,
    variables,
)

CUSTOM_KINDS = {"ClickHouseInstallation", "ClickHouseKeeperInstallation"}
"""Kinds of the Altinity operator, whose schemas are not Kubernetes' own."""
SCHEMAS = "1.37"
PEERS = re.compile(r"dns:///([a-z]+)\.([a-z]+)\.svc:(\d+)")

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


class Asked(dict[str, str]):
    """Variables that remember which of them were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name, default=None):
        self.names.add(name)
        return default

    def __contains__(self, name):
        self.names.add(str(name))
        return False


def image_variables() -> dict[str, str]:
    """What the image itself tells a process."""
    return dict(re.findall(r"(ZHENGMING_\w+)=(\S+)", (ROOT / "Containerfile").read_text()))


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def ours(overlay: str, *kinds: str) -> Iterator[tuple[dict, dict]]:
    """(workload, container) of what runs this project's image."""
    for workload in of_kind(overlay, *(kinds or WORKLOADS)):
        for container in containers(workload):
            if is_ours(container):
                yield workload, container


@each_overlay
def test_every_object_is_valid_by_the_newest_schemas(overlay):
    assert kubernetes_validate.latest_version().startswith(SCHEMAS)
    objects = [item for item in rendered(overlay) if item["kind"] not in CUSTOM_KINDS]

    for item in objects:
        kubernetes_validate.validate(item, SCHEMAS, strict=True)

    assert len(objects) >= 5


def test_an_object_with_a_mistyped_field_is_not_valid():
    wrong = {**of_kind("small", "Deployment")[0], "spek": {}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, SCHEMAS, strict=True)


@each_overlay
def test_every_variable_is_read(overlay):
    asked = Asked()
    environment(asked)

    named = {
        name
        for _, container in ours(overlay)
        for name in variables(container, overlay)
        if name.startswith("ZHENGMING_")
    }

    assert len(named) >= 5
    assert named <= asked.names


@each_overlay
def test_probes_ask_the_port_where_the_process_answers_probes(overlay):
    for workload, container in ours(overlay, "StatefulSet", "Deployment"):
        if container in template(workload)["spec"].get("initContainers", []):
            continue
        told = image_variables() | variables(container, overlay)
        door = port(told["ZHENGMING_HEALTH_ADDRESS"])
        asked = {kind: container[f"{kind}Probe"]["grpc"] for kind in ("startup", "readiness")}

        assert {probe["port"] for probe in asked.values()} == {door}
        assert container["livenessProbe"]["grpc"] == {"port": door, "service": LIVE}
        listed = {item["name"]: item["containerPort"] for item in container["ports"]}
        assert door in listed.values()
        assert port(told["ZHENGMING_ADDRESS"]) in listed.values()


@each_overlay
def test_no_two_containers_of_a_pod_listen_on_one_port(overlay):
    for workload in of_kind(overlay, "StatefulSet", "Deployment"):
        listening = [
            port(address)
            for container in template(workload)["spec"]["containers"]
            if is_ours(container)
            for name, address in (image_variables() | variables(container, overlay)).items()
            if name.removeprefix("ZHENGMING_") in ("ADDRESS", "HEALTH_ADDRESS", "METRICS_ADDRESS")
        ]

        assert len(listening) == len(set(listening))


@each_overlay
def test_every_service_leads_to_a_port_that_its_pods_have(overlay):
    for service in of_kind(overlay, "Service"):
        wanted = service["spec"]["selector"]
        pods = [
            template(workload)
            for workload in of_kind(overlay, "StatefulSet", "Deployment")
            if wanted.items() <= template(workload)["metadata"]["labels"].items()
        ]

        assert len(pods) == 1, service["metadata"]["name"]
        has = {p["containerPort"] for c in pods[0]["spec"]["containers"] for p in c["ports"]}
        assert {item["port"] for item in service["spec"]["ports"]} <= has


@pytest.mark.parametrize("overlay", ["small", "prod"])
def test_peers_are_services_with_that_port(overlay):
    services = {s["metadata"]["name"]: s for s in of_kind(overlay, "Service")}
    (peers,) = (m for m in of_kind(overlay, "ConfigMap") if m["metadata"]["name"] == "peers")

    assert set(peers["data"]) == {f"ZHENGMING_{name.upper()}_ADDRESS" for name in NAMES}
    for name, address in peers["data"].items():
        found = PEERS.fullmatch(address)
        assert found is not None
        service, namespace, number = found.groups()
        assert name == f"ZHENGMING_{service.upper()}_ADDRESS"
        assert services[service]["metadata"]["namespace"] == namespace
        assert services[service]["spec"]["clusterIP"] == "None"
        assert int(number) in {p["port"] for p in services[service]["spec"]["ports"]}


@pytest.mark.parametrize("overlay", ["small", "prod"])
def test_a_pod_says_the_name_that_its_service_gives_it(overlay):
    for workload, container in ours(overlay, "StatefulSet"):
        if container["name"] != "service":
            continue
        metadata = template(workload)["metadata"]
        name, space = workload["metadata"]["name"], workload["metadata"]["namespace"]
        told = variables(container, overlay)
        given = [item for item in container["env"] if "fieldRef" in item.get("valueFrom", {})]
        fields = {item["name"]: item["valueFrom"]["fieldRef"] for item in given}

        assert fields["SERVICE_NAME"]["fieldPath"] == "metadata.labels['app.kubernetes.io/name']"
        assert (
            metadata["labels"]["app.kubernetes.io/name"] == name == workload["spec"]["serviceName"]
        )
        said = told["ZHENGMING_ADVERTISED"].replace("$(SERVICE_NAME)", name)
        assert said.replace("$(POD_NAMESPACE)", space) == f"$(POD_NAME).{name}.{space}.svc:50051"


@pytest.mark.parametrize("overlay", ["small", "prod"])
def test_every_service_of_the_project_runs(overlay):
    started = [
        name
        for _, container in ours(overlay, "StatefulSet", "Deployment")
        for name in container["args"]
    ]

    assert sorted(started) == sorted((*NAMES, "console", "lookup"))


def commands() -> dict[str, dict]:
    click = typer.main.get_command(app)
    return dict(click.commands)


@each_overlay
def test_every_command_that_is_named_exists(overlay):
    for _, container in ours(overlay):
        for line in [container.get("command", [])]:
            words = " ".join(line)
            if "-m services job" in words:
                assert line[-1] in {**JOBS, **STORE_JOBS}
            elif line:
                named = re.findall(r"zhengming[\", ]+([a-z]+)(?: ([a-z]+))?", words)
                assert named, words
                for command, sub in named:
                    assert command in commands()
                    assert not sub or sub in commands()[command].commands


def jobs() -> dict[str, list[str]]:
    return {
        job["metadata"]["name"]: containers(job)[0]["command"]
        for job in of_kind("small", "CronJob")
    }


@pytest.mark.parametrize("name", ["bulletin", "quarter"])
def test_a_report_is_of_the_time_before(name, tmp_path):
    said = tmp_path / "zhengming"
    said.write_text('#!/bin/sh\necho "$@"\n')
    said.chmod(0o755)
    before = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)

    done = subprocess.run(
        jobs()[name],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    words = done.stdout.split()
    assert words[:2] == ["report", name]
    assert words[2] == expected_name(name, before)
    assert words[4] == f"/reports/{name}-{words[2]}.html"


@pytest.mark.parametrize("month", range(1, 13))
def test_the_quarter_of_every_month_is_reckoned_right(month, tmp_path):
    said, day = tmp_path / "zhengming", tmp_path / "date"
    said.write_text('#!/bin/sh\necho "$3"\n')
    day.write_text(f"#!/bin/sh\necho 2026-{month:02}\n")
    for path in (said, day):
        path.chmod(0o755)

    done = subprocess.run(
        jobs()["quarter"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == expected_name("quarter", date(2026, month, 1))


def expected_name(report: str, day: date) -> str:
    if report == "bulletin":
        return f"{day:%Y-%m}"
    return f"{day.year}Q{(day.month + 2) // 3}"


@each_overlay
def test_every_pod_is_restricted(overlay):
    for workload in of_kind(overlay, *WORKLOADS):
        spec = template(workload)["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] != "default"
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


@each_overlay
def test_no_account_has_a_right_to_the_cluster(overlay):
    granted = of_kind(overlay, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    accounts = {item["metadata"]["name"] for item in of_kind(overlay, "ServiceAccount")}

    assert not granted
    for workload in of_kind(overlay, *WORKLOADS):
        assert template(workload)["spec"]["serviceAccountName"] in accounts


@each_overlay
def test_secrets_are_named_and_never_written_down(overlay):
    assert not of_kind(overlay, "Secret")
    for workload in of_kind(overlay, *WORKLOADS):
        for container in containers(workload):
            told = variables(container, overlay)
            assert not told.get("ZHENGMING_STORE", "").startswith("clickhouse://")
            assert not any("PASSWORD" in name and value for name, value in told.items())


@each_overlay
def test_the_image_is_of_this_version(overlay):
    for _, container in ours(overlay):
        assert container["image"] == f"localhost/zhengming:{VERSION}"


@pytest.mark.parametrize("overlay", ["small", "prod"])
def test_everything_that_serves_has_a_disruption_budget(overlay):
    budgets = [
        b["spec"]["selector"]["matchLabels"] for b in of_kind(overlay, "PodDisruptionBudget")
    ]

    for workload, _ in ours(overlay, "StatefulSet", "Deployment"):
        labels = template(workload)["metadata"]["labels"].items()
        assert any(budget.items() <= labels for budget in budgets)


@each_overlay
def test_a_pod_lives_until_its_calls_are_answered(overlay):
    from services.application import GRACE_S

    for workload, container in ours(overlay, "StatefulSet", "Deployment"):
        drain_s = float(variables(container, overlay).get("ZHENGMING_DRAIN_S", 0))
        allowed_s = template(workload)["spec"]["terminationGracePeriodSeconds"]
        assert allowed_s >= drain_s + GRACE_S + 30


def test_claims_and_folders_of_volumes_are_there():
    made = re.search(r"install -d -o 10001 -g 10001 (.*)", (ROOT / "Containerfile").read_text())
    assert made is not None
    for overlay in OVERLAYS:
        claims = {item["metadata"]["name"] for item in of_kind(overlay, "PersistentVolumeClaim")}
        for workload in of_kind(overlay, *WORKLOADS):
            spec = template(workload)["spec"]
            own = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
            volumes = {v["name"]: v for v in spec.get("volumes", [])}
            for volume in volumes.values():
                if "persistentVolumeClaim" in volume:
                    assert volume["persistentVolumeClaim"]["claimName"] in claims
            for container in containers(workload):
                mounts = container.get("volumeMounts", [])
                assert {m["name"] for m in mounts} <= set(volumes) | own
                if is_ours(container):
                    written = [m["mountPath"] for m in mounts if not m.get("readOnly")]
                    assert "/tmp" in written
                    assert set(written) <= {*made[1].split(), "/tmp"}


def test_what_is_scaled_is_there():
    workloads = {(w["kind"], w["metadata"]["name"]): w for w in of_kind("prod", *WORKLOADS)}

    for scaler in of_kind("prod", "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        workload = workloads[(target["kind"], target["name"])]
        assert "replicas" not in workload["spec"]
        names = {container["name"] for container in containers(workload)}
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "ContainerResource":
                assert metric["containerResource"]["container"] in names
            else:
                told = {instrument.text_name for instrument in telemetry.ALL}
                assert metric["pods"]["metric"]["name"] in told


def test_every_file_of_k8s_belongs_to_something():
    kinds = ("base", "components", "overlays")
    used = {path for kind in kinds for path in (ROOT / "k8s" / kind).rglob("*.yaml")}

    for path in used:
        if path.name != "kustomization.yaml":
            assert path.name in (path.parent / "kustomization.yaml").read_text()
