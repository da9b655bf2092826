"""The check ``links`` against a real server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import web
from paceline import Checked, StepContext
from paceline.steps.resources import ResourcesAnswer
from paceline.testing.virtual_time import real_time
from paceline_adapters.links.check import LinkCheck
from paceline_adapters.links.visitor import Visitor
from pydantic import BaseModel

from tests.support.shipped_steps import SUBJECT


class Site:
    """A server with good, moved, dead and slow pages; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.in_flight = self.peak = 0
        self.base = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(0)
            return self._page(request)
        finally:
            self.in_flight -= 1

    def _page(self, request: web.Request) -> web.Response:
        match request.path.strip("/").split("/"):
            case ["good", *_]:
                return web.Response(text="hello")
            case ["no-head"]:
                return web.Response(status=405 if request.method == "HEAD" else 200)
            case ["login"]:
                return web.Response(status=403)
            case ["moved"]:
                raise web.HTTPMovedPermanently("/good/new")
            case ["loop"]:
                raise web.HTTPFound("/loop")
            case ["inside"]:
                raise web.HTTPFound("http://10.0.0.1/")
            case _:
                return web.Response(status=404)


@asynccontextmanager
async def serving(
    *, at_least: int = 1, private: bool = True, per_host: int = 2
) -> AsyncGenerator[tuple[Site, LinkCheck]]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    visitor = Visitor(timeout=5, per_host=per_host, keep=3600, private=private)
    check = LinkCheck(visitor, at_least=at_least)
    try:
        yield site, check
    finally:
        await check.close()
        await runner.cleanup()


def answer(*urls: str) -> ResourcesAnswer:
    return ResourcesAnswer.model_validate(
        {
            "resources": [
                {"title": f"Page {n}", "url": url, "type": "article", "why": f"Reason {n}."}
                for n, url in enumerate(urls)
            ]
        }
    )


def urls_of(made: BaseModel) -> list[str]:
    assert isinstance(made, ResourcesAnswer)
    return [one.url for one in made.resources]


class Notes:
    """The part of a step context that the check uses."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, note: str) -> None:
        self.told.append(note)


async def checked(check: LinkCheck, made: BaseModel) -> Checked:
    return await check.check(made, SUBJECT, cast("StepContext", Notes()))


@real_time
async def test_working_links_stay_and_moved_ones_are_replaced_by_their_target() -> None:
    async with serving() as (site, check):
        made = answer(f"{site.base}/good/1", f"{site.base}/moved", f"{site.base}/no-head")
        result = await checked(check, made)
    assert result.problems == ()
    assert urls_of(result.answer) == [
        f"{site.base}/good/1",
        f"{site.base}/good/new",
        f"{site.base}/no-head",
    ]


@real_time
async def test_a_page_that_refuses_programs_counts_as_working() -> None:
    async with serving() as (site, check):
        result = await checked(check, answer(f"{site.base}/login"))
    assert result.problems == ()


@real_time
async def test_dead_links_are_removed_if_enough_others_work() -> None:
    async with serving(at_least=2) as (site, check):
        made = answer(*(f"{site.base}/{path}" for path in ("good/1", "dead", "loop", "good/2")))
        result = await checked(check, made)
    assert result.problems == ()
    assert urls_of(result.answer) == [f"{site.base}/good/1", f"{site.base}/good/2"]


@real_time
async def test_an_answer_with_too_few_working_links_is_sent_back_with_each_dead_one() -> None:
    async with serving(at_least=2) as (site, check):
        result = await checked(check, answer(f"{site.base}/good/1", f"{site.base}/dead"))
    assert urls_of(result.answer) == [f"{site.base}/good/1", f"{site.base}/dead"]
    assert result.problems == [
        f"the address {site.base}/dead: the server answers 404",
        "at least 2 working addresses are needed, 1 work",
    ]


@real_time
async def test_an_answer_that_would_become_invalid_is_sent_back() -> None:
    async with serving(at_least=0) as (site, check):
        result = await checked(check, answer(f"{site.base}/dead"))
    assert result.problems


@real_time
async def test_private_addresses_are_never_requested_unless_allowed() -> None:
    async with serving(private=False) as (site, check):
        port = site.base.rpartition(":")[2]
        hosts = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433")
        for host in hosts:
            result = await checked(check, answer(f"http://{host}:{port}/good"))
            assert result.problems, host
    assert site.asked == []


@real_time
async def test_few_requests_go_to_one_host_at_once_and_none_twice() -> None:
    async with serving(per_host=2) as (site, check):
        made = answer(*(f"{site.base}/good/{n}" for n in range(20)))
        await checked(check, made)
        await checked(check, made)
    assert len(site.asked) == 20
    assert site.peak <= 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://no-such-host.invalid/x"])
@real_time
async def test_an_address_that_cannot_be_reached_is_dead(url: str) -> None:
    async with serving() as (_, check):
        result = await checked(check, answer(url))
    assert "cannot be reached" in result.problems[0]
