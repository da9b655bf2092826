"""Tokens, tickets, origins and rates: which client may do what."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from paceline.errors import SettingsError
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time
from paceline_adapters.web.auth import TICKET_SECONDS, Authenticator
from paceline_adapters.web.problems import Problem
from paceline_adapters.web.server import listen
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cli_terminal import a_roadmap
from tests.support.web_site import READER, WRITER, Site, site, tokens
from tests.web.test_api import problem


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def refused_socket(here: Site, path: str, **asked: Any) -> int:
    """The status that a socket is refused with; the refusal is a problem."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{here.ws}{path}", **asked):
            pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code


@real_time
async def test_if_tokens_are_set_every_route_requires_one(tmp_path: Path) -> None:
    async with site(tmp_path, web=tokens()) as here:
        for method, path in (
            ("GET", "/api/runs"),
            ("POST", "/api/runs"),
            ("GET", "/api/runs/x/events"),
            ("GET", "/api/live"),
            ("GET", "/metrics"),
            ("POST", "/api/tickets"),
        ):
            for headers in ({}, bearer("wrong"), {"Authorization": "Basic Zm9v"}):
                answer = await here.client.request(method, path, headers=headers)
                problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await here.client.get("/health")).status_code == 200
        assert (await here.client.get("/")).status_code == 200, "the page asks for the token"
        assert await refused_socket(here, "/ws/runs") == 401
        assert await refused_socket(here, "/ws/runs?ticket=wrong") == 401
        wrong = bearer("wrong")
        assert await refused_socket(here, "/ws/runs", additional_headers=wrong) == 401


@real_time
async def test_a_read_only_token_cannot_change_anything(tmp_path: Path) -> None:
    async with site(tmp_path, web=tokens(), token=WRITER) as here:
        run_id = await here.submitted(a_roadmap("r", "c"))
        reads = bearer(READER)
        assert (await here.client.get("/api/runs", headers=reads)).status_code == 200
        session = (await here.client.get("/api/session", headers=reads)).json()
        assert (session["scope"], session["token_required"]) == ("read", True)
        for path in ("", f"/{run_id}/cancel", f"/{run_id}/resume", f"/{run_id}/retry"):
            answer = await here.client.post(f"/api/runs{path}", headers=reads)
            problem(answer, 403, "read-only-token")
        status = (await here.client.get(f"/api/runs/{run_id}")).json()["status"]
        assert status == "queued"


@real_time
async def test_a_ticket_opens_one_stream_once(tmp_path: Path) -> None:
    async with site(tmp_path, web=tokens(), token=WRITER) as here:
        run_id = await here.submitted(a_roadmap("r", "c"))

        async def ticket() -> str:
            made = await here.client.post("/api/tickets", headers=bearer(READER))
            assert made.status_code == 201
            return str(made.json()["ticket"])

        one = await ticket()
        async with connect(f"{here.ws}/ws/runs?ticket={one}") as client:
            assert "hello" in str(await client.recv())
        assert await refused_socket(here, f"/ws/runs?ticket={one}") == 401
        async with httpx2.AsyncClient(base_url=here.url) as browser:
            path = f"/api/runs/{run_id}/events"
            two = {"ticket": await ticket()}
            async with browser.stream("GET", path, params=two) as answer:
                assert answer.status_code == 200
            again = await browser.get(path, params=two)
            problem(again, 401, "unauthorized")
        async with connect(f"{here.ws}/ws/runs", additional_headers=bearer(READER)) as client:
            assert "hello" in str(await client.recv())


@real_time
async def test_a_page_of_another_origin_is_rejected(tmp_path: Path) -> None:
    web = WebSettings.model_validate({"origins": ["https://friend.example"]})
    async with site(tmp_path, web=web) as here:
        run_id = await here.submitted(a_roadmap("r", "c"))
        cancel = f"/api/runs/{run_id}/cancel"
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await here.client.post(cancel, headers=headers)
            problem(answer, 403, "foreign-origin")
        assert await refused_socket(here, "/ws/runs", origin="https://evil.example") == 403
        for origin in (here.url, "https://friend.example"):
            async with connect(f"{here.ws}/ws/runs", origin=origin) as client:  # type: ignore[arg-type]
                assert "hello" in str(await client.recv())
            answer = await here.client.post(cancel, headers={"Origin": origin})
            assert answer.status_code == 200


