"""Writes about one concept: titles, sentences, Markdown, questions."""

import random
import re
from collections import Counter
from urllib.parse import quote

from paceline_adapters.simulator.language import language_of

_CONCEPT = re.compile(r"^\W*Concept\s*[:：]\s*(.+)$", re.MULTILINE)
#: Lines of a prompt that contain ids.
_ID_LINES = re.compile(r"^(Roadmap|Roadmap id|Concept|Concept id): (.+)$", re.MULTILINE)

#: Minimum and maximum size of a tutorial in bytes of UTF-8.
_MIN_SIZE, _MAX_SIZE = 2_000, 6_000

#: Kinds of text that get a number when all texts were used.
_DISTINCT = frozenset({"headings", "titles", "resources", "questions", "options", "exercises"})

_CODE = '''```python
def example(value: int) -> int:
    """One small step."""
    return value + {n}
```'''


def concept_of(prompt: str) -> str:
    """The concept in a prompt's line ``Concept: NAME``."""
    found = _CONCEPT.search(prompt)
    return found[1].strip()[:200] if found else "this concept"


def ids_of(prompt: str) -> tuple[str | None, str | None]:
    """The ids in a prompt's lines ``Roadmap id: ID`` and ``Concept id: ID``, or else the names."""
    named = {found[1]: found[2].strip()[:400] for found in _ID_LINES.finditer(prompt)}
    return (
        named.get("Roadmap id", named.get("Roadmap")),
        named.get("Concept id", named.get("Concept")),
    )


class Prose:
    """Texts about a concept.

    Args:
        concept: name of the concept, which also determines the language.
    """

    def __init__(self, rng: random.Random, concept: str) -> None:
        self._rng = rng
        self._concept = concept
        self._language = language_of(concept)
        self._used: Counter[str] = Counter()
        self._order: dict[str, list[str]] = {}
        self.size = rng.randint(_MIN_SIZE, _MAX_SIZE)
        """Size of a tutorial in bytes."""

    def pick(self, kind: str) -> str:
        """The next text of this kind: a field of :class:`Language`."""
        if kind not in self._order:
            texts: list[str] = list(getattr(self._language, kind))
            self._rng.shuffle(texts)
            self._order[kind] = texts
        texts = self._order[kind]
        lap, at = divmod(self._used[kind], len(texts))
        self._used[kind] += 1
        text = texts[at].replace("{c}", self._concept)
        return f"{text} ({lap + 1})" if lap and kind in _DISTINCT else text

    def restart(self, kind: str) -> None:
        """Start again with the texts of this kind, in another order."""
        self._used[kind] = 0
        self._order.pop(kind, None)

    def refusal(self) -> str:
        """The text of a refusal."""
        return self._language.refusal.replace("{c}", self._concept)

    def sentence(self) -> str:
        """One sentence; sentences repeat after all were used."""
        return self.pick("sentences")

    def paragraph(self) -> str:
        """A few sentences."""
        count = self._rng.randint(3, 5)
        return self._language.space.join(self.sentence() for _ in range(count))

    def section(self, size: int) -> str:
        """Markdown of about ``size`` bytes, without a heading."""
        blocks: list[str] = []
        written = 0
        while written < size:
            match len(blocks) % 4:
                case 1:
                    block = _CODE.replace("{n}", str(self._rng.randint(1, 9)))
                case 3:
                    texts = [text.replace("{c}", self._concept) for text in self._language.bullets]
                    block = "\n".join(f"- {text}" for text in texts)
                case _:
                    block = self.paragraph()
            blocks.append(block)
            written += len(block.encode()) + 2
        return "\n\n".join(blocks)

    def markdown(self, size: int) -> str:
        """A Markdown page of about ``size`` bytes."""
        parts = [f"# {self.pick('titles')}"]
        written = 0
        while written < size:
            part = f"## {self.pick('headings')}\n\n{self.section(size // 5)}"
            parts.append(part)
            written += len(part.encode())
        return "\n\n".join(parts)

    def slug(self) -> str:
        """The concept's name for use in a URL."""
        return quote(re.sub(r"\s+", "-", self._concept[:40].strip().lower()), safe="-")

    def url(self) -> str:
        """A unique URL in a reserved example domain."""
        self._used["url"] += 1
        host = self._rng.choice(("docs.example.com", "learn.example.org", "www.example.net"))
        return f"https://{host}/{self.slug() or 'concept'}/{self._used['url']}"

    def garbage(self) -> str:
        """Random characters, neither JSON nor text."""
        return "".join(self._rng.choice('{}[]":,\\%$~ abcxyz019\n') for _ in range(200)) + "{"
