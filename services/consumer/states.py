"""Names of the states of a reputation, as files and terminals show them."""

from zhengming.reputation.v1 import reputation_pb2


def state_name(state: int) -> str:
    """ "ESTABLISHED" for its number on the wire."""
    return reputation_pb2.ReputationState.Name(state).removeprefix("REPUTATION_STATE_")
