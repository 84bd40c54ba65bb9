"""What a caller may see of a reputation."""

import pytest

from services.reputation.scopes import FIELDS, masked, visible
from zhengming.reputation.v1 import reputation_pb2 as pb


def whole():
    message = pb.Reputation()
    for field in pb.Reputation.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, "x")
        elif field.type != field.TYPE_MESSAGE and not field.is_repeated:
            setattr(message, field.name, 1)
    message.reasons.append("MARKS_AGREE")
    message.update_time.seconds = 1
    message.distribution.add(category="A3107", probability=0.5)
    return message


def seen(message):
    return {field.name for field, _ in message.ListFields()}


def test_without_a_scope_only_what_a_handset_shows_is_seen():
    found = seen(masked(whole(), visible([])))

    assert {"number", "level", "display_text_zh"} <= found
    assert not found & {"risk", "reasons", "rule", "mark_count", "distribution"}


def test_scopes_add_up():
    both = seen(masked(whole(), visible(["vendor", "operator"])))

    assert both == seen(masked(whole(), visible(["vendor"]))) | {"model_version", "rule"}


@pytest.mark.parametrize("scope", [*FIELDS, "unheard-of"])
def test_every_field_of_a_mask_exists(scope):
    assert set(visible([scope]).paths) <= {f.name for f in pb.Reputation.DESCRIPTOR.fields}


def test_a_reviewer_sees_every_field():
    assert masked(whole(), visible(["reviewer"])) == whole()
