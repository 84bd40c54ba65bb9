"""Which version of the project this is."""

from pathlib import Path

VERSION = "0.1.0"
_REVISION = Path(__file__).with_name("revision.txt")


def revision() -> str:
    """The commit that an image was built from; "" in a checkout."""
    return _REVISION.read_text().strip() if _REVISION.exists() else ""


def described() -> str:
    """Version and, where it is known, revision, as "0.1.0 (1a2b3c4)"."""
    known = revision()
    return f"{VERSION} ({known})" if known else VERSION
