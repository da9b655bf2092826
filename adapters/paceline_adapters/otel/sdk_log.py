"""The log of OpenTelemetry's SDK, as one line of ours now and then.

It imports nothing of OpenTelemetry, so that it also covers what is logged during the import.
"""

import logging
import re
import time

log = logging.getLogger("paceline.otel")

#: Seconds between two lines, because the SDK logs one per lost batch.
REPEAT = 60.0
#: An address and a system error in the text that the HTTP client writes.
_UNREACHABLE = re.compile(r"ConnectionPool\(host='(.*?)', port=(\d+)\).*\[Errno -?\d+\] ([^'\")]+)")


class _Rarely(logging.Handler):
    """Logs warnings of the SDK as ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged_at = -REPEAT

    def emit(self, record: logging.LogRecord) -> None:
        """Log the first line. A line about a header contains its value, which is a secret."""
        about_header = record.name == "opentelemetry.util.re"
        text = str(record.msg).rpartition(":")[0] if about_header else record.getMessage()
        found = _UNREACHABLE.search(text)
        if found is not None:
            text = f"the collector at {found[1]}:{found[2]} cannot be reached: {found[3]}"
        self.warn(f"OpenTelemetry: {(text.splitlines() or [''])[0]}")

    def warn(self, text: str) -> None:
        """Log a line, unless another one was logged a short time ago."""
        now = time.monotonic()
        if now - self._logged_at >= REPEAT:
            self._logged_at = now
            log.warning("%s", text)


_rarely = _Rarely()
warn = _rarely.warn


def redirect() -> None:
    """Log what the SDK logs from now on."""
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    if _rarely not in theirs.handlers:
        theirs.addHandler(_rarely)
