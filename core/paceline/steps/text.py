"""Kinds of text that answers are made of."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_URL = 2000


class Answer(BaseModel):
    """The base of the shipped answers.

    Every field is required, as strict structured outputs want it. What a model adds beyond
    the schema is dropped: it harms nobody, and asking again would cost a call.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


def _storable(text: str) -> str:
    # A lesson on C strings may hold U+0000, which PostgreSQL stores in no text and no JSON.
    return text.replace("\x00", "␀")


def written(text: str) -> str:
    """The text as it can be stored, if it is not blank."""
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return _storable(text)


def _one_line(text: str) -> str:
    return " ".join(written(text).split())


def _web_address(text: str) -> str:
    address = text.strip()
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    plain = (
        address.isprintable() and " " not in address
    )  # of all white space, it alone is printable
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise PydanticCustomError(
            "url", "must be a complete address that begins with http:// or https://"
        )
    return address


#: One line: a title, an option, a name. Runs of white space become one space.
Line = Annotated[str, Field(max_length=1000), AfterValidator(_one_line)]
#: A paragraph or a few.
Text = Annotated[str, Field(max_length=5000), AfterValidator(written)]
#: A piece of Markdown.
Markdown = Annotated[str, Field(max_length=50_000), AfterValidator(written)]
#: An ``http`` or ``https`` address with a host.
Url = Annotated[str, Field(max_length=MAX_URL), AfterValidator(_web_address)]
