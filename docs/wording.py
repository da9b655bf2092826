"""Finds words in shipped text that make it hard to read: ``python -m docs.wording``.

Checked are docstrings, comments and strings of the Python packages, their Lua, HTML and
JavaScript files, and the Markdown files of the documentation. Each finding is one line with file,
line, words and what to write in their place. The exit code is 1 if there is one.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Words, and what to write in their place. A blank matches line breaks too.
PLAIN: Mapping[str, str] = {
    "whose": "name the owner, or write 'with'",
    "whom": "name the person or the part",
    "nobody": "name the actor, or use 'no client', 'no worker'",
    "somebody": "name the actor",
    "everybody": "use 'all' with a noun",
    "is told": "use 'is notified', or name the actor",
    "are told": "use 'are notified', or name the actor",
    "tells": "use 'shows', 'reports' or 'says'",
    "hears": "use 'receives'",
    "goes on": "use 'continues'",
    "go on with": "use 'continue'",
    "is away": "use 'is unreachable'",
    "comes back": "use 'returns' or 'reconnects'",
    "gives up": "use 'stops' or 'fails'",
    "so many": "name the number",
    "where there is none": "use 'if there is none'",
    "there is none": "name what is missing",
    "who asks": "name the client or the waiter",
    "who waits": "use 'the waiter'",
}
#: Findings that are right as they are, by file relative to the repository.
ALLOWED: Mapping[str, frozenset[str]] = {
    "docs/wording.py": frozenset(PLAIN),
    # The Unix user.
    "core/paceline/testing/servers.py": frozenset({"nobody"}),
    "core/paceline/testing/spawn.py": frozenset({"nobody"}),
}
_PATTERN = re.compile(
    r"\b(?:" + "|".join(words.replace(" ", r"[\s#*/-]+") for words in PLAIN) + r")\b", re.IGNORECASE
)
_PACKAGES = ("core", "strategies", "adapters")
_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
_TEXT_KINDS = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1))


def files() -> Iterator[Path]:
    """The files to check."""
    for package in _PACKAGES:
        for suffix in ("py", "lua", "html", "js"):
            yield from sorted((ROOT / package).rglob(f"*.{suffix}"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "docs").glob("*.py"))
    yield from (ROOT / name for name in _PAGES)


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file with the words that were found there."""
    allowed = ALLOWED.get(str(path.relative_to(ROOT)), frozenset())
    for first_line, text in _texts(path):
        for match in _PATTERN.finditer(text):
            words = " ".join(re.split(r"[\s#*/-]+", match[0].lower()))
            if words not in allowed:
                yield first_line + text.count("\n", 0, match.start()), words


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file with their first lines; of Python, no identifiers."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield 1, source
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _TEXT_KINDS:
            yield token.start[0], token.string


def main() -> int:
    """Print all findings; returns the exit code."""
    found = [(path.relative_to(ROOT), *one) for path in files() for one in findings(path)]
    for path, line, words in found:
        sys.stdout.write(f"{path}:{line}: {words}: {PLAIN[words]}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
