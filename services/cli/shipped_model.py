"""Learns the shipped risk model from a simulated city: python -m services.cli.shipped_model."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services.cli.demo import FILES

SEED = "101"
END = "2026-11-20"
AS_OF = "2026-11-19T15:59:59Z"
MODELS = Path(__file__).parents[2] / "models" / "risk"


def main() -> None:
    """Simulate, import, learn, and put the model in the place of the shipped one."""
    with tempfile.TemporaryDirectory() as folder:
        store = ["--store", f"chdb:{folder}/store"]
        _run("simulate", "--numbers", "5000", "--days", "60", "--seed", SEED, "--end", END,
             "--out", f"{folder}/city")  # fmt: skip
        for kind, name in FILES:
            _run(*store, "import", kind, f"{folder}/city/{name}")
        _run(*store, "train", "risk", "--as-of", AS_OF, "--truth", f"{folder}/city/truth.csv")
        shutil.rmtree(MODELS, ignore_errors=True)
        shutil.copytree(Path(folder) / "store.models" / "risk", MODELS)


def _run(*arguments: str) -> None:
    code = "import sys; from services.cli.main import run; sys.exit(run())"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


if __name__ == "__main__":
    main()
