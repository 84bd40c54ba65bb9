"""Overlays as podman plays them: what a cluster's controllers do, done with `podman kube play`.

A controller makes pods out of a StatefulSet or a Deployment, expands variables, and keeps names of
services; podman 4.3 knows one pod at a time. So each pod is written out here, with the names of the
services that choose it as its aliases on the network. What podman cannot take is left out: gRPC
probes, which the tests ask themselves, and what only a scheduler reads.
"""

import base64
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.manifests.rendered import ROOT, WORKLOADS, of_kind, template

DEADLINE_S = 180
HEALTH_PORTS = {"service": 50052, "lookup": 50062}
SERVING = health_pb2.HealthCheckResponse.SERVING
PODMAN_ENVIRONMENT = {
    **os.environ,
    "CONTAINERS_CONF": str(ROOT / ".make" / "containers" / "containers.conf"),
}
Object = dict[str, Any]


def podman(*words: str, given: str | None = None, may_fail: bool = False) -> str:
    """Run podman; what it printed."""
    done = subprocess.run(
        ["podman", *words], input=given, capture_output=True, text=True, env=PODMAN_ENVIRONMENT
    )
    if done.returncode and not may_fail:
        raise AssertionError(f"podman {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout.strip()


class Play:
    """The pods of an overlay on a network of their own.

    Args:
        secrets: by name, what the cluster's Secrets hold, as text.
        images: what to run in place of an image that the overlay names.
    """

    def __init__(
        self,
        overlay: str,
        folder: Path,
        secrets: Mapping[str, Mapping[str, str]],
        images: Mapping[str, str],
    ) -> None:
        self._overlay, self._folder = overlay, folder
        self._secrets, self.images = secrets, dict(images)
        self.network = f"zhengming-{overlay}"
        self._played: dict[str, Path] = {}
        self._volumes: set[str] = set()

    def __enter__(self) -> "Play":
        podman("network", "rm", "--force", self.network, may_fail=True)
        podman("network", "create", self.network)
        for name, held in self._secrets.items():
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in held.items()}
            podman("secret", "rm", name, may_fail=True)
            podman("secret", "create", name, "-", given=json.dumps(encoded))
        return self

    def __exit__(self, *failure: object) -> None:
        for name in list(self._played):
            for container in self.containers(name):  # shown where the test has failed
                print(f"--- {container}\n{self.logs(container)[-3000:]}")
            self.remove(name)
        podman("network", "rm", "--force", self.network, may_fail=True)
        for name in self._volumes:
            podman("volume", "rm", "--force", name, may_fail=True)
        for name in self._secrets:
            podman("secret", "rm", name, may_fail=True)

    def names(self, workload: str) -> list[str]:
        """The pods that a workload has."""
        spec = self._workload(workload)["spec"]
        return [f"{workload}-{at}" for at in range(spec.get("replicas", 1))]

    def start(self, workload: str) -> None:
        """Make all pods of a workload."""
        for name in self.names(workload):
            self.make(workload, name)

    def make(self, workload: str, name: str) -> None:
        """Make one pod, its init containers first, as a kubelet does."""
        pod = self._pod(workload, name)
        before = pod["spec"].pop("initContainers", [])
        for container in before:
            first = {**pod["spec"], "containers": [container], "restartPolicy": "Never"}
            label = f"{name}-{container['name']}"
            self._play({**pod, "metadata": {"name": label}, "spec": first}, [])
            code = podman("wait", f"{label}-{container['name']}")
            assert code == "0", self.logs(f"{label}-{container['name']}")
            self.remove(label)
        self._play(pod, self._aliases(workload, name))

    def run_job(self, name: str) -> str:
        """Do what a CronJob does, once, as often as its backoffLimit allows; what it printed."""
        spec = self._workload(name)["spec"]["jobTemplate"]["spec"]
        failures = []
        while len(failures) <= spec["backoffLimit"]:
            pod = self._pod(name, f"job-{name}")
            self._play(pod, [])
            container = f"job-{name}-job"
            code, said = podman("wait", container), self.logs(container)
            self.remove(f"job-{name}")
            if code == "0":
                return said
            failures.append(said)
        raise AssertionError("\n".join(failures))

    def remove(self, name: str, patience_s: int = 0) -> None:
        """Take a pod away: SIGTERM, and SIGKILL after so long."""
        # Its containers first: stopping the pod would take the network from under them.
        if held := self.containers(name):
            podman("stop", "--time", str(patience_s), *held, may_fail=True)
        podman("pod", "rm", "--force", name, may_fail=True)
        self._played.pop(name, None)

    def kill(self, container: str) -> None:
        """SIGKILL to its first process; podman begins it anew, as a kubelet would.

        `podman kill` would count as asked for, and nothing would be begun anew.
        """
        os.kill(int(podman("inspect", container, "--format", "{{.State.Pid}}")), signal.SIGKILL)

    def containers(self, name: str) -> list[str]:
        """The containers of a pod."""
        held = podman("ps", "--all", "--filter", f"pod={name}", "--format", "{{.Names}}").split()
        return [container for container in held if not container.endswith("-infra")]

    def logs(self, container: str) -> str:
        """What a container wrote."""
        command = ["podman", "logs", container]
        done = subprocess.run(command, capture_output=True, text=True, env=PODMAN_ENVIRONMENT)
        return done.stdout + done.stderr

    def address(self, name: str, port: int) -> str:
        """Where a pod is reached from this machine."""
        infra = podman("pod", "inspect", name, "--format", "{{.InfraContainerID}}")
        seen = json.loads(podman("inspect", infra))[0]["NetworkSettings"]["Networks"]
        return f"{seen[self.network]['IPAddress']}:{port}"

    def health(self, name: str, container: str = "service", service: str = "") -> int:
        """What a kubelet is told; 0 where nobody answers."""
        request = health_pb2.HealthCheckRequest(service=service)
        with grpc.insecure_channel(self.address(name, HEALTH_PORTS[container])) as channel:
            try:
                return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status
            except grpc.RpcError:
                return 0

    def wait_ready(self, name: str) -> None:
        """Wait until every container of a pod that has a health door is ready."""
        ours = [c["name"] for c in self._pod_spec(name)["containers"] if c["name"] in HEALTH_PORTS]
        for container in ours:
            self._until(lambda at=container: self.health(name, at) == SERVING, f"{name} ready")

    def wait_listening(self, name: str, port: int) -> None:
        """Wait until a pod takes connections on a port."""
        import socket

        def listens() -> bool:
            host, _, number = self.address(name, port).rpartition(":")
            try:
                socket.create_connection((host, int(number)), timeout=1).close()
            except OSError:
                return False
            return True

        self._until(listens, f"{name} listening on {port}")

    def _until(self, holds: Any, what: str) -> None:
        until, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while not holds():
            assert time.monotonic() < until, f"never {what}"
            pause.wait(0.2)

    def _workload(self, name: str) -> Object:
        (found,) = (w for w in of_kind(self._overlay, *WORKLOADS) if w["metadata"]["name"] == name)
        return found

    def _pod_spec(self, name: str) -> Object:
        return yaml.safe_load(self._played[name].read_text().partition("\n---\n")[0])["spec"]

    def _aliases(self, workload: str, name: str) -> list[str]:
        """Names that a cluster's DNS knows the pod by."""
        labels = template(self._workload(workload))["metadata"]["labels"].items()
        found = []
        for service in of_kind(self._overlay, "Service"):
            if service["spec"]["selector"].items() <= labels:
                space, own = service["metadata"]["namespace"], service["metadata"]["name"]
                found += [f"{own}.{space}.svc", f"{name}.{own}.{space}.svc"]
        return found

    def _pod(self, workload: str, name: str) -> Object:
        whole = self._workload(workload)
        pod = json.loads(json.dumps(template(whole)))
        spec, space = pod["spec"], whole["metadata"]["namespace"]
        known = {"POD_NAME": name, "POD_NAMESPACE": space, "SERVICE_NAME": workload}
        for key in ("topologySpreadConstraints", "priorityClassName", "serviceAccountName"):
            spec.pop(key, None)
        spec["volumes"] = [_volume(v) for v in spec.get("volumes", [])]
        for claim in whole["spec"].get("volumeClaimTemplates", []):
            own = claim["metadata"]["name"]
            spec["volumes"].append(
                {"name": own, "persistentVolumeClaim": {"claimName": f"{own}-{name}"}}
            )
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            container["image"] = self.images.get(container["image"], container["image"])
            for kind in ("startup", "readiness", "liveness"):
                container.pop(f"{kind}Probe", None)
            container.pop("ports", None)  # podman 4.3 would open each on this machine
            for item in container.get("env", []):
                if "fieldRef" in item.get("valueFrom", {}):
                    item["value"] = known[item["name"]]
                    del item["valueFrom"]
                if "value" in item:
                    item["value"] = _expanded(item["value"], known)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def _play(self, pod: Object, aliases: list[str]) -> None:
        name = pod["metadata"]["name"]
        self._volumes |= {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        maps = of_kind(self._overlay, "ConfigMap")
        # podman 4.3 leaves what is in a Secret's volume encoded; it keeps a ConfigMap's as it is.
        maps += [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": own}, "data": dict(held)}
            for own, held in self._secrets.items()
        ]
        path = self._folder / f"{name}.yaml"
        path.write_text("\n---\n".join(yaml.safe_dump(item) for item in [pod, *maps]))
        network = ",".join([self.network, *(f"alias={alias}" for alias in aliases)])
        network = network.replace(",", ":", 1)
        podman("kube", "play", "--network", network, str(path))
        self._played[name] = path


def _volume(volume: Object) -> Object:
    if "secret" in volume:
        return {"name": volume["name"], "configMap": {"name": volume["secret"]["secretName"]}}
    return volume


def _expanded(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"$({name})", value)
    return text
