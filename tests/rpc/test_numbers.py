"""NumberService: any writing of a number to what the plan and the carriers say of it."""

import grpc
import pytest

from services.common import rpc
from tests.services_in_process import BEGAN_MS
from zhengming.ingest.v1 import ingest_pb2
from zhengming.ingest.v1 import number_pb2 as pb
from zhengming.type.v1 import number_pb2 as type_pb

DAY_MS = 86_400_000


def describe(services, *numbers, region=""):
    request = pb.BatchDescribeNumbersRequest(numbers=numbers, region=region)
    return services.stubs.numbers.BatchDescribeNumbers(request).results


def move(services, number, kind, days_ago, carrier=""):
    event = ingest_pb2.LifecycleEvent(number=number, kind=kind, carrier=carrier)
    event.occurred_time.FromMilliseconds(BEGAN_MS - days_ago * DAY_MS)
    services.stubs.ingest.SubmitLifecycle(ingest_pb2.SubmitLifecycleRequest(events=[event]))


def test_a_number_is_described_by_its_plan(services):
    facts = describe(services, "+00 86 138-0013-8000")[0].number.facts

    assert facts.number == "+8613800138000"
    assert facts.kind == type_pb.NUMBER_KIND_CN_MOBILE
    assert (facts.issuing_carrier, facts.province) == ("CHINA_MOBILE", "北京")


def test_every_kind_has_its_name_on_the_wire():
    from services.common.numbering import Kind

    names = {f"NUMBER_KIND_{kind.name}": int(kind) for kind in Kind if kind}

    assert dict(type_pb.NumberKind.items()) == {"NUMBER_KIND_UNSPECIFIED": 0, **names}


def test_numbers_are_answered_in_order_and_a_bad_one_in_its_place(services):
    good, bad, short = describe(services, "13800138000", "1380013", "95588")

    assert good.number.facts.number == "+8613800138000"
    assert rpc.from_status_proto(bad.error).metadata["cause"] == "BAD_LENGTH"
    assert short.number.facts.kind == type_pb.NUMBER_KIND_CN_SHORT_95


def test_the_carrier_a_number_was_ported_to_is_told_beside_its_issuer(services):
    number = "13911110001"
    move(services, number, ingest_pb2.LIFECYCLE_KIND_ASSIGNED, 90)
    move(services, number, ingest_pb2.LIFECYCLE_KIND_PORTED, 30, "CTCC")

    found = describe(services, number)[0].number

    assert found.facts.issuing_carrier == "CHINA_MOBILE"
    assert found.ported_to_carrier == "CTCC"
    assert found.port_time.ToMilliseconds() == BEGAN_MS - 30 * DAY_MS


def test_a_port_of_a_former_holder_is_not_told(services):
    number = "13911110002"
    move(services, number, ingest_pb2.LIFECYCLE_KIND_PORTED, 90, "CTCC")
    move(services, number, ingest_pb2.LIFECYCLE_KIND_ASSIGNED, 30)

    assert describe(services, number)[0].number.ported_to_carrier == ""


def test_the_longest_registered_prefix_names_the_holder(services):
    register = ingest_pb2.SubmitRegistryRequest()
    for number, holder in (("4007*", "short"), ("400777*", "long"), ("4007770001", "own")):
        register.registrations.add(number=number, holder=holder, identity="C04", purpose="A4200")
    services.stubs.ingest.SubmitRegistry(register)

    found = describe(services, "4007770001", "4007770002", "4007000000", "4001234567")

    assert [r.number.registered_holder for r in found] == ["own", "long", "short", ""]


@pytest.mark.parametrize(
    ("numbers", "region", "reason"),
    [([], "", "BATCH_SIZE_INVALID"), (["1"], "XX", "FIELD_OUT_OF_RANGE")],
)
def test_what_cannot_be_asked_is_refused_with_its_reason(services, numbers, region, reason):
    with pytest.raises(grpc.RpcError) as caught:
        describe(services, *numbers, region=region)

    assert rpc.to_domain_error(caught.value).reason == reason
