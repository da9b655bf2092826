"""Registers the telemetry ``otel``, which ``otel.endpoint`` switches on."""

import os

from paceline import Context, NoOptions, Register, Telemetry, hookimpl
from paceline.contracts.telemetry import OFF

from paceline_adapters.otel import sdk_log


def _make(_options: NoOptions, context: Context) -> Telemetry:
    """Create telemetry. OpenTelemetry's own variables can switch it off, but stop nothing."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return OFF
    sdk_log.redirect()
    try:
        from paceline_adapters.otel.exporting import make

        return make(context)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001
        sdk_log.log.warning(
            "no spans and metrics are sent, because OpenTelemetry cannot use its variables: %s",
            " ".join(str(error).split()) or type(error).__name__,
        )
        return OFF


@hookimpl
def paceline_register_telemetry(register: Register[Telemetry]) -> None:
    """Register the telemetry."""
    register(
        "otel",
        _make,
        options=NoOptions,
        summary="Traces and metrics to an OpenTelemetry collector.",
    )
