"""What can go wrong, in the domain's own words; no gRPC here."""


class DomainError(Exception):
    """A failure that the caller can act on.

    Attributes:
        reason: name of a zhengming.type.v1.ErrorReason value without its prefix.
        metadata: every variable part of the message, as strings (AIP-193).
    """

    def __init__(self, reason: str, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(DomainError):
    """The request is wrong whatever the state of the system."""


def out_of_range(field: str, value: object, expected: str) -> InvalidArgument:
    """A field whose value is none of those it may have.

    Args:
        expected: what it must be, as it reads after "must be".
    """
    return InvalidArgument(
        "FIELD_OUT_OF_RANGE",
        f"{field} must be {expected}, not {value}",
        field=field,
        value=value,
        expected=expected,
    )


class NotFound(DomainError):
    """The named thing does not exist."""


class FailedPrecondition(DomainError):
    """The thing exists, but its state forbids this."""


class Unavailable(DomainError):
    """Not now: the same call may succeed later."""


class ResourceExhausted(DomainError):
    """Too much is asked at once, or of a quota."""


class Unauthenticated(DomainError):
    """Nobody knows who calls."""


class PermissionDenied(DomainError):
    """The caller is known, and may not do this."""
