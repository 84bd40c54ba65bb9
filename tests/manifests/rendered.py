"""What the overlays say, as kubectl renders it."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ("local", "small", "prod")
WORKLOADS = ("StatefulSet", "Deployment", "CronJob")
Object = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """The objects of an overlay."""
    command = ["kubectl", "kustomize", str(ROOT / "k8s" / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    """Its objects of some kinds."""
    return [item for item in rendered(overlay) if item["kind"] in kinds]


def template(workload: Object) -> Object:
    """The pods that a workload makes: metadata and spec."""
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]


def containers(workload: Object) -> list[Object]:
    """All containers of its pods."""
    spec = template(workload)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def variables(container: Object, overlay: str) -> dict[str, str]:
    """What a container's process is told: literal values; "" for what comes from elsewhere."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        maps = [m for m in of_kind(overlay, "ConfigMap") if m["metadata"]["name"] == name]
        found |= maps[0]["data"]
    return found | {item["name"]: item.get("value", "") for item in container.get("env", [])}


def is_ours(container: Object) -> bool:
    """Whether a container runs this project's image."""
    return container["image"].startswith("localhost/zhengming:")
