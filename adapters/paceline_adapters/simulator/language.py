"""Text templates about a concept, in English and Chinese."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Language:
    """Templates with ``{c}`` for the concept."""

    space: str
    sentences: tuple[str, ...]
    headings: tuple[str, ...]
    bullets: tuple[str, ...]
    titles: tuple[str, ...]
    summaries: tuple[str, ...]
    resources: tuple[str, ...]
    reasons: tuple[str, ...]
    questions: tuple[str, ...]
    options: tuple[str, ...]
    explanations: tuple[str, ...]
    exercises: tuple[str, ...]
    refusal: str


def _read(name: str) -> Language:
    path = Path(__file__).with_name(f"{name}.toml")
    texts = tomllib.loads(path.read_text(encoding="utf-8"))
    return TypeAdapter(Language).validate_python(texts)


ENGLISH = _read("english")
CHINESE = _read("chinese")

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def language_of(concept: str) -> Language:
    """The language to write in about a concept of this name."""
    return CHINESE if _CJK.search(concept) else ENGLISH
