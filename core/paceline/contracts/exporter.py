"""The contract of exporters: how the content of a run becomes files."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from paceline.contracts.steps.questions import Card, Question
from paceline.contracts.storage.records import Artifact, ConceptState, Run
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedArtifact:
    """What a step made for one concept, in the forms that exporters need.

    Attributes:
        artifact: the artifact as it is stored.
        content: the content as Markdown; headings start at level 2.
        solutions: what a learner reads after trying, as Markdown; empty for most steps.
        questions: the questions of the content, as the step returns them.
        cards: the flashcards of the content, as the step returns them.
        remark: one line on why another model than the preferred one wrote it; usually empty.
    """

    artifact: Artifact
    content: str
    solutions: str = ""
    questions: Sequence[Question] = ()
    cards: Sequence[Card] = ()
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedConcept:
    """A concept of the run, with its place in the roadmap and without its content.

    Attributes:
        stage: its stage.
        module: its module.
        concept: the concept.
        state: its status in the run.
        steps: names of the steps with an artifact.
        missing: names of the steps without one, in the order of the settings.
        remark: one line on why the concept is not complete; empty if it is complete.
        file_name: a file name without a suffix. It is safe on every file system, unique in the
            run, and sorts in the order of the roadmap.
    """

    stage: Stage
    module: Module
    concept: Concept
    state: ConceptState
    steps: Sequence[str]
    missing: Sequence[str]
    remark: str
    file_name: str


class ExportedRun(ABC):
    """What exists of a run at one moment. What workers save later is left out.

    Attributes:
        run: the run.
        roadmap: its roadmap.
        summary: how many concepts are missing; empty if all are complete.
        concepts: the concepts of the run, in the order of the roadmap.
    """

    run: Run
    roadmap: Roadmap
    summary: str
    concepts: Sequence[ExportedConcept]

    @abstractmethod
    async def artifacts(self, concept: ExportedConcept) -> Sequence[ExportedArtifact]:
        """Read the artifacts of one concept, in the order of the steps.

        A large run does not fit into memory: read one concept, write it, then read the next.

        Raises:
            PluginError: a step failed to return its questions or cards.
        """

    @property
    def made(self) -> Sequence[str]:
        """Names of all steps with an artifact, each once, in the order of first use."""
        return list(dict.fromkeys(step for concept in self.concepts for step in concept.steps))


class Exporter:
    """Writes the content of a run in one format.

    Extend ``FileExporter`` or ``FolderExporter``. The exporter returns names and contents.
    paceline writes them, each file completely or not at all, and refuses to replace a file
    without ``--force``. Raise ``UsageError`` if the run has nothing for the format.

    The same run must give the same bytes, so use neither the time nor random values.
    """


class FileExporter(Exporter, ABC):
    """Writes one file.

    Attributes:
        suffix: the usual ending of the file, such as ``.json``.
        text: whether the file is text. Text is printed if ``--to`` is not given.
    """

    suffix: ClassVar[str]
    text: ClassVar[bool] = True

    @abstractmethod
    def pieces(self, run: ExportedRun) -> AsyncIterator[str | bytes]:
        """Yield the file in pieces. Text is written as UTF-8."""


class FolderExporter(Exporter, ABC):
    """Writes a folder of files."""

    @abstractmethod
    def names(self, run: ExportedRun) -> Sequence[str]:
        """Names of all files; the first one is where a reader begins. No name is a path."""

    @abstractmethod
    def files(self, run: ExportedRun) -> AsyncIterator[tuple[str, str | bytes]]:
        """Yield each file as its name and its content. Text is written as UTF-8.

        Yield the first of ``names`` last: then its existence says that the export is complete.
        """
