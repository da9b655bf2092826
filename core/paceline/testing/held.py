"""Runs whose calls a test holds: what a worker process does is written down, and waits.

A plugin for worker processes, with a step, a provider and a store, each named ``held``. They
share a folder with the test: calls wait there until the test opens a gate, and the journal
says what happened, in order.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from pydantic import BaseModel, SecretStr

from paceline.contracts.options import NoOptions, Options
from paceline.contracts.provider import Completion, CompletionRequest, Message, Provider
from paceline.contracts.step import Step, Subject
from paceline.contracts.store import Store
from paceline.errors import PartUnavailable
from paceline.plugins.context import Context
from paceline.plugins.hookspecs import Register, hookimpl
from paceline.plugins.registry import Plugins

P = ParamSpec("P")
T = TypeVar("T")

NAME = "held"
#: Roadmap for whose concepts the step raises what no contract knows.
BROKEN = "broken"
#: Gate of all calls.
EVERYTHING = "everything"
#: Seconds between two looks at the gates.
_LOOK = 0.02

What = Literal["began", "ended", "cancelled", "turned-away"]


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the journal.

    Attributes:
        what: a call began, ended or was cancelled; or a worker's claim was turned away.
        roadmap: the roadmap that the call is for.
        concept: the concept that it is for.
    """

    what: What
    roadmap: str = ""
    concept: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """What a test and its worker processes share."""

    path: Path

    def note(self, note: Note) -> None:
        """Add a line; lines of several processes do not mix."""
        line = json.dumps([note.what, note.roadmap, note.concept]) + "\n"
        file = os.open(self.path / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def notes(self) -> list[Note]:
        """The journal so far."""
        journal = self.path / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [Note(*json.loads(line)) for line in lines]

    def open(self, *gates: str) -> None:
        """Let calls end: of a roadmap, of ``roadmap.concept``, or all with ``EVERYTHING``."""
        for gate in gates:
            (self.path / f"{gate}.gate").touch()

    def is_open(self, roadmap: str, concept: str) -> bool:
        """Whether a call may end."""
        gates = (roadmap, f"{roadmap}.{concept}", EVERYTHING)
        return any((self.path / f"{gate}.gate").exists() for gate in gates)

    @property
    def away(self) -> Path:
        """As long as this file is there, no run can be claimed."""
        return self.path / "away"


class _Answer(BaseModel):
    word: str


class _Step(Step):
    """One small answer per concept; its prompt names roadmap and concept."""

    answer = _Answer

    def prompt(self, subject: Subject) -> Sequence[Message]:
        """Raise what a plugin's bug would raise, for the broken roadmap."""
        if subject.roadmap_id == BROKEN:
            raise RuntimeError("a plugin's bug, as the test wants it")
        return [Message("user", json.dumps([subject.roadmap_id, subject.concept.concept_id]))]


class _HeldProvider(Provider):
    """Answers when the test lets it."""

    key = "held:held"

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def complete(self, request: CompletionRequest) -> Completion:
        """Wait at the gate, then answer."""
        roadmap, concept = json.loads(request.messages[0].content)
        self._folder.note(Note("began", roadmap, concept))
        try:
            while not self._folder.is_open(roadmap, concept):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(_LOOK)
        except asyncio.CancelledError:
            self._folder.note(Note("cancelled", roadmap, concept))
            raise
        self._folder.note(Note("ended", roadmap, concept))
        text = _Answer(word="done").model_dump_json()
        return Completion(text=text, model=NAME, prompt_tokens=1, completion_tokens=1)


class HeldOptions(Options):
    """Options of the provider."""

    folder: Path
    """The folder that is shared."""


def _store(_options: NoOptions, context: Context) -> Store:
    """SQLite in the folder, where claims can be turned away as if the store were not there."""
    folder = Folder(Path(context.settings.store.url.get_secret_value().partition(":")[2]))
    url = SecretStr(f"sqlite+aiosqlite:///{folder.path / 'paceline.db'}")
    settings = context.settings
    sqlite = settings.model_copy(update={"store": settings.store.model_copy(update={"url": url})})
    made = Plugins().store("sqlite").make({}, replace(context, settings=sqlite), "store")

    def unless_away(claim: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        async def claims(*args: P.args, **kwargs: P.kwargs) -> T:
            if folder.away.exists():
                folder.note(Note("turned-away"))
                raise PartUnavailable("the store is away, as the test wants it")
            return await claim(*args, **kwargs)

        return claims

    object.__setattr__(made, "claim", unless_away(made.claim))
    object.__setattr__(made, "claim_next", unless_away(made.claim_next))
    return made


@hookimpl
def paceline_register_steps(register: Register[Step]) -> None:
    """Offer the step."""
    register(NAME, lambda _options, _context: _Step(), options=NoOptions, summary="For tests.")


@hookimpl
def paceline_register_providers(register: Register[Provider]) -> None:
    """Offer the provider."""
    register(
        NAME,
        lambda options, _context: _HeldProvider(Folder(options.folder)),
        options=HeldOptions,
        summary="For tests.",
    )


@hookimpl
def paceline_register_stores(register: Register[Store]) -> None:
    """Offer the store, for URLs as ``held:/the/folder``."""
    register(NAME, _store, options=NoOptions, summary="For tests.")
