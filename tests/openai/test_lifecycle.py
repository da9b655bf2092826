"""Connections: when they are opened, how many there are, and that none is leaked."""

import asyncio
import gc
from typing import Any

import pytest
from aiohttp import web
from paceline.contracts.finding import Finding
from paceline.errors import ProviderUnusable, SettingsError, Transient, Unreachable
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import ProviderSettings, Settings
from paceline.testing.virtual_time import real_time
from paceline_adapters.openai.provider import OpenAIProvider
from psutil import Process
from pydantic import SecretStr

from tests.support.scripted_llm import KEY, Handler, asked, asking, completion, fault, reply


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def make(settings: dict[str, object], options: dict[str, object] | None = None) -> OpenAIProvider:
    plugins = Plugins()
    context = Context(settings=Settings.model_validate({"provider": settings}))
    made = plugins.provider("openai").make(options or {}, context, "providers.openai")
    assert isinstance(made, OpenAIProvider)
    return made


def test_the_quota_key_is_provider_and_model() -> None:
    assert make({"api_key": KEY, "model": "gpt-4o"}).key == "openai:gpt-4o"


def test_a_missing_key_for_openai_is_an_error_before_any_call() -> None:
    with pytest.raises(ProviderUnusable, match="PACELINE_PROVIDER__API_KEY or OPENAI_API_KEY"):
        make({})


@real_time
async def test_key_and_address_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with asked(reply(completion())) as (_, server):
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        provider = OpenAIProvider(ProviderSettings())
        await provider.complete(asking())
        await provider.close()
        sent = server.headers[0]["authorization"]
    assert sent == "Bearer from-the-environment"


@real_time
async def test_a_custom_server_needs_no_key() -> None:
    async with asked(reply(completion()), api_key=None) as (provider, server):
        await provider.complete(asking())
        sent = server.headers[0]["authorization"]
    assert sent == "Bearer no-key"


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "ftp://a/v1", "http://", "http://[x", "/v1", "http://u:p@host/v1"]
)
def test_an_invalid_address_is_a_settings_error(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(SettingsError, match=r"provider\.base_url"):
        make({})


def test_fields_that_paceline_decides_cannot_be_replaced() -> None:
    with pytest.raises(SettingsError, match=r"providers\.openai\.body: may not hold messages"):
        make({"api_key": KEY}, {"body": {"messages": [], "seed": 1}})


@real_time
async def test_an_unused_provider_opens_nothing() -> None:
    before = Process().num_fds()
    provider = make({"api_key": KEY})
    assert Process().num_fds() == before
    await provider.close()
    await provider.close()


@real_time
async def test_a_closed_provider_sends_no_request() -> None:
    async with asked(reply(completion())) as (provider, server):
        await provider.complete(asking())
        await provider.close()
        with pytest.raises(Transient, match="closed"):
            await provider.complete(asking())
        assert len(server.bodies) == 1


def test_connections_are_reused_and_none_is_leaked() -> None:
    peers: set[Any] = set()

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response(completion())

    @real_time
    async def ask() -> None:
        async with asked(note) as (provider, _):
            for _ in range(5):
                await provider.complete(asking())

    ask()
    gc.collect()  # without its loop, a leaked socket would warn, and a warning fails the test
    assert len(peers) == 1


@real_time
async def test_a_cancelled_call_closes_its_connection() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            gone.set()
            raise
        raise AssertionError

    async with asked(hang, max_connections=1) as (provider, server):
        call = asyncio.create_task(provider.complete(asking()))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(gone.wait(), 5)
        # The only connection is free again.
        server.script[:] = [reply(completion())]
        await asyncio.wait_for(provider.complete(asking()), 5)


@real_time
async def test_a_call_cancelled_mid_answer_closes_its_connection() -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"id": "x", ')
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    async with asked(half) as (provider, _):
        call = asyncio.create_task(provider.complete(asking()))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(gone.wait(), 5)


@real_time
async def test_waiting_for_a_connection_does_not_count_towards_the_timeout() -> None:
    running = peak = 0

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        pause = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.1, pause.set_result, None)
        await pause
        running -= 1
        return web.json_response(completion())

    async with asked(slow, max_connections=2, timeout=0.5) as (provider, _):
        # Sixteen calls, two at a time, take 0.8 s: longer than the timeout of each.
        await asyncio.gather(*(provider.complete(asking()) for _ in range(16)))
    assert peak == 2


