"""The built-in step ``resources``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from paceline.steps.junk import adds_words, check_loop
from paceline.steps.normalisations import Droppable
from paceline.steps.prompted import PromptedStep
from paceline.steps.text import Answer, Line, Text, Url
from paceline.text import item, link_text, plain


class Resource(Answer):
    """One thing to read, watch or try."""

    title: Line
    """Its title, as its publisher writes it."""
    url: Url
    """Its complete address, beginning with https:// or http://."""
    type: Literal["documentation", "article", "book", "course", "video", "paper", "tool", "other"]
    """What it is."""
    why: Text
    """What this learner gets from it, in one or two sentences."""


def _differ(resources: list[Resource]) -> list[Resource]:
    check_loop("the address", [one.url for one in resources])
    by_address = {one.url: one for one in reversed(resources)}
    return [one for one in resources if by_address[one.url] is one]


def _says_why(resource: Resource) -> Resource:
    if not adds_words(resource.why, resource.title):
        raise PydanticCustomError("repeated", "must say more in why than the title")
    return resource


class ResourcesAnswer(Answer):
    """Resources for one concept."""

    resources: Annotated[
        list[Annotated[Resource, AfterValidator(_says_why)]],
        Field(min_length=1, max_length=20),
        AfterValidator(_differ),
        Droppable(),
    ]
    """The resources, the most useful first."""


class Resources(PromptedStep):
    """Recommends what to read, watch and try next."""

    name = "resources"
    answer = ResourcesAnswer
    max_tokens = 2000

    def readable(self, answer: BaseModel) -> str:
        """A list of links."""
        if not isinstance(answer, ResourcesAnswer):
            return super().readable(answer)
        entries = (
            item(
                f"[{link_text(one.title)}](<{_address(one.url)}>) ({one.type})  \n{plain(one.why)}"
            )
            for one in answer.resources
        )
        return "\n".join(["## Resources", "", *entries])


def _address(url: str) -> str:
    return url.replace("<", "%3C").replace(">", "%3E")
