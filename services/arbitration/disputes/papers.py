"""Which papers a dispute needs, by who contests and what kind of number it is. Pure."""

from services.arbitration.disputes.words import Applicant, Ground, Paper
from services.common.numbering import Kind

MAX_BYTES = 2 << 20
"""Largest content of a paper."""

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"%PDF-", "application/pdf"),
)


def media_type(content: bytes) -> str:
    """What the content is by its first bytes, "" if nothing we take."""
    return next((kind for start, kind in _BEGINNINGS if content.startswith(start)), "")


def takes_code(kind: Kind) -> bool:
    """Whether a number of the kind can receive a code by message."""
    return kind is Kind.CN_MOBILE


def required(applicant: Applicant, ground: Ground, kind: Kind) -> tuple[Paper, ...]:
    """The papers that vendors and CAICT ask for (china.md 3.2).

    A person who proves a mobile number by code needs no paper for it: the code stands for
    identity and ownership (PIPL art. 6: no more personal data than the purpose needs).
    """
    needed: list[Paper] = [Paper.SCREENSHOT]
    if applicant is Applicant.ENTERPRISE:
        needed += [Paper.BUSINESS_LICENCE, Paper.NUMBER_USE_CERTIFICATE]
        if not takes_code(kind):
            needed.append(Paper.LEGAL_REPRESENTATIVE)
    elif not takes_code(kind):
        needed += [Paper.IDENTITY, Paper.OWNERSHIP]
    if ground is Ground.REASSIGNED:
        needed.append(Paper.ACCOUNT_OPENING)
    if ground is Ground.CONSENTED:
        needed.append(Paper.CONSENT)
    return tuple(needed)
