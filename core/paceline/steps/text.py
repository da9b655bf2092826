"""Text types of which answers are made."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from paceline.steps.junk import check_text, check_words

MAX_URL = 2000


class Answer(BaseModel):
    """The base class of the built-in answers.

    Every field is required, because strict structured outputs demand it. Fields that a model
    adds are dropped: they do no harm, and another call would cost money.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


def _storable(text: str) -> str:
    # A lesson on C strings may contain U+0000, which PostgreSQL cannot store.
    return text.replace("\x00", "␀")


def written(text: str) -> str:
    """The text in a form that every database can store; it must not be blank."""
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
            "url", "must be a complete URL that starts with http:// or https://"
        )
    return address


#: One line: a title, an option, a name. Runs of white space become one space.
Line = Annotated[str, Field(max_length=1000), AfterValidator(_one_line)]
#: One or a few paragraphs.
Text = Annotated[str, Field(max_length=5000), AfterValidator(written), AfterValidator(check_words)]
#: Markdown text.
Markdown = Annotated[
    str,
    Field(max_length=50_000),
    AfterValidator(written),
    AfterValidator(check_words),
    AfterValidator(check_text),
]
#: An ``http`` or ``https`` URL with a host.
Url = Annotated[str, Field(max_length=MAX_URL), AfterValidator(_web_address)]
