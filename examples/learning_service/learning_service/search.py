"""Searching in rounds: the model asks, the search API answers, until the model knows enough."""

from collections.abc import Sequence
from functools import partial

import aiohttp
from paceline import Message, Refused, StepContext, Tool, ToolCall, Transient
from pydantic import BaseModel, Field, HttpUrl, ValidationError


class Query(BaseModel):
    """The arguments of the tool."""

    query: str = Field(min_length=1, max_length=200, description="What to search for.")


class Source(BaseModel):
    """One search result."""

    title: str
    url: str
    snippet: str


class _Results(BaseModel):
    results: list[Source]


SEARCH = Tool(
    name="search",
    description="Search the web. Call it until the results cover the concept, then answer.",
    parameters=Query.model_json_schema(),
)


class Researcher:
    """Lets a model search with the tool ``search``.

    Args:
        url: address of the search API.
        rounds: maximum number of rounds.
    """

    def __init__(self, url: HttpUrl, rounds: int) -> None:
        self._url = str(url)
        self._rounds = rounds

    async def research(self, prompt: Sequence[Message], ctx: StepContext) -> list[Source]:
        """What the model found. After a crash, finished rounds are read back and not repeated."""
        messages, found = list(prompt), dict[str, Source]()
        for number in range(1, self._rounds + 1):
            ask = partial(ctx.chat, messages, tools=[SEARCH], max_tokens=500)
            said = await ctx.once(f"question {number}", ask, model=Message)
            if not said.tool_calls:
                break
            messages.append(said)
            for place, call in enumerate(said.tool_calls, 1):
                sources = await self._answer(f"search {number}.{place}", call, ctx)
                found |= {source.url: source for source in sources}
                text = "\n".join(source.model_dump_json() for source in sources)
                messages.append(Message("tool", text or "no results", tool_call_id=call.call_id))
        return list(found.values())

    async def _answer(self, name: str, call: ToolCall, ctx: StepContext) -> list[Source]:
        try:
            query = Query.model_validate_json(call.arguments).query
        except ValidationError:
            return []  # the model reads "no results" and asks differently
        ctx.tell(f"searching {query}")
        return await ctx.once(name, partial(self._search, query, ctx), model=list[Source])

    async def _search(self, query: str, ctx: StepContext) -> list[Source]:
        async with ctx.use("search"):  # waits for the quota that all workers share
            try:
                async with aiohttp.request("GET", self._url, params={"q": query}) as response:
                    if response.status == 429:
                        pause = float(response.headers.get("Retry-After", 60))
                        raise Refused("the search API refuses", retry_after=pause)
                    response.raise_for_status()
                    return _Results.model_validate_json(await response.read()).results
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Transient(f"the search failed: {error}") from None
