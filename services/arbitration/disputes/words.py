"""The closed lists of a dispute, with the numbers that the wire gives them. Pure."""

from enum import IntEnum


class State(IntEnum):
    """The wire's DisputeState."""

    FILED = 1
    ACKNOWLEDGED = 2
    CHECKING = 3
    WITH_SOURCES = 4
    IN_REVIEW = 5
    DECIDED = 6
    APPEALED = 7
    CLOSED = 8
    WITHDRAWN = 9


class Outcome(IntEnum):
    """The wire's DisputeOutcome."""

    NONE = 0
    UPHELD = 1
    RELABELLED = 2
    CLEARED = 3
    REJECTED = 4


class Applicant(IntEnum):
    """The wire's ApplicantKind."""

    PERSON = 1
    ENTERPRISE = 2


class Ground(IntEnum):
    """The wire's DisputeGround."""

    REASSIGNED = 1
    NAME_MISMATCH = 2
    SPOOFED = 3
    WRONG_CATEGORY = 4
    CONSENTED = 5
    MALICIOUS_MARKS = 6
    OTHER = 7


class Proof(IntEnum):
    """The wire's OwnershipProof."""

    NONE = 0
    CODE = 1
    PAPERS = 2


class Paper(IntEnum):
    """The wire's EvidenceKind."""

    IDENTITY = 1
    OWNERSHIP = 2
    ACCOUNT_OPENING = 3
    SCREENSHOT = 4
    BUSINESS_LICENCE = 5
    NUMBER_USE_CERTIFICATE = 6
    LEGAL_REPRESENTATIVE = 7
    CONSENT = 8
    OTHER = 9


class Stance(IntEnum):
    """The wire's SourceStance."""

    MAINTAINED = 1
    CONCEDED = 2
    UNKNOWN = 3


class Reason(IntEnum):
    """The wire's DecisionReason; 7 to 14 are those seen at vendors (china.md 3.2)."""

    REASSIGNED = 1
    NAME_MISMATCH = 2
    MARKS_UNFOUNDED = 3
    MARKS_FOUNDED = 4
    CATEGORY_WRONG = 5
    SPOOFED = 6
    NO_STATEMENT = 7
    NO_OWNERSHIP_PROOF = 8
    NO_USE_CERTIFICATE = 9
    SUBJECT_MISMATCH = 10
    PAPERS_UNREADABLE = 11
    PAPERS_EXPIRED = 12
    HIGH_FREQUENCY = 13
    FRAUD_NOT_MISMARK = 14


class Kind(IntEnum):
    """The wire's DisputeEventKind."""

    FILED = 1
    ACKNOWLEDGED = 2
    CODE_SENT = 3
    CODE_REFUSED = 4
    OWNERSHIP_PROVEN = 5
    CHECKED = 6
    SOURCES_ASKED = 7
    SOURCE_ANSWERED = 8
    REVIEW_OPENED = 9
    EVIDENCE_ADDED = 10
    EVIDENCE_REQUESTED = 11
    RESUMED = 12
    OPINION_GIVEN = 13
    DECIDED = 14
    APPEALED = 15
    WITHDRAWN = 16
    CLOSED = 17
    READ = 18
    REFERRED = 19
    REFERRAL_ANSWERED = 20
    NOTICE_TARGET_CHANGED = 21


class Role(IntEnum):
    """The wire's ActorRole."""

    APPLICANT = 1
    REVIEWER = 2
    SOURCE = 3
    SYSTEM = 4
    READER = 5


OPEN = frozenset(
    {
        State.FILED,
        State.ACKNOWLEDGED,
        State.CHECKING,
        State.WITH_SOURCES,
        State.IN_REVIEW,
        State.APPEALED,
    }
)
"""States in which something is still to be decided."""

REVIEWED = frozenset({State.IN_REVIEW, State.APPEALED})
"""States in which reviewers act."""
