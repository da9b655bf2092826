"""The schemas that are sent for strict structured outputs."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from paceline.steps.quiz import QuizAnswer
from paceline.steps.resources import ResourcesAnswer
from paceline.steps.tutorial import TutorialAnswer
from paceline_adapters.openai.schema import NotStrictError, strict_schema
from paceline_adapters.simulator.schemas import check_strict
from pydantic import BaseModel, Field, HttpUrl

KNOWN = {
    "$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "items",
    "properties", "required", "type",
}  # fmt: skip
BOUNDS = {"minimum", "maximum", "minItems", "maxItems"}


def keywords(schema: object) -> Iterator[str]:
    """Every keyword of a schema without the names of properties."""
    if isinstance(schema, list):
        for part in schema:
            yield from keywords(part)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        yield key
        if key in ("properties", "$defs"):
            for part in value.values():
                yield from keywords(part)
        elif key in ("items", "anyOf"):
            yield from keywords(value)


class Leaf(BaseModel):
    """A leaf."""

    kind: Literal["leaf"]
    link: HttpUrl = HttpUrl("https://example.org")


class Tree(BaseModel):
    kind: Literal["tree"]
    title: Annotated[str, Field(min_length=2, max_length=5, pattern="^a")] = "ab"
    children: list["Tree | Leaf"] = []
    best: Leaf | None = Field(None, description="The best one.")
    pair: tuple[int, str] = (1, "a")
    weight: float = Field(0.5, gt=0, le=1)


class Chosen(BaseModel):
    part: Annotated[Tree | Leaf, Field(discriminator="kind")]


@pytest.mark.parametrize("bounds", [True, False])
@pytest.mark.parametrize("model", [TutorialAnswer, ResourcesAnswer, QuizAnswer, Tree, Chosen])
def test_any_model_becomes_a_strict_schema(model: type[BaseModel], *, bounds: bool) -> None:
    schema = strict_schema(model.model_json_schema(), bounds=bounds)
    check_strict(schema)
    extra = BOUNDS | {"exclusiveMinimum"} if bounds else set()
    assert set(keywords(schema)) <= KNOWN | extra


def test_a_reference_has_no_sibling_keywords() -> None:
    def look(part: object) -> None:
        if isinstance(part, dict):
            assert "$ref" not in part or set(part) in ({"$ref"}, {"$ref", "$defs"})
        for value in (
            part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        ):
            look(value)

    look(strict_schema(Tree.model_json_schema())["properties"])


def test_a_property_can_have_the_name_of_a_keyword() -> None:
    schema: Any = strict_schema(Tree.model_json_schema())
    root = schema["$defs"]["Tree"]
    assert "title" in root["properties"]
    assert "title" in root["required"]


def test_a_bound_that_strict_schemas_cannot_express_is_in_the_description() -> None:
    schema: Any = strict_schema(Tree.model_json_schema())
    title = schema["$defs"]["Tree"]["properties"]["title"]
    assert title == {
        "type": "string",
        "description": "(at least 2 characters, at most 5 characters, matching ^a)",
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"any": {}}},
        {"type": "object", "properties": {"all": {"type": "array"}}},
        {"type": "object", "properties": {"other": {"$ref": "#/$defs/Missing"}}},
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {},
    ],
)
def test_a_schema_that_cannot_be_strict_is_not_converted(schema: dict[str, object]) -> None:
    with pytest.raises(NotStrictError):
        strict_schema(schema)
