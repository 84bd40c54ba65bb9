"""python -m tests.licences: whether every pinned requirement has a licence that we accept.

It reads what is installed and needs no network. Accepted are permissive licences, and those whose
copyleft ends at the library's own files.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

FILES = ("requirements.txt", "requirements-dev.txt")
ACCEPTED = frozenset(
    (
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0",
        "MPL-2.0", "PSF-2.0", "Zlib", "ZPL-2.1",
    )
)  # fmt: skip
"""SPDX names."""
_NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "DFSG approved": "MIT",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Zope Public License": "ZPL-2.1",
}
"""What older metadata calls them; the word of Debian says nothing beside MIT."""
UNSAID = {"axe-playwright-python": "MIT"}
"""Distributions whose metadata is silent, by the licence file within."""
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)


def licences(name: str) -> set[str]:
    """SPDX names of a distribution's licences; others as its metadata writes them."""
    about = metadata.metadata(name)
    expression = about.get("License-Expression")
    if expression:
        return set(re.split(r"\s+(?:AND|OR)\s+|[()]", expression)) - {""}
    said = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if c[:7] == "License"]
    said = said or [line for line in (about.get("License") or "").splitlines()[:1] if line]
    return {_NAMES.get(word, word) for word in said} or {UNSAID.get(name, "none is named")}


def refused(names: set[str]) -> dict[str, set[str]]:
    """Distributions with a licence that is not accepted."""
    found = {name: licences(name) - ACCEPTED for name in names}
    return {name: others for name, others in found.items() if others}


def main() -> int:
    """Name what is refused; 1 where something is."""
    names = {name for file in FILES for name in _PINNED.findall(Path(file).read_text())}
    absent = {name for name in names if not list(metadata.distributions(name=name))}
    wrong = refused(names - absent)
    for name, others in sorted(wrong.items()):
        print(f"{name}: {', '.join(sorted(others))} is not accepted", file=sys.stderr)
    for name in sorted(absent):
        print(f"{name} is pinned but not installed", file=sys.stderr)
    return int(bool(wrong or absent))


if __name__ == "__main__":
    sys.exit(main())
