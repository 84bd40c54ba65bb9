"""Where a process listens, how, and who stands behind the doors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.clock import Clock
from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.identity.certificates import Certificates, server_credentials, watched
from services.common.identity.watched import Watched
from services.common.rpc import Door

if TYPE_CHECKING:
    from services.common.identity.guard import GuardInterceptor

LOOPBACK = ("127.", "localhost:", "[::1]:", "unix:")


@dataclass(frozen=True)
class Identity:
    """How callers show who they are.

    Attributes:
        certificates: folder of tls.crt, tls.key and ca.crt; None: calls in clear.
        clients: file of who may call what; None: anybody.
        token_address: where clients with tokens instead of certificates are served; "" nowhere.
        token_keys: JWKS file of the keys that sign tokens.
        insecure: whether to serve others than this machine in clear.
    """

    certificates: Path | None = None
    clients: Path | None = None
    token_address: str = ""
    token_keys: Path | None = None
    insecure: bool = False

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Identity":
        """From the ZHENGMING_* variables."""

        def path(name: str) -> Path | None:
            return Path(variables[name]) if variables.get(name) else None

        return cls(
            certificates=path("ZHENGMING_CERTIFICATES"),
            clients=path("ZHENGMING_CLIENTS"),
            token_address=variables.get("ZHENGMING_TOKEN_ADDRESS", ""),
            token_keys=path("ZHENGMING_TOKEN_KEYS"),
            insecure=variables.get("ZHENGMING_INSECURE", "") == "1",
        )

    def check(self, address: str) -> None:
        """Accept where and for whom a process is to serve, before anything is opened.

        Raises:
            FailedPrecondition: IDENTITY_REQUIRED, for an address that others can reach without
                showing who they are.
            InvalidArgument: FIELD_REQUIRED.
        """
        for at, needs, name in (
            (address, self.clients, "ZHENGMING_CLIENTS"),
            (self.token_address, self.token_keys, "ZHENGMING_TOKEN_KEYS"),
        ):
            if needs is None and at and not at.startswith(LOOPBACK) and not self.insecure:
                raise FailedPrecondition(
                    "IDENTITY_REQUIRED",
                    f"{at} can be reached from other machines: set {name} and "
                    "ZHENGMING_CERTIFICATES, or ZHENGMING_INSECURE=1 to serve anybody",
                    address=at,
                )
        if (self.clients or self.token_keys or self.token_address) and not self.certificates:
            raise _required("ZHENGMING_CERTIFICATES")
        if self.token_address and not (self.token_keys and self.clients):
            raise _required("ZHENGMING_TOKEN_KEYS and ZHENGMING_CLIENTS")

    def own(self) -> Watched[Certificates] | None:
        """What this process shows; None in clear.

        Raises:
            InvalidArgument: FILE_UNREADABLE.
        """
        return None if self.certificates is None else watched(self.certificates)

    def entrance(self, address: str, clock: Clock) -> "tuple[list[Door], GuardInterceptor | None]":
        """The doors of a process, the one at `address` first, and who stands behind them.

        Raises:
            InvalidArgument: FILE_UNREADABLE, FIELD_REQUIRED, FIELD_OUT_OF_RANGE.
        """
        own = self.own()
        if own is None:
            return [Door(address)], None
        doors = [Door(address, server_credentials(own, self.clients is not None))]
        if self.token_address:
            doors.append(Door(self.token_address, server_credentials(own, False)))
        if self.clients is None:
            return doors, None
        from services.common.identity.guard import make_guard  # loads what reads tokens

        return doors, make_guard(self.clients, self.token_keys, clock)


def _required(name: str) -> InvalidArgument:
    return InvalidArgument("FIELD_REQUIRED", f"{name} must be set", field=name)
