"""The check ``links`` keeps the contract of checks."""

import asyncio
from collections.abc import Sequence

from paceline import Check
from paceline.steps.resources import ResourcesAnswer
from paceline.testing.contracts import CheckContract
from paceline_adapters.links.check import LinkCheck
from paceline_adapters.links.visitor import Visit, Visitor
from pydantic import BaseModel


class ScriptedVisitor(Visitor):
    """Knows what each address does by its path."""

    async def visit(self, url: str) -> Visit:
        await asyncio.sleep(1)
        if "/moved" in url:
            return Visit(url.replace("moved", "here"))
        return Visit(url, "the server answers 404" if "/dead" in url else "")


def resources(*paths: str) -> BaseModel:
    """An answer with these addresses."""
    entries = [
        {
            "title": f"Page {path}",
            "url": f"https://example.org/{path}",
            "type": "article",
            "why": f"It explains {path}.",
        }
        for path in paths
    ]
    return ResourcesAnswer.model_validate({"resources": entries})


class TestLinks(CheckContract):
    finds = True

    def check(self) -> Check:
        visitor = ScriptedVisitor(timeout=10, per_host=2, keep=3600, private=False)
        return LinkCheck(visitor, at_least=1)

    def good(self) -> Sequence[BaseModel]:
        return [resources("a", "b"), resources("a")]

    def bad(self) -> Sequence[BaseModel]:
        return [resources("a", "dead"), resources("moved"), resources("dead", "dead-too")]
