"""Learns the shipped models from a simulated city: python -m services.cli.shipped_model."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services.cli.demo import FILES

SEED = "101"
END = "2026-11-20"
AS_OF = "2026-11-19T15:59:59Z"
MODELS = Path(__file__).parents[2] / "models"
NAMES = ("prior", "risk")
"""In the order of learning: the risk's rows hold posteriors, and these the prior."""


def main() -> None:
    """Simulate, import, learn, and put the models in the place of the shipped ones."""
    with tempfile.TemporaryDirectory() as folder:
        store = ["--store", f"chdb:{folder}/store"]
        _run("simulate", "--numbers", "20000", "--days", "60", "--seed", SEED, "--end", END,
             "--out", f"{folder}/city")  # fmt: skip
        for kind, name in FILES:
            _run(*store, "import", kind, f"{folder}/city/{name}")
        for name in NAMES:
            _run(*store, "train", name, "--as-of", AS_OF, "--truth", f"{folder}/city/truth.csv")
        for name in NAMES:
            shutil.rmtree(MODELS / name, ignore_errors=True)
            shutil.copytree(Path(folder) / "store.models" / name, MODELS / name)
            active = MODELS / name / "ACTIVE"
            # What came before is not shipped, so nothing can be rolled back to.
            active.write_text(active.read_text().splitlines()[0] + "\n")


def _run(*arguments: str) -> None:
    code = "import sys; from services.cli.main import run; sys.exit(run())"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


if __name__ == "__main__":
    main()
