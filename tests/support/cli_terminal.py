"""A terminal that runs commands in the test's process, and the runs that they show."""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from paceline import App
from paceline.cli import main
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.records import Artifact, Claim, ConceptState, Run, RunStatus
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.storage.store import Store
from paceline.roadmaps.model import Roadmap, parse_roadmap
from paceline.testing.virtual_time import real_time

T = TypeVar("T")

#: Secrets that no command may print.
SECRETS = ("sk-very-secret", "hidden-password")

#: Text with which a model could control the reader's terminal.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m[bold red]not markup[/]\u202eright to left"

CONTENTS: Mapping[str, str] = {
    "tutorial": json.dumps(
        {
            "title": f"Tutorial {HOSTILE}",
            "summary": "What List<String> means.",
            "sections": [
                {"title": "One", "content": "Some `code` and *text*.", "kind": "explanation"}
            ],
            "exercises": ["Do it."],
            "minutes": 10,
        }
    ),
    "resources": json.dumps(
        {
            "resources": [
                {"title": "A [page]", "url": "https://example.org/", "type": "article", "why": "Y"}
            ]
        }
    ),
    "quiz": json.dumps(
        {
            "questions": [
                {
                    "question": "Which?",
                    "options": ["this", "that\n  of two lines"],
                    "answer": [1],
                    "explanation": "Because.",
                    "difficulty": "easy",
                }
            ]
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, decoded."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Terminal:
    """Runs commands and checks their output.

    Attributes:
        folder: where they run.
        monkeypatch: how arguments and environment are set.
        capture: how output is caught.
    """

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, code: int = 0) -> Said:
        """Run ``paceline`` with these arguments; it must end with ``code``.

        Only with ``--verbose`` before the command may it print a traceback.
        """
        self.monkeypatch.setattr(sys, "argv", ["paceline", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = Said(*self.capture.readouterr())
        assert ended.value.code == code, (ended.value.code, said)
        both = said.out + said.err
        assert arguments[:1] == ("--verbose",) or "Traceback" not in both
        for secret in SECRETS:
            assert secret not in both
        assert "\x1b" not in both, "a pipe gets no escape sequence"
        return said

    @real_time
    async def store(self, visit: Callable[[Store], Awaitable[T]]) -> T:
        """Call a function with the store that the commands use."""
        async with App.load().factory.open_store() as store:
            return await visit(store)

    def setenv(self, **values: str) -> None:
        """Set environment variables."""
        for name, value in values.items():
            self.monkeypatch.setenv(name, value)


def a_roadmap(name: str, *concepts: str) -> Roadmap:
    """A roadmap with these concepts, in two modules."""
    members = [{"concept_id": one, "name": f"About {one}"} for one in concepts]
    modules = [
        {"module_id": "first", "name": "First", "concepts": members[:1]},
        {"module_id": "rest", "name": "The rest", "concepts": members[1:]},
    ]
    stage = {
        "stage_id": "s",
        "name": "Stage",
        "modules": [one for one in modules if one["concepts"]],
    }
    return parse_roadmap(
        {"roadmap_id": name, "title": f"Title of {name}", "stages": [stage]}, source=name
    )


async def save(
    store: Store,
    claim: Claim,
    concept: str,
    *steps: str,
    complete: bool = True,
    fallback: str | None = None,
) -> None:
    """Save artifacts of a concept, and set it to completed if it is ``complete``."""
    for step in steps:
        done = ConceptState(concept_id=concept, status="completed")
        artifact = Artifact(
            concept_id=concept,
            step=step,
            content=CONTENTS.get(step, '{"note": "kept as it is"}'),
            model="m",
            prompt_tokens=10,
            completion_tokens=20,
            cost=0.25,
            seconds=1.5,
            attempts=1,
            fallback=fallback,
        )
        await store.save(claim, artifact, concept=done if complete and step == steps[-1] else None)


async def a_run(
    store: Store,
    roadmap: Roadmap,
    status: RunStatus = "queued",
    *,
    reason: str | None = None,
    share: Share = DEFAULT_SHARE,
) -> Run:
    """A run with completed concepts; the last one failed, unless the status is ``completed``."""
    run, _ = await store.create_run(roadmap, executor="in-process", new=True, share=share)
    if status == "queued":
        return run
    claim = await store.claim(run.run_id, "a-worker", lease=30)
    assert claim is not None
    concepts = [concept.concept_id for _, _, concept in roadmap.concepts()]
    if status != "completed":
        bad = ConceptState(
            concept_id=concepts.pop(),
            status="failed",
            reason=f"malformed answer: {HOSTILE}",
            last_answer=f"``` {HOSTILE}",
        )
        spent = Spent(attempts=4, prompt_tokens=40, completion_tokens=60, cost=0.5)
        charge = Charge(concept_id=bad.concept_id, step="tutorial", spent=spent)
        await store.save_concept(claim, bad, charge=charge)
    for concept in concepts:
        await save(store, claim, concept, "tutorial", "resources", "quiz")
    if status != "running":
        await store.finish(claim, status, reason)
    return await store.run(run.run_id)
