"""What processes tell of themselves: traces and metrics by OpenTelemetry, off unless asked for."""

from services.common.telemetry.off import OFF, Telemetry
from services.common.telemetry.readings import Value
from services.common.telemetry.settings import Settings

__all__ = ["OFF", "Settings", "Telemetry", "Value", "open_telemetry"]


def open_telemetry(settings: Settings, service: str) -> Telemetry:
    """Begin to tell of this process what was asked for; OFF where nothing was.

    Args:
        settings: what, and to whom.
        service: name of what runs in this process.

    Raises:
        Unavailable: ADDRESS_IN_USE.
    """
    if not settings.otlp_endpoint and not settings.metrics_address:
        return OFF
    from services.common.telemetry.provider import RunningTelemetry  # loads the SDK

    return RunningTelemetry(settings, service)
