"""One attempt at an API that speaks OpenAI's chat completions."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace

import httpx2
import openai
from openai import AsyncOpenAI
from paceline import (
    Completion,
    CompletionRequest,
    Finding,
    Provider,
    ProviderSettings,
    ProviderUnusable,
    RequestTooLong,
    Transient,
)
from paceline.contracts.provider import NO_KEY

from paceline_adapters.openai.client import connections_that_fit, make_client
from paceline_adapters.openai.dialect import MOST_REQUESTS, Dialect
from paceline_adapters.openai.direct import Answer, DirectSession, request_to
from paceline_adapters.openai.failures import CAUGHT, failure_of, of_error
from paceline_adapters.openai.reading import AnswerReader, models_in
from paceline_adapters.openai.server import Server

#: OpenAI's own address.
DEFAULT_URL = "https://api.openai.com/v1"
#: Seconds that a look at the server may take.
CHECK = 20.0
#: Connections of a process if the settings name no number: each takes about 40 KiB, over TLS 340.
MOST_CONNECTIONS = 20_000
#: With fewer connections than this, a process without a number in its settings is limited early.
ENOUGH_CONNECTIONS = 1000
_PATH = "/chat/completions"


class OpenAIProvider(Provider):
    """Asks OpenAI, or any server that speaks its chat completions.

    The client is made at the first call, on the loop that calls; the loop must be the same
    until ``close``.

    Args:
        settings: the provider's settings; key and address that are missing there are taken
            from ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``.
        body: fields to add to each request.

    Raises:
        SettingsError: address, key, model or proxy can never work.
        ProviderUnusable: OpenAI itself is to be asked, and there is no key.
    """

    def __init__(
        self, settings: ProviderSettings, *, body: Mapping[str, object] | None = None
    ) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
        if settings.api_key_env is not None:
            key = os.environ.get(settings.api_key_env, "")
            if not key:
                raise ProviderUnusable(
                    f"the environment variable {settings.api_key_env}, which api_key_env names, "
                    "is not set"
                )
        key = key or os.environ.get("OPENAI_API_KEY", "")
        url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        self._own = url.rstrip("/") == DEFAULT_URL
        if not key and self._own:
            raise ProviderUnusable(
                "provider.api_key is not set: give it in the environment as "
                "PACELINE_PROVIDER__API_KEY or OPENAI_API_KEY"
            )
        self.key = f"openai:{settings.model}"
        self._url, self._api_key = url, key or NO_KEY
        self._settings = settings
        self._server = Server.at(url, model=settings.model, api_key=self._api_key)
        self._dialect = Dialect(
            settings.model,
            newest=self._own,
            temperature=settings.temperature,
            extra={**(body or {}), **settings.parameters},
        )
        self._dialect.cap = settings.max_tokens
        self._dialect.window = settings.context_window
        self._client: AsyncOpenAI | None = None
        self._direct: DirectSession | None = None
        self._most = connections_that_fit(settings.max_connections or MOST_CONNECTIONS)
        self._connections = asyncio.Semaphore(self._most)
        self._closed = False

    def waits_for(self) -> str | None:
        """All connections are in use; see ``Provider.waits_for``."""
        if not self._connections.locked():
            return None
        if self._most == self._settings.max_connections:
            return f"all {self._most} connections are in use: raise provider.max_connections"
        return f"all {self._most} connections are in use: raise the limit of open files (ulimit -n)"

    async def complete(self, request: CompletionRequest) -> Completion:
        """Make one attempt; see ``Provider.complete`` and ``failures`` for what it raises.

        A server that does not know a word of the request is asked at once in other words,
        within the same attempt: it has not begun to answer.
        """
        timeout = self._settings.timeout
        # Whoever waits for a connection has not begun: that time is not the attempt's.
        async with self._connections:
            try:
                async with asyncio.timeout(timeout):
                    return await self._complete(request)
            except CAUGHT as error:
                failed = of_error(error, self._server, timeout=timeout, request=request)
                if isinstance(error, TimeoutError):
                    # The server may finish and charge the answer that we no longer wait for.
                    failed.charge(request.estimated_prompt_tokens(), 0, estimated=True)
                raise failed from None

    async def _complete(self, request: CompletionRequest) -> Completion:
        for turn in range(MOST_REQUESTS):
            try:
                body, said = self._dialect.put(request)
            except RequestTooLong as error:
                error.sent = bool(turn)
                raise
            try:
                answer = await self._post(body)
            except openai.APIStatusError as error:
                if not self._dialect.learn(said, failure_of(error, request), request):
                    raise
            else:
                reader = AnswerReader(request, said, self._dialect, self._server)
                completion = reader.read(answer.body, answer.headers)
                self._dialect.notice(request, said, completion.text)
                if self._settings.currency != "USD":  # servers report costs in US dollars
                    return replace(completion, cost=None)
                return completion
        raise Transient(f"{self._server.address} refuses every form of the request")

    async def _post(self, body: bytes) -> Answer:
        if not self._server.proxy:
            return await (self._direct or await self._open_direct()).post(body)
        # Half of the processor time of `chat.completions.create`, which builds models of an
        # answer of which four fields are read.
        response = await self._open().post(_PATH, cast_to=httpx2.Response, content=body)
        return Answer(response.content, response.headers)

    async def _open_direct(self) -> DirectSession:
        request = await request_to(_PATH, api_key=self._api_key, base_url=self._url)
        self._refuse_if_closed()
        if self._direct is None:  # another call may have been faster
            self._direct = DirectSession(
                request, max_connections=self._most, timeout=self._settings.timeout
            )
        return self._direct

    def _open(self) -> AsyncOpenAI:
        self._refuse_if_closed()
        if self._client is None:
            self._client = make_client(
                api_key=self._api_key,
                base_url=self._url,
                max_connections=self._most,
                timeout=self._settings.timeout,
            )
        return self._client

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Transient(f"the provider for {self._server.address} is closed")

    async def check(self) -> str | Finding:
        """Reach the server without paying; see ``Provider.check``."""
        timeout = min(self._settings.timeout, CHECK)
        try:
            async with asyncio.timeout(timeout):
                found = await self._look()
        except CAUGHT as error:
            raise of_error(error, self._server, timeout=timeout) from None
        wanted = self._settings.max_connections or ENOUGH_CONNECTIONS
        if self._most < wanted and isinstance(found, str):
            return Finding(
                "warning",
                "provider openai",
                f"{found}; a process opens at most {self._most} connections, because of its limit "
                "of open files: further calls wait",
                "raise the limit of open files (ulimit -n)",
            )
        return found

    async def _look(self) -> str | Finding:
        address, model = self._server.address, self._server.model
        try:
            listed = await self._open().get("/models", cast_to=httpx2.Response)
        except openai.APIStatusError as error:
            if error.status_code not in (404, 405, 501):
                raise
            return f"{address} answers; it lists no models, so {model!r} is not proved"
        names = models_in(listed.content)
        if model in names:
            return f"{address} knows the key and the model {model!r}"
        if self._own:
            raise ProviderUnusable(f"{address} offers no model {model!r} to this key")
        # Some servers of one's own list a file's name and answer to any; others to none but it.
        shown = ", ".join(names[:5]) or "none"
        return Finding(
            "warning",
            "provider openai",
            f"{address} answers, but does not list the model {model!r}: calls may fail with 404",
            f"set provider.model to one that it lists ({shown}), unless it answers to any name",
        )

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._closed = True
        client, self._client = self._client, None
        direct, self._direct = self._direct, None
        if client is not None:
            await client.close()
        if direct is not None:
            await direct.close()