@real_time
async def test_an_unknown_host_name_is_rejected(tmp_path: Path) -> None:
    web = WebSettings.model_validate({"hosts": ["paceline.example"]})
    async with site(tmp_path, web=web) as here:

        async def asked(host: str) -> httpx2.Response:
            return await here.client.get("/api/runs", headers={"Host": host})

        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]", "["):
            problem(await asked(host), 400, "unknown-host")
        for host in ("localhost", "127.0.0.1:99", "[::1]:8080", "paceline.example"):
            assert (await asked(host)).status_code == 200
        port = int(here.url.rpartition(":")[2])
        evil = replace(here, url="http://evil.example")
        assert await refused_socket(evil, "/ws/runs", host="127.0.0.1", port=port) == 400


@real_time
async def test_a_client_with_too_many_requests_has_to_wait(tmp_path: Path) -> None:
    async with site(tmp_path, web=WebSettings(rate=5)) as here:
        answers = await asyncio.gather(*(here.client.get("/health") for _ in range(60)))
        refused = [one for one in answers if one.status_code == 429]
        assert 10 <= 60 - len(refused) < 60
        problem(refused[0], 429, "too-many-requests")
        assert int(refused[0].headers["retry-after"]) >= 1


@real_time
async def test_streams_are_limited_per_client_and_in_total(tmp_path: Path) -> None:
    web = WebSettings(max_streams=3, max_streams_per_client=2)
    web = web.model_copy(update={"tokens": tokens().tokens})
    async with site(tmp_path, web=web, token=WRITER) as here:
        path = f"{here.ws}/ws/runs"
        reads, writes = bearer(READER), bearer(WRITER)
        async with connect(path, additional_headers=reads) as one:
            async with connect(path, additional_headers=reads) as two:
                await asyncio.gather(one.recv(), two.recv())
                more = await refused_socket(here, "/ws/runs", additional_headers=reads)
                assert more == 429
                run_id = await here.submitted(a_roadmap("r", "c"))
                stream = f"/api/runs/{run_id}/events"
                told = await here.client.get(stream, headers=reads)
                problem(told, 429, "too-many-streams")
                assert int(told.headers["retry-after"]) > 0
                async with connect(path, additional_headers=writes) as three:
                    await three.recv()
                    full = await refused_socket(here, "/ws/runs", additional_headers=writes)
                    assert full == 503
            assert here.backend.ready


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "paceline.example"])
def test_other_than_loopback_addresses_require_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match=f"web.host: other hosts can reach {host}"):
        listen(WebSettings(), host, 0)


@real_time
async def test_a_tenant_sees_and_steers_only_its_own_runs(tmp_path: Path) -> None:
    web = WebSettings.model_validate(
        {"tokens": [{"token": WRITER, "tenant": "acme"}, {"token": READER, "tenant": "other"}]}
    )

    async with site(tmp_path, web=web) as here:
        acme, other = bearer(WRITER), bearer(READER)
        made = await here.client.post(
            "/api/runs", content=a_roadmap("r", "c").to_json(), headers=acme
        )
        run_id = made.json()["run"]["run_id"]
        assert (made.status_code, made.json()["run"]["tenant"]) == (201, "acme")
        assert (await here.client.get(f"/api/runs/{run_id}", headers=acme)).status_code == 200
        assert (await here.client.get(f"/api/runs/{run_id}", headers=other)).status_code == 404
        answer = await here.client.post(f"/api/runs/{run_id}/cancel", headers=other)
        assert answer.status_code == 404
        seen = [await here.client.get("/api/runs", headers=who) for who in (acme, other)]
        assert [len(page.json()["runs"]) for page in seen] == [1, 0]


def test_with_a_token_any_address_is_allowed() -> None:
    with listen(tokens(), "0.0.0.0", 0) as listening:
        assert listening.getsockname()[1] > 0


