"""Registers the telemetry ``otel``, which ``otel.endpoint`` switches on."""

from paceline import Context, NoOptions, Register, Telemetry, hookimpl


def _make(_options: NoOptions, context: Context) -> Telemetry:
    from paceline_adapters.otel.exporting import make

    return make(context)


@hookimpl
def paceline_register_telemetry(register: Register[Telemetry]) -> None:
    """Register the telemetry."""
    register(
        "otel",
        _make,
        options=NoOptions,
        summary="Traces and metrics to an OpenTelemetry collector.",
    )
