"""A plugin for worker processes under test: a step, a provider and a store named ``held``.

Worker processes share a folder with the test. A call waits until the test opens its gate in the
folder. The folder's journal lists what happened, in order.
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
from paceline.contracts.steps.step import Step, Subject
from paceline.contracts.storage.store import Store
from paceline.errors import PartUnavailable
from paceline.plugins.context import Context
from paceline.plugins.hookspecs import Register, hookimpl
from paceline.plugins.registry import Plugins

P = ParamSpec("P")
T = TypeVar("T")

NAME = "held"
#: Roadmap for which the step raises an error that is no `PacelineError`.
BROKEN = "broken"
#: The gate of all calls.
EVERYTHING = "everything"
#: Seconds between two checks of the gates.
_POLL_INTERVAL = 0.02

What = Literal["began", "ended", "cancelled", "claim-failed"]


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the journal.

    Attributes:
        what: what happened to the call, or ``claim-failed`` if a worker could not claim a run.
        roadmap: roadmap of the call.
        concept: concept of the call.
    """

    what: What
    roadmap: str = ""
    concept: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder that a test and its worker processes share."""

    path: Path

    def note(self, note: Note) -> None:
        """Add a line to the journal. Lines of several processes do not mix."""
        line = json.dumps([note.what, note.roadmap, note.concept]) + "\n"
        file = os.open(self.path / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def notes(self) -> list[Note]:
        """All notes of the journal."""
        journal = self.path / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [Note(*json.loads(line)) for line in lines]

    def open(self, *gates: str) -> None:
        """Let calls return. A gate is a roadmap, ``roadmap.concept`` or ``EVERYTHING``."""
        for gate in gates:
            (self.path / f"{gate}.gate").touch()

    def is_open(self, roadmap: str, concept: str) -> bool:
        """Whether a call may return."""
        gates = (roadmap, f"{roadmap}.{concept}", EVERYTHING)
        return any((self.path / f"{gate}.gate").exists() for gate in gates)

    @property
    def store_down(self) -> Path:
        """While this file exists, the store raises an error for each claim."""
        return self.path / "store-down"


class _Answer(BaseModel):
    word: str


class _Step(Step):
    """A small answer per concept. The prompt names roadmap and concept."""

    answer = _Answer

    def prompt(self, subject: Subject) -> Sequence[Message]:
        """Make the prompt. For the broken roadmap, fail as a bug in a plugin would."""
        if subject.roadmap_id == BROKEN:
            raise RuntimeError("simulated bug of a plugin")
        return [Message("user", json.dumps([subject.roadmap_id, subject.concept.concept_id]))]


class _HeldProvider(Provider):
    """Answers when the test opens a gate."""

    key = "held:held"

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def complete(self, request: CompletionRequest) -> Completion:
        """Wait at the gate, then answer."""
        roadmap, concept = json.loads(request.messages[0].content)
        self._folder.note(Note("began", roadmap, concept))
        try:
            while not self._folder.is_open(roadmap, concept):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(_POLL_INTERVAL)
        except asyncio.CancelledError:
            self._folder.note(Note("cancelled", roadmap, concept))
            raise
        self._folder.note(Note("ended", roadmap, concept))
        text = _Answer(word="done").model_dump_json()
        return Completion(text=text, model=NAME, prompt_tokens=1, completion_tokens=1)


class HeldOptions(Options):
    """Options of the provider."""

    folder: Path
    """The folder that the test shares."""


def _store(_options: NoOptions, context: Context) -> Store:
    """SQLite in the folder. It rejects claims while ``store_down`` exists."""
    folder = Folder(Path(context.settings.store.url.get_secret_value().partition(":")[2]))
    url = SecretStr(f"sqlite+aiosqlite:///{folder.path / 'paceline.db'}")
    settings = context.settings
    sqlite = settings.model_copy(update={"store": settings.store.model_copy(update={"url": url})})
    store = Plugins().store("sqlite").make({}, replace(context, settings=sqlite), "store")

    def unless_down(claim: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if folder.store_down.exists():
                folder.note(Note("claim-failed"))
                raise PartUnavailable("simulated outage of the store")
            return await claim(*args, **kwargs)

        return checked

    object.__setattr__(store, "claim", unless_down(store.claim))
    object.__setattr__(store, "claim_next", unless_down(store.claim_next))
    return store


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
    """Offer the store, for URLs such as ``held:/the/folder``."""
    register(NAME, _store, options=NoOptions, summary="For tests.")
