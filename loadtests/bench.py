"""All benchmarks, one after the other, and the report of them: python -m loadtests.bench.

Writes docs/benchmarks.md and docs/benchmarks.svg: machine, versions, what each benchmark printed,
and every figure that has a limit beside it. With --only, what the others showed when they were run
before (var/bench/runs.json) stands in it still.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from loadtests.bars import VARIABLE, Bar, noted

ROOT = Path(__file__).parents[1]
BENCHMARKS = (
    "bench_numbers",
    "bench_store",
    "bench_cdr",
    "bench_commands",
    "bench_features",
    "bench_features --server --numbers 200000",
    "bench_truth",
    "bench_truth --scale",
    "bench_arbitration",
    "bench_attack",
    "bench_scoring",
    "bench_serving",
    "bench_serving --scale",
    "bench_freshness",
    "bench_telemetry",
    "bench_apart",
    "bench_pages",
)
PACKAGES = ("chdb", "duckdb", "faiss-cpu", "grpcio", "lightgbm", "numpy", "protobuf", "pyarrow")
GOOD, POOR = "#2a6f97", "#c1440e"


@dataclass(frozen=True)
class Run:
    """What became of one benchmark.

    Attributes:
        command: as it is typed.
        day: when it was run.
        output: what it printed.
        bars: the figures that have a limit.
        machine: where it was run, and with what.
    """

    command: str
    day: str
    output: str
    seconds: float
    code: int
    bars: Sequence[Bar]
    machine: str = "not noted"


def run(name: str) -> Run:
    """Run one, printing as it does."""
    words = shlex.split(name)
    command = ["-m", f"loadtests.{words[0]}", *words[1:]]
    print(f"\n== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "bars"
        kept.touch()
        begun, lines = time.monotonic(), []
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, VARIABLE: str(kept)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        return Run(
            command=_typed(name),
            day=f"{datetime.now(UTC):%Y-%m-%d}",
            output="".join(lines).replace(f"{ROOT}/", ""),
            seconds=time.monotonic() - begun,
            code=process.returncode,
            bars=[named(bar, words[1:]) for bar in noted(kept)],
            machine=machine(),
        )


def named(bar: Bar, options: Sequence[str]) -> Bar:
    """The figure, named for how the benchmark was called: the same one has others without."""
    return replace(bar, text=" ".join([bar.text, *options]))


def _typed(name: str) -> str:
    return f"python -m loadtests.{name}"


def kept(path: Path) -> dict[str, Run]:
    """Runs of before, by command; none where there is no such file."""
    if not path.exists():
        return {}
    written: list[dict[str, Any]] = json.loads(path.read_text())
    runs = [Run(**{**one, "bars": [Bar(**bar) for bar in one["bars"]]}) for one in written]
    return {one.command: one for one in runs}


def keep(runs: Sequence[Run], path: Path) -> None:
    """Write runs down for `kept`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in runs], ensure_ascii=False))


def report(runs: Sequence[Run]) -> str:
    """The page, Markdown."""
    bars = [bar for one in runs for bar in one.bars]
    here = machine()
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`, which prints the same. Figures of quality come from the data in",
        "`../shared/data`, speed and memory from generated data; peers and limits are measured in",
        "the same run. Fuzzing is counted in [fuzzing.md](fuzzing.md), scenarios of load are in",
        "[load.md](load.md).",
        "",
        f"{here}.",
        "",
        *_left_out(runs),
        f"{sum(bar.held for bar in bars)} of {len(bars)} figures hold. Right of the line they do:",
        "",
        "![figures beside their limits](benchmarks.svg)",
        "",
        "| figure | measured | limit | |",
        "|---|--:|--:|---|",
        *(_row(bar) for bar in bars),
    ]
    for one in runs:
        failed = "" if not one.code else f", exit status {one.code}"
        parts += ["", f"## {one.command}", "", f"{one.day}, {one.seconds:.0f} s{failed}", ""]
        if one.machine != here:
            parts += [f"On another machine: {one.machine}.", ""]
        parts += ["```", one.output.strip() or "(nothing printed)", "```"]
    return "\n".join(parts) + "\n"


def _left_out(runs: Sequence[Run]) -> list[str]:
    made = {one.command for one in runs}
    left = [name for name in BENCHMARKS if _typed(name) not in made]
    return [f"Not run this time: {', '.join(left)}.", ""] if left else []


def machine() -> str:
    """Processor, cores, memory, system and versions, on a line."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}; "
        + ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    )


def _version(name: str) -> str:
    """Of a package, "" where it is not installed: the peers are installed for benchmarks alone."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def draw(bars: Sequence[Bar], path: Path) -> None:
    """How far each figure is on the right side of its limit, as a factor."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "zhengming"
    from matplotlib import pyplot

    shown = [bar for bar in bars if bar.value > 0 and bar.limit > 0]
    factors = [b.value / b.limit if b.at_least else b.limit / b.value for b in shown]
    figure, axes = pyplot.subplots(figsize=(8, 0.6 + 0.22 * max(len(shown), 1)))
    colours = [GOOD if bar.held else POOR for bar in shown]
    places = range(len(shown))
    axes.hlines(places, 1, factors, color=colours)
    axes.scatter(factors, places, s=14, c=colours)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yticks=places, xlabel="times better than the limit")
    axes.set_yticklabels([bar.text for bar in shown], fontsize=7)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _row(bar: Bar) -> str:
    sign, held = ">=" if bar.at_least else "<=", "holds" if bar.held else "**missed**"
    return f"| {bar.text} | {bar.value:.4g} | {sign} {bar.limit:.4g} | {held} |"


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        yield from path.read_text().splitlines()


def main() -> int:
    """Run them and write the report; 1 if one failed or missed a bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=BENCHMARKS, choices=BENCHMARKS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    path = ROOT / "var" / "bench" / "runs.json"
    found = kept(path)
    for name in given.only:
        found[_typed(name)] = run(name)
        # In the order of BENCHMARKS; the report stands even if a later one is broken off.
        runs = [found[command] for command in map(_typed, BENCHMARKS) if command in found]
        keep(runs, path)
        (given.out / "benchmarks.md").write_text(report(runs), encoding="utf-8")
        draw([bar for one in runs for bar in one.bars], given.out / "benchmarks.svg")
    failed = [command for command in map(_typed, given.only) if found[command].code]
    if failed:
        print(f"\nfailed, or missed a bar: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
