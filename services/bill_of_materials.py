"""What an image is made of: the bill of Python's distributions, with Debian's packages and us.

`cyclonedx-py` lists distributions alone; the packages of the base are as much a part of the image.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from services.common.version import VERSION


def completed(bill: dict[str, Any], packages: Iterable[str], revision: str) -> dict[str, Any]:
    """A CycloneDX bill with Debian's packages, about this version.

    Args:
        bill: as cyclonedx-py wrote it.
        packages: lines of dpkg-query: package, version, architecture, tab between.
        revision: the commit; "" if it is not known.
    """
    debian = [_package(*line.split("\t")) for line in packages if line.strip()]
    version = f"{VERSION}+{revision}" if revision else VERSION
    subject = {
        "type": "container",
        "bom-ref": "zhengming",
        "name": "zhengming",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    return {
        **bill,
        "metadata": {**bill.get("metadata", {}), "component": subject},
        "components": [*bill.get("components", []), *debian],
    }


def _package(name: str, version: str, architecture: str) -> dict[str, str]:
    url = f"pkg:deb/debian/{name}@{version}?arch={architecture.strip()}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def main(arguments: Sequence[str]) -> int:
    """Print the whole bill, given a bill of Python's, a list of packages and the revision."""
    bill, packages, revision = arguments
    lines = Path(packages).read_text().splitlines()
    json.dump(completed(json.loads(Path(bill).read_text()), lines, revision), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
