"""Which fields of an answer a caller may see, by its scopes (DESIGN section 9). Pure."""

from collections.abc import Collection

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

OPEN = (
    "number", "state", "level", "category", "display_text_zh", "display_text_en", "version",
    "expire_time", "max_age_s",
)  # fmt: skip
"""What anybody may see: what a handset shows."""
JUDGEMENT = (
    "risk", "probability", "distribution", "reasons", "mark_count", "first_mark_time",
    "last_mark_time", "effective_sources", "update_time", "epoch",
)  # fmt: skip
"""How sure it is, and why."""
MAKING = ("model_version", "rule")
"""What decided."""
FIELDS = {
    "vendor": (*OPEN, *JUDGEMENT),
    "carrier": (*OPEN, *JUDGEMENT),
    "reviewer": (*OPEN, *JUDGEMENT, *MAKING),
    "auditor": (*OPEN, *JUDGEMENT, *MAKING),
    "authority": (*OPEN, *JUDGEMENT, *MAKING),
    "operator": (*OPEN, *MAKING),
}
"""Fields of a Reputation by scope."""


def visible(scopes: Collection[str]) -> FieldMask:
    """The fields of a Reputation that a caller with these scopes may see; unknown ones add none."""
    fields = {*OPEN, *(field for scope in scopes for field in FIELDS.get(scope, ()))}
    return FieldMask(paths=sorted(fields))


def masked(message: Message, mask: FieldMask) -> Message:
    """A copy of a message with the fields of a mask alone."""
    kept = type(message)()
    mask.MergeMessage(message, kept)
    return kept
