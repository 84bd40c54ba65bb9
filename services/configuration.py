"""Everything that is set from outside: the ZHENGMING_* variables, and the keys kept in files."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.common.errors import out_of_range
from services.common.identity.entrance import Identity
from services.common.lease import TTL_S
from services.common.telemetry import Settings
from services.reputation.churn import MAX_CHURN
from services.reputation.currency import STALE_S

MAX_DRAIN_S = 300.0
NAMES = ("ingest", "features", "scoring", "arbitration", "reputation")


@dataclass(frozen=True)
class Configuration:
    """Everything that is set from outside; `environment` names the variables.

    Attributes:
        store: where the tables are: "chdb:PATH" or "clickhouse://HOST:PORT/DB".
        address: where this process listens.
        models: folder of models learned here; shipped models are found besides.
        key_file: the key of reporters' pseudonyms; made on first use.
        peers: address of each service that other processes run; "" for this process.
        accounts: who may log in to the console.
        signing_key_file: seed of the Ed25519 key that signs the feed; made on first use.
        snapshots: folder of the feed's snapshot files.
        published: folder of the published state; None: it is kept in memory alone.
        workers: processes that answer lookups on one port, where only `lookup` runs.
        console_address: where the console listens; "" at CONSOLE_ADDRESS, if that is free.
        max_churn: share of the established labels that one full pass may move, in [0, 1].
        identity: how callers show who they are.
        rate_scale: widens the console's rate limits, where many people share one address.
        health_address: where probes are answered, in clear and without names; "" nowhere.
        drain_s: seconds between SIGTERM, when the process says that it is not ready any more, and
            the end of its calls: callers need a while to hear of it.
        private_notices: notices may go to private addresses and over http: tests, laptops.
        stale_s: age of what is published from which on answers are marked stale.
        lease_s: seconds without a sign of life after which another process takes over.
        advertised: where other processes of a service reach this one; "": where it listens.
        telemetry: what this process tells of itself, and to whom.
    """

    store: str
    address: str
    models: Path
    key_file: Path
    peers: Mapping[str, str]
    accounts: Path = Path("var/store.accounts.json")
    signing_key_file: Path = Path("var/store.signing.key")
    snapshots: Path = Path("var/store.snapshots")
    published: Path | None = None
    workers: int = 1
    console_address: str = ""
    rate_scale: float = 1.0
    max_churn: float = MAX_CHURN
    identity: Identity = field(default_factory=Identity)
    private_notices: bool = False
    stale_s: float = STALE_S
    lease_s: float = TTL_S
    advertised: str = ""
    health_address: str = ""
    drain_s: float = 0.0
    telemetry: Settings = field(default_factory=Settings)

    def volumes(self) -> Mapping[str, Path]:
        """Folders that this process writes to, by what is in them."""
        found = {} if self.published is None else {"published": self.published}
        if self.store.startswith("chdb:"):
            found["store"] = Path(self.store.removeprefix("chdb:").partition("?")[0])
        return found


def environment(variables: Mapping[str, str]) -> Configuration:
    """Read the ZHENGMING_* variables; every one has a default for a laptop."""
    store = variables.get("ZHENGMING_STORE", "chdb:var/store")
    beside = Path(store.removeprefix("chdb:") if store.startswith("chdb:") else "var/store")
    return Configuration(
        store=store,
        address=variables.get("ZHENGMING_ADDRESS", "127.0.0.1:50051"),
        models=Path(variables.get("ZHENGMING_MODELS", f"{beside}.models")),
        key_file=Path(variables.get("ZHENGMING_KEY_FILE", f"{beside}.key")),
        peers={name: variables.get(f"ZHENGMING_{name.upper()}_ADDRESS", "") for name in NAMES},
        accounts=Path(variables.get("ZHENGMING_ACCOUNTS", f"{beside}.accounts.json")),
        signing_key_file=Path(variables.get("ZHENGMING_SIGNING_KEY_FILE", f"{beside}.signing.key")),
        snapshots=Path(variables.get("ZHENGMING_SNAPSHOTS", f"{beside}.snapshots")),
        published=Path(variables.get("ZHENGMING_PUBLISHED", f"{beside}.published")),
        console_address=variables.get("ZHENGMING_CONSOLE_ADDRESS", ""),
        rate_scale=_number(variables, "ZHENGMING_CONSOLE_RATE_SCALE", 1.0, 1e6),
        max_churn=_number(variables, "ZHENGMING_MAX_CHURN", MAX_CHURN, 1.0),
        workers=int(_number(variables, "ZHENGMING_WORKERS", 1.0, 256)),
        identity=Identity.read(variables),
        private_notices=variables.get("ZHENGMING_PRIVATE_NOTICES", "0") == "1",
        stale_s=_number(variables, "ZHENGMING_STALE_S", STALE_S, 86_400.0),
        lease_s=_number(variables, "ZHENGMING_LEASE_S", TTL_S, 3600.0),
        advertised=variables.get("ZHENGMING_ADVERTISED", ""),
        health_address=variables.get("ZHENGMING_HEALTH_ADDRESS", ""),
        drain_s=_seconds(variables, "ZHENGMING_DRAIN_S", MAX_DRAIN_S),
        telemetry=Settings.read(variables),
    )


def _number(variables: Mapping[str, str], name: str, default: float, maximum: float) -> float:
    text = variables.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= maximum:
        raise out_of_range(name, repr(text), f"a number above 0, at most {maximum:g}")
    return value


def _seconds(variables: Mapping[str, str], name: str, maximum: float) -> float:
    text = variables.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= maximum:
        raise out_of_range(name, repr(text), f"seconds from 0 to {maximum:g}")
    return value


def read_key(path: Path) -> bytes:
    """The key of reporters' pseudonyms, 32 bytes; made on first use, readable by us alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()
