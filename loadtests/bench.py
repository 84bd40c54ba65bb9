"""All benchmarks, one after the other: python -m loadtests.bench."""

import subprocess
import sys

BENCHMARKS = (
    "bench_store",
    "bench_numbers",
    "bench_serving",
    "bench_features",
    "bench_arbitration",
    "bench_attack",
    "bench_truth",
    "bench_scoring",
)


def main() -> int:
    """Run them; 1 if one failed."""
    failed = []
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"loadtests.{name}"]).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
