"""The table of scopes: complete, and denying what it does not name."""

import importlib
from pathlib import Path

import pytest
from google.protobuf import message_factory

from services.common.errors import InvalidArgument, PermissionDenied
from services.common.identity import clients, policy
from services.common.identity.clients import read_clients
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

PROTOS = Path(__file__).parents[2] / "protos"


def methods_of_the_api():
    """Every method of the protos of this build, by its full name."""
    modules = [
        importlib.import_module(str(path.relative_to(PROTOS).with_suffix("")).replace("/", "."))
        for path in PROTOS.glob("zhengming/*/v1/*_pb2.py")
    ]
    return {
        f"/{service.full_name}/{method.name}": method
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def test_every_method_has_its_scopes_and_no_other_is_named():
    known = {name for name in policy.load() if name.startswith("/zhengming.")}

    assert known == set(methods_of_the_api())
    assert all(p.scopes for name, p in policy.load().items() if name in known)


def test_named_fields_are_fields_of_the_requests():
    for name, method in methods_of_the_api().items():
        permission = policy.load()[name]
        request = message_factory.GetMessageClass(method.input_type)()

        for path in filter(None, (permission.own, permission.items)):
            policy.value_of(request, path)  # AttributeError where there is none
        assert permission.cost(request) == 1


def test_a_method_that_is_not_in_the_table_is_denied_to_everybody():
    with pytest.raises(PermissionDenied):
        policy.NOBODY.check_scopes("ops", frozenset(policy.SCOPES), "/some.Service/Method")


def test_a_batch_takes_as_much_as_it_asks():
    table = policy.load()
    batch = reputation_pb2.BatchGetReputationsRequest(numbers=["1"] * 70)
    packed = reputation_pb2.LookupColumnsRequest(number_keys=bytes(8 * 900))
    stream = ingest_pb2.StreamMarksRequest()
    stream.batch.marks.add()
    stream.batch.marks.add()

    prefix = "/zhengming.reputation.v1.ReputationService/"
    assert table[prefix + "BatchGetReputations"].cost(batch) == 70
    assert table[prefix + "LookupColumns"].cost(packed) == 900
    assert table["/zhengming.ingest.v1.IngestService/StreamMarks"].cost(stream) == 2


def listed(tmp_path, text):
    path = tmp_path / "clients.yaml"
    path.write_text(text)
    return read_clients(path)


def test_clients_have_rates_and_a_name_to_act_as(tmp_path):
    found = listed(
        tmp_path,
        """
        clients:
          - {name: lan-gateway, acts_as: app-lan, scopes: [vendor], per_minute: {writes: 120}}
          - {name: cmcc, scopes: [carrier]}
        """,
    )

    assert found["lan-gateway"].acts_as == "app-lan"
    assert found["lan-gateway"].rates["writes"].per_minute == 120
    assert found["cmcc"].acts_as == "cmcc"
    assert found["cmcc"].rates["lookups"].per_minute == clients.DEFAULT_PER_MINUTE["lookups"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "FILE_UNREADABLE"),
        ("clients: [", "FILE_UNREADABLE"),
        ("clients: [one]", "FILE_UNREADABLE"),
        ("clients: [{scopes: [vendor]}]", "FIELD_REQUIRED"),
        ("clients: [{name: a}]", "FIELD_OUT_OF_RANGE"),
        ("clients: [{name: a, scopes: [root]}]", "FIELD_OUT_OF_RANGE"),
        ("clients: [{name: a, scopes: [vendor], per_minute: {writes: 0}}]", "FIELD_OUT_OF_RANGE"),
        ("clients: [{name: a, scopes: [vendor], per_minute: {x: 1}}]", "FIELD_OUT_OF_RANGE"),
        (
            "clients: [{name: a, scopes: [vendor]}, {name: a, scopes: [vendor]}]",
            "FIELD_OUT_OF_RANGE",
        ),
    ],
)  # fmt: skip
def test_a_list_of_clients_that_cannot_be_is_refused_by_reason(tmp_path, text, reason):
    with pytest.raises(InvalidArgument) as refused:
        listed(tmp_path, text)

    assert refused.value.reason == reason