@real_time
async def test_a_page_of_an_allowed_origin_can_read_the_answers(tmp_path: Path) -> None:
    friend = {"Origin": "https://friend.example"}
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    web = WebSettings.model_validate({"origins": ["https://Friend.example/"]})
    async with site(tmp_path, web=web) as here:
        client = here.client
        asked = await client.options("/api/runs", headers={**friend, **asks})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://friend.example"
        assert "POST" in asked.headers["access-control-allow-methods"]
        made = await client.post("/api/runs", content=a_roadmap("r", "c").to_json(), headers=friend)
        assert made.status_code == 201
        assert made.headers["access-control-allow-origin"] == "https://friend.example"
        assert "access-control-allow-credentials" not in made.headers
        for stranger in ("https://evil.example", "null"):
            evil = {"Origin": stranger}
            asked = await client.options("/api/runs", headers={**evil, **asks})
            assert asked.status_code == 400
            seen = await client.get("/api/runs", headers=evil)
            for answer in (asked, seen):
                assert "access-control-allow-origin" not in answer.headers
    async with site(tmp_path) as here:
        answer = await here.client.options("/api/runs", headers={**friend, **asks})
        problem(answer, 405, "method-not-allowed")
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "sent",
    [
        [b"Authorization: Bearer " + WRITER.encode(), b"Authorization: Bearer wrong-0123456789"],
        [b"Authorization: Bearer wrong-0123456789", b"Authorization: Bearer " + WRITER.encode()],
        [b"Authorization: " + WRITER.encode()],
        [b"Authorization: Token " + WRITER.encode()],
        [b"Authorization: Bearer"],
        [b"Authorization: Bearer \xff\xfe"],
        [b"Authorization: Bearer " + WRITER.upper().encode()],
        [b"Authorization: Bearer " + WRITER.encode() + b" more"],
        [b"Cookie: token=" + WRITER.encode()],
        [b"X-Token: " + WRITER.encode()],
    ],
)
@real_time
async def test_a_token_must_be_complete_and_in_one_header(
    tmp_path: Path, sent: list[bytes]
) -> None:
    async with site(tmp_path, web=tokens()) as here:

        async def status(*headers: bytes) -> bytes:
            host, port = here.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            lines = [b"GET /api/runs?token=" + WRITER.encode() + b" HTTP/1.0", *headers]
            writer.write(b"\r\n".join([*lines, b"", b""]))
            answer = await reader.read()
            writer.close()
            assert WRITER.encode() not in answer
            return answer.split()[1]

        assert await status(*sent) == b"401"
        assert await status(b"aUTHORIZATION:  bearer   " + WRITER.encode()) == b"200"


@real_time
async def test_a_ticket_is_valid_on_every_server_with_the_same_tokens(tmp_path: Path) -> None:
    async with (
        site(tmp_path, web=tokens(), token=READER) as one,
        site(tmp_path, web=tokens(), token=READER) as two,
        site(tmp_path, web=_other_tokens(), token=WRITER) as stranger,
    ):
        for _ in range(2):
            ticket = (await one.client.post("/api/tickets")).json()["ticket"]
            path = f"/ws/runs?ticket={ticket}"
            async with connect(f"{two.ws}{path}") as client:
                assert "hello" in str(await client.recv())
            assert await refused_socket(two, path) == 401
            assert await refused_socket(stranger, path) == 401


def _other_tokens() -> WebSettings:
    return WebSettings.model_validate({"tokens": [{"token": WRITER}]})


def test_a_forged_or_expired_ticket_is_rejected() -> None:
    now = [1_000_000.0]
    access = Authenticator(tokens(), clock=lambda: now[0])
    reader = access.caller([f"Bearer {READER}"], "here")
    writer = access.caller([f"Bearer {WRITER}"], "here")

    def opens(ticket: str) -> bool:
        try:
            return access.redeem(ticket) == reader
        except Problem as problem:
            assert problem.status == 401
            return False

    ticket = access.ticket(reader)
    name, until, rest = ticket.split(".", 2)
    for odd in (
        *("", ".", "...", "a.b.c.d", "\x00", "é.1.2.3", ticket[:-1], ticket + "0", ticket.upper()),
        f"{name}.{int(until) + 9}.{rest}",
        f"{writer.name}.{until}.{rest}",
        f".{until}.{rest}",
    ):
        assert not opens(odd), odd
    assert opens(ticket)
    assert not opens(ticket)
    late = access.ticket(reader)
    now[0] += TICKET_SECONDS + 1
    assert not opens(late)
    assert opens(access.ticket(reader))
