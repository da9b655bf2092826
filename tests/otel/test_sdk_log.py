"""What the log of OpenTelemetry's SDK looks like in ours."""

import logging

import pytest
from paceline_adapters.otel.sdk_log import _Rarely

REFUSED = (
    "Transient error HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded with url: "
    "/v1/traces (Caused by NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=9): Failed "
    'to establish a new connection: [Errno 111] Connection refused")) encountered while exporting '
    "spans batch, retrying in 1.10s."
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (REFUSED, "the collector at 127.0.0.1:9 cannot be reached: Connection refused"),
        ("Failed to export spans\nmore", "Failed to export spans"),
    ],
    ids=["refused", "other"],
)
def test_a_warning_of_the_sdk_is_one_short_line(
    text: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    record = logging.LogRecord("opentelemetry.sdk", logging.WARNING, "", 0, text, None, None)
    _Rarely().emit(record)
    assert caplog.messages == [f"OpenTelemetry: {line}"]