@real_time
async def test_a_provider_with_all_connections_in_use_names_the_setting_to_raise() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await go.wait()
        return web.json_response(completion())

    async with asked(hang, max_connections=1) as (provider, _):
        assert provider.waits_for() is None
        call = asyncio.create_task(provider.complete(asking()))
        await arrived.wait()
        reason = provider.waits_for()
        assert reason == "all 1 connections are in use: raise provider.max_connections"
        go.set()
        await call
        assert provider.waits_for() is None


@real_time
async def test_closing_ends_the_calls_in_flight() -> None:
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with asked(hang) as (provider, _):
        call = asyncio.create_task(provider.complete(asking()))
        await arrived.wait()
        await provider.close()
        with pytest.raises(Transient):
            await asyncio.wait_for(call, 5)


@real_time
async def check(*script: Handler, **changes: object) -> str | Finding:
    async with asked(*script, **changes) as (provider, _):
        return await provider.check()


MODELS = reply({"object": "list", "data": [{"id": "test-model"}, {"id": "other"}]})


def test_the_check_proves_key_and_model() -> None:
    assert str(check(MODELS)).endswith("knows the key and the model 'test-model'")


def test_the_check_names_the_models_of_a_custom_server() -> None:
    told = check(MODELS, model="mine")
    assert isinstance(told, Finding)
    assert told.level == "warning"
    assert "does not list the model 'mine'" in told.text
    assert "(test-model, other)" in told.fix


def test_the_check_accepts_a_server_without_a_model_list() -> None:
    assert "it lists no models" in str(check(fault(404)))


def test_the_check_with_a_wrong_key_fails_like_a_call() -> None:
    with pytest.raises(ProviderUnusable):
        check(fault(401))


def test_the_settings_hide_the_key() -> None:
    provider = OpenAIProvider(ProviderSettings(api_key=SecretStr(KEY)))
    assert KEY not in repr(provider)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"api_key": f"{KEY}\n"}, "provider.api_key .*newline"),
        ({"api_key": f"{KEY}\r"}, "provider.api_key .*newline"),
        ({"api_key": f"{KEY} "}, "provider.api_key .*blank"),
        ({"api_key": f"\u201c{KEY}\u201d"}, "provider.api_key .*quotes"),
        ({"api_key": f"Bearer {KEY}"}, "provider.api_key .*Bearer"),
        ({"model": "fake\n"}, "provider.model .*newline"),
        ({"base_url": "http://a.example/v1\n"}, "provider.base_url .*newline"),
        ({"base_url": "http://a.example/d?api-version=1"}, "provider.base_url .*query"),
        ({"base_url": "http://a.example/v1/chat/completions"}, "provider.base_url .*/v1"),
    ],
)
def test_slips_in_the_settings_are_found_before_the_first_call(
    settings: dict[str, object], place: str
) -> None:
    with pytest.raises(SettingsError, match=place) as caught:
        OpenAIProvider(ProviderSettings.model_validate({"api_key": KEY, **settings}))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9"])
def test_a_proxy_that_is_not_supported_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=f"ALL_PROXY={proxy}"):
        OpenAIProvider(ProviderSettings(api_key=SecretStr(KEY)))


@real_time
async def test_a_proxy_that_does_not_answer_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    provider = OpenAIProvider(
        ProviderSettings(api_key=SecretStr(KEY), base_url="http://a.example/v1")
    )
    try:
        with pytest.raises(Unreachable, match="HTTP_PROXY"):
            await provider.complete(asking())
    finally:
        await provider.close()


@real_time
async def test_https_to_a_plain_port_points_at_the_setting() -> None:
    async with asked(reply(completion())) as (_, server):
        url = server.base_url.replace("http://", "https://")
        provider = OpenAIProvider(ProviderSettings(api_key=SecretStr(KEY), base_url=url))
        try:
            with pytest.raises(ProviderUnusable, match="http://"):
                await provider.complete(asking())
        finally:
            await provider.close()
