"""Controls over HTTP: operators control everything, tenants themselves only."""

from pathlib import Path
from typing import Any

import pytest
from paceline.contracts.identity import this_process
from paceline.contracts.storage.records import WorkerRecord
from paceline.settings.model import WebSettings
from paceline.testing.virtual_time import real_time

from tests.support.cli_terminal import a_roadmap
from tests.support.web_site import Site, site

OPERATOR, ACME, RIVAL, READS = (
    f"{name}-0123456789abcdef" for name in ("ops", "acme", "rival", "r")
)
TOKENS = WebSettings.model_validate(
    {
        "tokens": [
            {"token": OPERATOR, "scope": "operator"},
            {"token": ACME, "tenant": "acme"},
            {"token": RIVAL, "tenant": "rival"},
            {"token": READS, "tenant": "acme", "scope": "read"},
        ]
    }
)
GLOBAL: dict[str, Any] = {
    "strategy": ["global"],
    "strategies": {"global": {"requests_per_minute": 100}},
}
KEY = "openai:gpt-4o"


async def post(here: Site, path: str, body: object, token: str = OPERATOR) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await here.client.post(f"/api/controls/{path}", json=body, headers=headers)
    return answer.status_code, answer.json()


async def get(here: Site, path: str = "", token: str = OPERATOR) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await here.client.get(f"/api/controls{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@real_time
async def test_an_operator_pauses_and_resumes_and_everyone_sees_why(tmp_path: Path) -> None:
    async with site(tmp_path, web=TOKENS, token=ACME) as here:
        run_id = await here.submitted(a_roadmap("r", "c"))
        status, told = await post(here, "pause", {"target": "everything", "reason": "repair"})
        assert (status, told["pauses"][0]["target"]) == (200, "everything")
        for token in (OPERATOR, RIVAL):
            (pause,) = (await get(here, token=token))["pauses"]
            assert pause["state"].startswith("everything is paused by operator (")
            assert pause["state"].endswith("): repair")
        shown = (await here.client.get(f"/api/runs/{run_id}")).json()
        assert shown["waits"].endswith("repair")
        assert (await post(here, "resume", {"target": "everything"}))[1]["pauses"] == []
        assert (await here.client.get(f"/api/runs/{run_id}")).json()["waits"] is None
        lines = (await get(here, "/log"))["entries"]
        assert [one["action"] for one in lines] == ["resume", "pause"]
        assert (await get(here, "/log", ACME))["entries"] == []


@real_time
async def test_a_tenant_pauses_itself_only(tmp_path: Path) -> None:
    async with site(tmp_path, web=TOKENS, **GLOBAL) as here:
        for path, body in (
            ("pause", {"target": "everything"}),
            ("pause", {"target": "tenant:rival"}),
            ("pause", {"target": f"key:{KEY}"}),
            ("resume", {"target": "everything"}),
            ("limits", {"limit": "global", "values": {"concurrency": 1}}),
            ("limits/reset", {"limit": "global"}),
            ("drain", {"worker_id": "w"}),
        ):
            assert (await post(here, path, body, ACME))[0] == 403, path
            assert (await post(here, path, body, READS))[0] == 403, path
        assert (await get(here))["version"] == 0
        assert (await post(here, "pause", {"target": "tenant:acme"}, READS))[0] == 403
        assert (await post(here, "pause", {"target": "tenant:acme"}, ACME))[0] == 200
        assert "acme" not in str(await get(here, token=RIVAL))
        assert "acme" not in str(await get(here, "/log", RIVAL))
        (line,) = (await get(here, "/log", ACME))["entries"]
        assert line["by"].startswith("tenant acme (")


@real_time
async def test_limits_are_changed_and_reset(tmp_path: Path) -> None:
    async with site(tmp_path, web=TOKENS, **GLOBAL) as here:
        body = {"limit": "global", "key": KEY, "values": {"requests_per_minute": 300}}
        status, told = await post(here, "limits", body)
        assert status == 200
        (common, own) = told["limits"]
        assert common["settings"] == {"requests_per_minute": 100}
        assert (own["key"], own["changed"]) == (KEY, {"requests_per_minute": 300})
        told = (await post(here, "limits/reset", {"limit": "global", "key": KEY}))[1]
        assert [one["changed"] for one in told["limits"]] == [{}, {}]
        assert told["version"] > status


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("pause", {"target": "moon"}, 422),
        ("pause", {"target": "tenant: x"}, 400),
        ("pause", {"target": "key:gpt"}, 400),
        ("pause", {"target": "everything", "reason": "x" * 501}, 422),
        ("pause", {"target": "everything", "until": 5}, 422),
        ("pause", {}, 422),
        ("pause", [], 422),
        ("limits", {"limit": "global", "values": {}}, 422),
        ("limits", {"limit": "global", "values": {"concurrency": 0}}, 400),
        ("limits", {"limit": "global", "values": {"concurrency": 1.5}}, 422),
        ("limits", {"limit": "global", "values": {"money": 1}}, 400),
        ("limits", {"limit": "globe", "values": {"concurrency": 1}}, 400),
        ("limits", {"limit": "global", "key": "gpt", "values": {"concurrency": 1}}, 400),
        ("drain", {"worker_id": "nobody"}, 400),
    ],
)
@real_time
async def test_a_body_is_checked(tmp_path: Path, path: str, body: object, status: int) -> None:
    async with site(tmp_path, web=TOKENS, **GLOBAL) as here:
        answered, problem = await post(here, path, body)
        assert (answered, problem["status"]) == (status, status)
        assert not (await get(here))["pauses"]


@real_time
async def test_without_tokens_every_caller_is_an_operator(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.backend.store.register(
            WorkerRecord(
                worker_id="w",
                identity=this_process(),
                executor="in-process",
                concurrency=1,
                pool_max=1,
            )
        )
        assert (await post(here, "drain", {"worker_id": "w"}))[0] == 200
        assert (await post(here, "pause", {"target": "everything"}))[0] == 200
        session = (await here.client.get("/api/session")).json()
        assert session["operator"] is True
        lines = (await get(here, "/log?limit=1"))["entries"]
        older = (await get(here, f"/log?before={lines[-1]['number']}"))["entries"]
        assert [one["subject"] for one in (*lines, *older)] == ["everything", "w"]
