"""The recipe of the documentation for tools of an MCP server, with a real server."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from fake_services import FakeLlm
from mcp.server import MCPServer
from paceline import App, NoOptions, Register, Step, hookimpl

from tests.support.memory_worker import a_roadmap

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "steps-with-tools.md"


def recipe() -> Any:
    """The step of the page, as its readers copy it."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [code] = [block for block in blocks if "from mcp import" in block]
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["Tutorial"]


def test_a_model_calls_the_tools_of_an_mcp_server(tmp_path: Path) -> None:
    server, asked = MCPServer("glossary"), list[str]()

    @server.tool()
    def define(term: str) -> str:
        """Define a term."""
        asked.append(term)
        return f"{term}: a word"

    class Plugin:
        @hookimpl
        def paceline_register_steps(self, register: Register[Step]) -> None:
            make = recipe()
            register("tutorial", lambda _, __: make(server), options=NoOptions, summary="MCP.")

    async def generate(llm: FakeLlm) -> dict[str, Any]:
        app = App.load(
            overrides={
                "store.url": f"sqlite:///{tmp_path / 'paceline.db'}",
                "provider.base_url": f"{llm.base_url}/v1",
                "provider.api_key": "sk-test",
                "run.steps": ["tutorial"],
                "steps.tutorial.use": "Plugin:tutorial",
            },
            environ={},
            plugins=[Plugin()],
        )
        async with app.client(work=True) as client:
            run, _ = await client.submit(a_roadmap(1))
            assert (await client.wait(run.run_id)).status == "completed"
            [artifact] = await client.store.artifacts(run.run_id)
            content: dict[str, Any] = json.loads(artifact.content)
            return content

    llm = FakeLlm(rounds=2)
    with llm.running():
        content = asyncio.run(generate(llm))
    assert content["title"]
    assert len(asked) == 2
    [results] = [
        [one["content"] for one in body["messages"] if one["role"] == "tool"]
        for body in llm.bodies[-1:]
    ]
    assert results == [f"{term}: a word" for term in asked]
