"""python -m tests.fuzz [--target T]... [--seconds S] [--seed N]: run, count, keep findings.

Each target runs in a process of its own, so that an input that kills it is a finding too.
"""

import argparse
import faulthandler
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.run import LastInput, fuzz, name_of
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

FOUND = Path("var/fuzz")


def main() -> int:
    """Run the targets one after the other; 1 where something was found."""
    options = _options()
    chosen = [target for target in TARGETS if target.name in (options.target or target.name)]
    if options.write_corpus:
        for target in chosen:
            _write_corpus(target)
        return 0
    if options.child:
        return _child(chosen[0], options)
    total = found = 0
    print(f"{'target':16}{'executions':>12}{'refused':>12}{'per second':>12}  seed  findings")
    for target in chosen:
        executions, refused, findings = _apart(target, options.seconds, options.seed)
        total, found = total + executions, found + len(findings)
        rate = executions / options.seconds
        print(
            f"{target.name:16}{executions:>12,}{refused:>12,}{rate:>12,.0f}  {options.seed:>4}  "
            f"{len(findings)}",
            flush=True,
        )
        for place, path in findings.items():
            print(f"    {place}: {path}", flush=True)
    print(f"{'all':16}{total:>12,}", flush=True)
    return int(found > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=[t.name for t in TARGETS])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write-corpus", action="store_true", help="keep the good inputs anew")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _write_corpus(target: Target) -> None:
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("good-*"):
        old.unlink()
    for at, content in enumerate(target.seeds()):
        (folder / f"good-{at:02}").write_bytes(content)


def _apart(target: Target, seconds: float, seed: int) -> tuple[int, int, dict[str, Path]]:
    """Run a target in processes until the time is over; a new one after one that was killed."""
    executions = refused = 0
    findings: dict[str, Path] = {}
    until = time.monotonic() + seconds
    for round_ in range(100):
        left_s = until - time.monotonic()
        if left_s <= 0:
            break
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            command = [
                sys.executable,
                "-m",
                "tests.fuzz",
                "--target",
                target.name,
                "--child",
                folder,
            ]
            command += ["--seconds", str(left_s), "--seed", str(seed + 1_000_003 * round_)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = Path(folder) / "work" / "last"
                content = LastInput.read(last) if last.exists() else b""
                text = f"ended with {done.returncode}\n{done.stderr[-4000:]}"
                place = f"ended with {done.returncode}, round {round_}"
                findings[place] = _keep(target, content, text)
                continue
            told = json.loads(done.stdout.splitlines()[-1])
            executions, refused = executions + told["executions"], refused + told["refused"]
            for place, (content, text) in told["found"].items():
                findings[place] = _keep(target, bytes.fromhex(content), text)
            break
    return executions, refused, findings


def _child(target: Target, options: argparse.Namespace) -> int:
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    folder = Path(options.child) / "work"
    folder.mkdir()
    result = fuzz(target, options.seconds, options.seed, folder)
    found = {place: (content.hex(), text) for place, (content, text) in result.found.items()}
    told = {"executions": result.executions, "refused": result.refused, "found": found}
    print(json.dumps(told), flush=True)
    return 0


def _keep(target: Target, content: bytes, text: str) -> Path:
    folder = FOUND / target.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_of(content)
    path.write_bytes(content)
    path.with_suffix(".txt").write_text(text)
    return path


if __name__ == "__main__":
    sys.exit(main())
