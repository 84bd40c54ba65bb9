"""All targets."""

from tests.fuzz import calls, files

TARGETS = (*files.TARGETS, *calls.TARGETS)
