"""Commands as they are typed, over an embedded store: python -m loadtests.bench_commands.

A year of complaints (`ftc_dnc_2020_2021`) is imported, learned from, judged and exported. Each
command is a process of its own; beside its seconds stands the most memory it had at once, which
for the commands that start the services themselves is all of them together.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loadtests import bars
from loadtests.bench_scoring import DATA, FOLDERS

AS_OF, LEARNED_AS_OF = "2020-09-09T23:59:59Z", "2020-08-10T23:59:59Z"
ZHENGMING = Path(sys.executable).with_name("zhengming")


def run(*words: str) -> tuple[float, float]:
    """Run a command; its seconds, and the most memory it had, MiB.

    Raises:
        RuntimeError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen([ZHENGMING, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    taken, peak_mib = time.perf_counter() - began, usage.ru_maxrss / 1024
    if process.returncode:
        raise RuntimeError(f"zhengming {' '.join(words)}: exit status {process.returncode}")
    return taken, peak_mib


def main() -> None:
    """Run them one after the other."""
    files = sorted(map(str, (DATA / FOLDERS["risk"]).glob("*.csv.gz")))
    if not files:
        raise SystemExit(f"no {FOLDERS['risk']} in {DATA}: set ZHENGMING_DATA")
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        store = ("--store", f"chdb:{name}/store")
        for words, limit_s in (
            ((*store, "import", "ftc-dnc", *files), 60),
            ((*store, "train", "risk", "--as-of", LEARNED_AS_OF, "--positive", "marks>=3"), None),
            ((*store, "pipeline", "--as-of", AS_OF), 60),
            ((*store, "export", "reputations", "--as-of", AS_OF, "--out", f"{name}/r.csv"), None),
        ):
            taken, peak_mib = run(*words)
            peaks.append(peak_mib)
            what = " ".join(word for word in words if word not in (*store, *files))
            print(f"{what.replace(name, 'DIR'):80} {taken:6.1f} s {peak_mib:7,.0f} MiB", flush=True)
            if limit_s:
                bars.at_most(f"{words[2]} of a year of complaints, s", taken, limit_s)
    bars.at_most("commands over an embedded store, peak memory in MiB", max(peaks), 3_072)


if __name__ == "__main__":
    main()
