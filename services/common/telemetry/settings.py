"""What of a process is told, and to whom; nothing unless it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.common.errors import out_of_range

TRACE_RATIO = 0.01
"""Share of the calls that are traced although their caller did not ask for it."""


@dataclass(frozen=True)
class Settings:
    """Where telemetry goes.

    Attributes:
        otlp_endpoint: a collector that takes OTLP over gRPC, such as "http://collector:4317"; "":
            nothing is pushed, and nothing is traced.
        metrics_address: where Prometheus finds the metrics, HOST:PORT; "" nowhere.
        trace_ratio: share in [0, 1] of the calls traced of themselves.
    """

    otlp_endpoint: str = ""
    metrics_address: str = ""
    trace_ratio: float = TRACE_RATIO

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Settings":
        """From the ZHENGMING_* variables.

        Raises:
            InvalidArgument: FIELD_OUT_OF_RANGE.
        """
        endpoint = variables.get("ZHENGMING_OTLP_ENDPOINT", "")
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise out_of_range("ZHENGMING_OTLP_ENDPOINT", repr(endpoint), "http://… or https://…")
        address = variables.get("ZHENGMING_METRICS_ADDRESS", "")
        if address and not address.rpartition(":")[2].isdigit():
            raise out_of_range("ZHENGMING_METRICS_ADDRESS", repr(address), "HOST:PORT")
        text = variables.get("ZHENGMING_TRACE_RATIO", str(TRACE_RATIO))
        try:
            ratio = float(text)
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise out_of_range("ZHENGMING_TRACE_RATIO", repr(text), "a number from 0 to 1")
        return cls(endpoint, address, ratio)

    def of_process(self, place: int) -> "Settings":
        """Of one of several processes, counted from 0: each has a port of its own, one after the
        other; port 0 stays what it is."""
        host, _, port = self.metrics_address.rpartition(":")
        if not self.metrics_address or port == "0":
            return self
        return replace(self, metrics_address=f"{host}:{int(port) + place}")
