"""Holds the protos against those of main: in v1 only additions are allowed (buf breaking)."""

import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path


def main(buf: str, state: str) -> int:
    """Compare the built image in `state` with one of main's protos; 0 where nothing breaks."""
    for ref in ("origin/main", "main"):
        known = subprocess.run(["git", "archive", ref, "protos"], capture_output=True)
        if known.returncode == 0:
            break
    else:
        print("no main to compare the protos with")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(known.stdout)) as archive:
            archive.extractall(folder, filter="data")
        image = str(Path(folder) / "main.binpb")
        protos = Path(folder) / "protos"
        subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{state}/include",
                f"-I{sysconfig.get_path('purelib')}", "--include_imports",
                "--include_source_info", f"--descriptor_set_out={image}",
                *map(str, sorted(protos.rglob("*.proto"))),
            ],
            check=True,
        )  # fmt: skip
        command = [buf, "breaking", f"{state}/api.binpb", "--against", image]
        return subprocess.run([*command, "--config", "protos/buf.yaml"]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
