"""Checks the addresses of an answer."""

import asyncio
from collections.abc import Iterator
from typing import cast

from paceline import Check, Checked, StepContext, Subject
from pydantic import BaseModel, ValidationError

from paceline_adapters.links.visitor import Visit, Visitor

#: Maximum number of addresses of one answer.
MOST = 100

Json = dict[str, object]


class LinkCheck(Check):
    """Visits each ``url`` of the objects in an answer's lists.

    A redirect is replaced by its target, and an object with a dead address is removed from its
    list. If too few remain, or the rest is no valid answer, the answer is sent back.
    """

    def __init__(self, visitor: Visitor, *, at_least: int) -> None:
        self._visitor = visitor
        self._at_least = at_least

    async def check(
        self,
        answer: BaseModel,
        subject: Subject,  # noqa: ARG002
        ctx: StepContext,
    ) -> Checked:
        """Check the addresses of an answer, and mend it if enough of them work."""
        content = cast("Json", answer.model_dump(mode="json"))
        urls = list(dict.fromkeys(str(entry["url"]) for _, entry in _entries(content)))[:MOST]
        if not urls:
            return Checked(answer)
        ctx.tell(f"checking {len(urls)} links")
        visits = dict(zip(urls, await asyncio.gather(*map(self._visitor.visit, urls)), strict=True))
        dead = [f"{url}: {visit.problem}" for url, visit in visits.items() if visit.problem]
        mended = self._mended(answer, content, visits)
        left = len(urls) - len(dead)
        if mended is not None and left >= self._at_least:
            return Checked(mended)
        need = f"at least {self._at_least} working addresses are needed, {left} work"
        return Checked(answer, [f"the address {line}" for line in dead] + [need])

    def _mended(
        self, answer: BaseModel, content: Json, visits: dict[str, Visit]
    ) -> BaseModel | None:
        """The answer without dead addresses; ``None`` if that is no valid answer."""
        if all(not visit.problem and visit.url == url for url, visit in visits.items()):
            return answer
        for entries, entry in list(_entries(content)):
            visit = visits.get(str(entry["url"]))
            if visit is None:
                continue
            if visit.problem:
                entries.remove(entry)
            else:
                entry["url"] = visit.url
        try:
            return type(answer).model_validate(content)
        except ValidationError:
            return None

    async def close(self) -> None:
        """Close the connections."""
        await self._visitor.close()


def _entries(value: object) -> Iterator[tuple[list[object], Json]]:
    """Objects with a ``url`` and the list that each is in, at any depth."""
    if isinstance(value, dict):
        for inner in cast("Json", value).values():
            yield from _entries(inner)
    elif isinstance(value, list):
        entries = cast("list[object]", value)
        for inner in entries:
            if not isinstance(inner, dict):
                yield from _entries(inner)
                continue
            fields = cast("Json", inner)
            if isinstance(fields.get("url"), str):
                yield entries, fields
            yield from _entries(fields)
