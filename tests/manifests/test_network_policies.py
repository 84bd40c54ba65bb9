"""Who reaches whom, by the policies of the overlays."""

from typing import Any

import pytest

from services.configuration import NAMES
from tests.manifests.rendered import WORKLOADS, of_kind, rendered, template

SERVICES = (*NAMES, "console")
GRPC, LOOKUP, PAGES, STORE = 50051, 50061, 8080, 9000
each_overlay = pytest.mark.parametrize("overlay", ["small", "prod"])


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes labels (Kubernetes: all of its terms must hold)."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for term in selector.get("matchExpressions", []):
        if term["operator"] == "In" and labels.get(term["key"]) not in term["values"]:
            return False
        if term["operator"] == "Exists" and term["key"] not in labels:
            return False
    return True


def admits(rules: list[dict], kind: str, other: dict[str, Any], port: int) -> bool:
    """Whether one of the rules lets the other side through, by its pod's or namespace's labels."""
    for rule in rules:
        if "ports" in rule and port not in {item["port"] for item in rule["ports"]}:
            continue
        if kind not in rule:
            return True
        for peer in rule[kind]:
            if "namespaceSelector" in peer:
                if matches(peer["namespaceSelector"], other.get("namespace", {})):
                    return True
            elif (
                "podSelector" in peer
                and "pod" in other
                and matches(peer["podSelector"], other["pod"])
            ):
                return True
    return False


def allowed(overlay: str, way: str, pod: dict[str, str], other: dict[str, Any], port: int) -> bool:
    """Whether a pod may be called by (Ingress) or may call (Egress) another."""
    chosen = [
        policy["spec"]
        for policy in of_kind(overlay, "NetworkPolicy")
        if matches(policy["spec"]["podSelector"], pod) and way in policy["spec"]["policyTypes"]
    ]
    assert chosen, "a pod that no policy chooses is open to all"
    kind = "from" if way == "Ingress" else "to"
    return any(admits(spec.get(way.lower(), []), kind, other, port) for spec in chosen)


def pods(overlay: str) -> dict[str, dict[str, str]]:
    found = {
        template(w)["metadata"]["labels"]["app.kubernetes.io/name"]: template(w)["metadata"][
            "labels"
        ]
        for w in of_kind(overlay, *WORKLOADS)
    }
    if any(item["kind"] == "ClickHouseInstallation" for item in rendered(overlay)):
        found["clickhouse"] = {"clickhouse.altinity.com/chi": "zhengming"}
    return found


def reaches(overlay: str, caller: str, called: str, port: int) -> bool:
    labels = pods(overlay)
    return allowed(overlay, "Egress", labels[caller], {"pod": labels[called]}, port) and allowed(
        overlay, "Ingress", labels[called], {"pod": labels[caller]}, port
    )


def enters(overlay: str, may: str, called: str, port: int) -> bool:
    other = {"namespace": {"zhengming/may": may}}
    return allowed(overlay, "Ingress", pods(overlay)[called], other, port)


@each_overlay
@pytest.mark.parametrize("caller", [*SERVICES, "jobs"])
def test_services_and_jobs_reach_the_services_and_the_store(overlay, caller):
    for called in NAMES:
        assert reaches(overlay, caller, called, GRPC)
    assert reaches(overlay, caller, "clickhouse", STORE)


@each_overlay
def test_nobody_calls_the_pages_or_the_jobs_from_inside(overlay):
    for caller in (*SERVICES, "jobs"):
        assert not reaches(overlay, caller, "console", PAGES)
        assert not reaches(overlay, caller, "jobs", GRPC)


@each_overlay
def test_clients_enter_where_they_are_served_and_nowhere_else(overlay):
    assert enters(overlay, "call", "ingest", GRPC)
    assert enters(overlay, "call", "reputation", GRPC)
    assert enters(overlay, "call", "reputation", LOOKUP)
    assert enters(overlay, "browse", "console", PAGES)
    for called in ("features", "scoring", "arbitration", "console", "clickhouse"):
        assert not enters(overlay, "call", called, GRPC)
    assert not enters(overlay, "call", "clickhouse", STORE)
    assert not enters(overlay, "anything", "ingest", GRPC)


@each_overlay
def test_only_notices_leave_and_only_by_tls(overlay):
    leaving = [
        policy["metadata"]["name"]
        for policy in of_kind(overlay, "NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer and {item["port"] for item in rule["ports"]} == {443}
    ]

    assert set(leaving) == {"notices"}
