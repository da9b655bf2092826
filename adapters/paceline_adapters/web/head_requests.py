"""HEAD requests: the status and headers of GET, without its body."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Answers HEAD on every route that answers GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started = asyncio.Event()

        async def send_start(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                started.set()
            elif started.is_set():
                await asyncio.Event().wait()  # the body is not sent: wait to be cancelled

        getting = asyncio.ensure_future(self._app({**scope, "method": "GET"}, receive, send_start))
        starting = asyncio.ensure_future(started.wait())
        try:
            await asyncio.wait({getting, starting}, return_when=asyncio.FIRST_COMPLETED)
            if started.is_set():
                await send({"type": "http.response.body", "body": b""})
            else:
                getting.result()  # it ended without an answer: raise its error
        finally:
            # A stream would otherwise last as long as its run.
            for task in (getting, starting):
                task.cancel()
            await asyncio.wait({getting, starting})
