"""Which calls share threads in a server, so that no kind of them takes the threads of another."""

from services.common.admission import Size
from services.common.identity.policy import load

LOOKUPS, WRITES, INSIDE = "lookups", "writes", "calls of services"
SIZES = {
    LOOKUPS: Size(threads=8, waiting=512),
    WRITES: Size(threads=16, waiting=64),
    INSIDE: Size(threads=16, waiting=256),
}
"""A lookup takes less than a millisecond, so 512 that wait are answered within about half a second;
a write waits for its commit in its thread, and 16 of them are one block."""

_LOOKUPS = ("GetReputation", "BatchGetReputations", "LookupColumns", "SearchHashPrefix",
            "GetVersion")  # fmt: skip
"""Answered from memory: of the calls for reputations these alone wait for nobody."""
_WRITES = ("SubmitMarks", "SubmitMarkColumns", "SubmitBehaviour", "SubmitLifecycle",
           "SubmitRegistry", "SubmitRefusals", "CommitRows")  # fmt: skip


def lanes() -> dict[str, str]:
    """Names of lanes by method."""
    inside = [m for m, permission in load().items() if permission.scopes == {"service"}]
    return {
        **dict.fromkeys(inside, INSIDE),
        **{f"/zhengming.ingest.v1.IngestService/{name}": WRITES for name in _WRITES},
        **{f"/zhengming.reputation.v1.ReputationService/{name}": LOOKUPS for name in _LOOKUPS},
    }
