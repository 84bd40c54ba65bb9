"""python -m tests.fuzz.replay TARGET FOLDER: run the kept inputs of a target once."""

import logging
import sys
import traceback
from pathlib import Path

from tests.fuzz.run import check
from tests.fuzz.target import corpus
from tests.fuzz.targets import TARGETS


def main(name: str, folder: str) -> int:
    """Say which inputs were answered wrongly; 1 where one was."""
    logging.disable(logging.CRITICAL)
    target = next(target for target in TARGETS if target.name == name)
    wrong = 0
    with target.opened(Path(folder)) as run:
        for path in corpus(name):
            try:
                check(run, path.read_bytes())
            except Exception:
                wrong += 1
                print(path.name, traceback.format_exc(), flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
