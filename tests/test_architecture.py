"""The rule that keeps the services simple: who may import what."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from zhengming.type.v1.error_reason_pb2 import ErrorReason

SERVICES = Path(__file__).parents[1] / "services"
NAMES = ("ingest", "features", "scoring", "arbitration", "reputation", "console", "consumer")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("name", NAMES)
def test_a_service_imports_only_itself_and_common(name):
    used = {n for path in (SERVICES / name).rglob("*.py") for n in imported(path)}

    parts = {n.split(".")[1] for n in used if n.startswith("services.")}

    assert parts <= {name, "common"}


def module_name(path: Path) -> str:
    parts = path.relative_to(SERVICES.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_no_module_imports_in_a_circle():
    modules = {module_name(path): path for path in SERVICES.rglob("*.py")}
    graph = {}
    for name, path in modules.items():
        used = imported(path)
        graph[name] = {n if n in modules else n.rpartition(".")[0] for n in used} & set(modules)

    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle

    assert order.index("services.console.web") < order.index("services.console.app")


ERRORS = ("InvalidArgument", "NotFound", "FailedPrecondition", "Unavailable", "ResourceExhausted")


def raised_reasons() -> set[str]:
    found = set()
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                first = node.args[0] if node.args else None
                if name in ERRORS and isinstance(first, ast.Constant):
                    found.add(first.value)
    return found


def test_every_reason_that_is_raised_is_in_the_api():
    known = {name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items()}

    assert len(raised_reasons()) > 40
    assert raised_reasons() <= known


PURE = (
    "arbitration/domain",
    "features/domain",
    "reputation/rules",
    "reputation/filters",
    "common/feed/rows",
    "common/feed/head",
    "console/plots",
) + tuple(
    f"arbitration/disputes/{name}"
    for name in ("words", "working_days", "events", "dispute", "checks", "steps", "papers")
)


@pytest.mark.parametrize("module", PURE)
def test_a_domain_does_no_io(module):
    used = imported(SERVICES / f"{module}.py")

    assert not {n for n in used if n.split(".")[0] in ("grpc", "zhengming", "os", "chdb")}
    assert not {n for n in used if n.startswith("services.common.store")}


@pytest.mark.parametrize(
    ("modules", "left_out"),
    [
        (
            "services.lookups; services.lookups.load_shared()",
            "chdb lightgbm faiss scipy sklearn clickhouse_driver flask pandas cryptography jwt",
        ),
        (
            "services.cli.main",
            "chdb lightgbm faiss scipy sklearn pandas clickhouse_driver flask services.application",
        ),
        ("services.__main__", "chdb"),
    ],
)
def test_what_a_process_does_not_use_it_does_not_load(modules, left_out):
    script = f"import sys, {modules}; print(*set({left_out.split()}) & set(sys.modules))"

    found = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=SERVICES.parent,
    )

    assert found.stdout.strip() == ""
