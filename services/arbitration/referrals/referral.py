"""What is referred to whom, and what an authority may answer. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from enum import IntEnum

from services.common.taxonomy.axes import Category, Standard

GRAVE_SEVERITY = 3
"""Severity from which a label is grave: 3 serious, 4 critical (china.md section 8)."""
SETTLED_STATES = (3, 6)
"""Published states, as on the wire, that are no longer open: established and adjudicated."""
ADJUDICATED = 6
OFFENDING_LEVEL = 2
"""Published level from which a number offends: 2 is nuisance (DESIGN section 4)."""
ENTERPRISE_IDENTITIES = ("C03", "C04")
"""Verified enterprise, and registered service number: only enterprises hold these."""


class Disposition(IntEnum):
    """The wire's Disposition."""

    ACCEPTED = 1
    CASE_OPENED = 2
    RECTIFICATION_ORDERED = 3
    PENALISED = 4
    NUMBER_SHUT_DOWN = 5
    CREDIT_RECORDED = 6
    TRANSFERRED = 7
    UNSUBSTANTIATED = 8
    NOT_COMPETENT = 9


OPEN = (0, int(Disposition.ACCEPTED), int(Disposition.CASE_OPENED))
"""Dispositions that leave a referral open; 0 none yet."""


def is_referred(category: Category) -> bool:
    """Whether labels of a category are for an authority to deal with."""
    grave = category.is_illegal or (category.is_nuisance and category.severity >= GRAVE_SEVERITY)
    return grave and bool(category.authority)


def authority_of_id(standard: Standard) -> Mapping[int, str]:
    """Leading authority by id of the categories that are referred."""
    return {c.id: c.authority[0] for c in standard.categories if is_referred(c)}


def referral_id(secret: bytes, number: int, epoch: int, category: int) -> str:
    """The id of a referral; it says nothing of the number to who has no key."""
    message = f"referral\0{number}\0{epoch}\0{category}".encode()
    digest = hmac.new(secret, message, hashlib.sha256).digest()
    return "RF" + base64.b32encode(digest)[:12].decode()
