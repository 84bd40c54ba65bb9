"""Options that hold for every command may stand anywhere."""

import pytest

from services.cli.main import options_first


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["get", "95588", "--json"], ["--json", "get", "95588"]),
        (["pipeline", "--store", "chdb:s", "-x"], ["--store", "chdb:s", "pipeline", "-x"]),
        (["get", "--server=h:1", "1"], ["--server=h:1", "get", "1"]),
        (["get", "--", "--json"], ["get", "--", "--json"]),
        (["get", "--store"], ["--store", "get"]),
    ],
)  # fmt: skip
def test_the_options_of_every_command_stand_before_it(given, read):
    assert options_first(given) == read
