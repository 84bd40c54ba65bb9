"""The console's words: every one that a page may ask for is there, in both languages."""

import re
from pathlib import Path

import pytest

import services.console
from services.console import language
from services.features.similar.embedding import TRAITS
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.arbitration.v1 import notice_pb2, referral_pb2
from zhengming.reputation.v1 import reputation_pb2

FOLDER = Path(services.console.__file__).parent
ENUMS = [
    (pb.DisputeState, "DISPUTE_STATE", 1),
    (pb.DisputeOutcome, "DISPUTE_OUTCOME", 0),
    (pb.ApplicantKind, "APPLICANT_KIND", 1),
    (pb.DisputeGround, "DISPUTE_GROUND", 1),
    (pb.OwnershipProof, "OWNERSHIP_PROOF", 0),
    (pb.EvidenceKind, "EVIDENCE_KIND", 1),
    (pb.SourceStance, "SOURCE_STANCE", 1),
    (pb.DecisionReason, "DECISION_REASON", 1),
    (notice_pb2.NoticeParty, "NOTICE_PARTY", 1),
    (notice_pb2.NoticeState, "NOTICE_STATE", 1),
    (referral_pb2.Disposition, "DISPOSITION", 1),
    (reputation_pb2.ReputationState, "REPUTATION_STATE", 1),
]


def test_every_key_that_a_template_names_has_words():
    asked = {
        key
        for path in FOLDER.glob("templates/*.html")
        for key in re.findall(r"say\('([\w.]+)'[,)]", path.read_text())
    }

    assert asked
    assert asked <= set(language.words())


@pytest.mark.parametrize(("kind", "prefix", "first"), ENUMS, ids=[e[1] for e in ENUMS])
def test_every_value_of_an_enum_has_words(kind, prefix, first):
    speech = language.Speech("zh")

    assert all(speech.enum(kind, value, prefix) for value in kind.values() if value >= first)


def test_every_trait_that_numbers_may_share_has_words():
    assert {f"trait.{name}" for name in TRAITS} <= set(language.words())


def test_every_reason_that_a_step_can_have_has_words():
    source = "".join(
        (FOLDER.parent / "arbitration" / "disputes" / name).read_text() for name in ("steps.py",)
    )
    reasons = set(re.findall(r'reason="([A-Z_]+)"', source)) | {"COMPLETE", "OPEN"}

    assert {f"why.{reason}" for reason in reasons} <= set(language.words())


def test_no_text_is_empty_and_slots_are_the_same_in_both():
    slots = {
        key: [sorted(re.findall(r"{(\w+)}", text)) for text in pair]
        for key, pair in language.words().items()
    }

    assert all(zh and en for zh, en in language.words().values())
    assert {key for key, (zh, en) in slots.items() if zh != en} == set()


def test_a_browser_that_prefers_english_gets_english_and_others_chinese():
    assert language.choose("", "en-GB,en;q=0.9") == "en"
    assert language.choose("", "zh-CN,zh;q=0.9,en;q=0.8") == "zh"
    assert language.choose("", "") == "zh"
    assert language.choose("en", "zh-CN") == "en"
    assert language.choose("xx", "zh-CN") == "zh"
