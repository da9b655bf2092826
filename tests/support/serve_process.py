"""``paceline serve`` as a process of its own."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cli_processes import PACELINE

TOKEN = "writes-0123456789"


@dataclass(frozen=True, slots=True)
class Served:
    """A server.

    Attributes:
        url: its address.
        process: its process.
        token: the token that it requires.
    """

    url: str
    process: "subprocess.Popen[str]"
    token: str | None

    def ask(self, path: str, *, body: bytes | None = None) -> Any:
        """The decoded answer to a ``GET``, or to a ``POST`` of a body."""
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def served(
    folder: Path, *arguments: str, token: str | None = None, **environment: str
) -> Iterator[Served]:
    """Start ``paceline serve`` in a folder; kill it at the end if it still runs."""
    chosen = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PACELINE_", "OPENAI_"))
        },
        "PACELINE_PROVIDER__BASE_URL": "http://127.0.0.1:9/v1",
        "PACELINE_PROVIDER__API_KEY": "none",
        **environment,
    }
    if token is not None:
        chosen["PACELINE_WEB__TOKENS"] = f'[{{token = "{token}"}}]'
    process = subprocess.Popen(
        [*PACELINE, "serve", "--port", "0", "--json", *arguments],
        cwd=folder,
        env=chosen,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield Served(json.loads(process.stdout.readline())["url"], process, token)
        finally:
            process.kill()
