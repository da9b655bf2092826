"""A receiver of webhooks: it verifies signatures with an independent library, and keeps all."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#: Status and headers of the answer to a message; it has the request's number.
Answer = Callable[[int], tuple[int, Mapping[str, str]]]


def accepts(_: int) -> tuple[int, Mapping[str, str]]:
    """Accept everything."""
    return 204, {}


@dataclass(slots=True)
class Received:
    """What arrived, in its order, with a valid signature."""

    answer: Answer = accepts
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    refused: int = 0
    url: str = ""
    rejected_ids: set[str] = field(default_factory=set[str])
    #: Seconds that each answer takes, so that a kill finds deliveries in flight.
    slow: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)
    #: ``before``: keep nothing and do not answer. ``after``: keep the message and do not answer.
    hang: Literal["", "before", "after"] = ""
    hanging: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ids(self) -> list[str]:
        """The id of each accepted message."""
        return [message["id"] for message in self.messages]

    def disorder(self) -> list[str]:
        """Messages that arrived for the first time after a later one of the same artifact."""
        highest: dict[tuple[str, ...], int] = defaultdict(int)
        seen: set[str] = set()
        wrong: list[str] = []
        for message in self.messages:
            data = message["data"]
            key = (data["run_id"], data.get("concept_id", ""), data.get("step", ""))
            if message["id"] not in seen and data["number"] <= highest[key]:
                wrong.append(f"{key}: {data['number']} after {highest[key]}")
            seen.add(message["id"])
            highest[key] = max(highest[key], data["number"])
        return wrong


@contextmanager
def receiver(answer: Answer = accepts, *, secret: str = SECRET) -> Iterator[Received]:
    """A real HTTP server on loopback."""
    received = Received(answer)
    verifier = Webhook(secret)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if received.hang == "before":
                self._hang()
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            message: Any = verifier.verify(body, headers)
            with received.lock:
                number = len(received.messages) + received.refused
                status, more = received.answer(number)
                if message["id"] in received.rejected_ids:
                    status = 422
                if status < 300:
                    received.messages.append(message)
                    received.headers.append(headers)
                else:
                    received.refused += 1
            if received.hang == "after":
                self._hang()
                return
            received.ended.wait(received.slow)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _hang(self) -> None:
            received.hanging += 1
            received.ended.wait()
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.url = f"http://127.0.0.1:{server.server_port}/hooks/token-of-ours"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        received.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
