"""Versions of artifacts, and requests to make an artifact again."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from paceline.contracts.storage.records import Artifact, Run
from paceline.contracts.storage.seeds import Copy
from paceline.errors import UsageError

#: Maximum length of an instruction, in characters.
MAX_INSTRUCTION = 10_000
#: Maximum length of the name of the person or program that asks, in characters.
MAX_REQUESTER = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A request to make one artifact again.

    Attributes:
        concept_id: id of the concept.
        step: name of the step.
        instruction: what to change, for the model; ``None`` for another attempt.
        tenant: tenant of the client that asked.
        requested_by: who asked, as free text.
        number: number of the request; rises with each request for the same artifact. The store
            sets it.
        requested_at: when it was requested. The store sets it.

    Raises:
        UsageError: the instruction or the name is empty or too long.
    """

    concept_id: str
    step: str
    instruction: str | None = None
    tenant: str = ""
    requested_by: str | None = None
    number: int = 0
    requested_at: datetime | None = None

    def __post_init__(self) -> None:
        """Check the lengths."""
        for name, text, most in (
            ("instruction", self.instruction, MAX_INSTRUCTION),
            ("requested_by", self.requested_by, MAX_REQUESTER),
        ):
            if text is not None and not 0 < len(text.strip()) <= len(text) <= most:
                raise UsageError(f"{name} must have 1 to {most} characters, got {len(text)}")

    @property
    def place(self) -> tuple[str, str]:
        """Concept and step."""
        return self.concept_id, self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactMark:
    """An artifact without its content.

    Attributes:
        concept_id: id of the concept.
        step: name of the step.
        version: number of the current version.
        model: name of the model that wrote it.
        stale: whether an artifact that it was made from has another version since.
        input_hash: hash of what it was made from; ``None`` if that is unknown.
    """

    concept_id: str
    step: str
    version: int
    model: str
    stale: bool
    input_hash: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Concept and step."""
        return self.concept_id, self.step


class VersionStore(ABC):
    """Keeps the versions of artifacts, one of them current, and requests for new versions."""

    @abstractmethod
    async def marks(
        self, run_id: str, *, concepts: Sequence[str] | None = None
    ) -> Sequence[ArtifactMark]:
        """List artifacts without content, in the order of the roadmap: of ``concepts``, or all."""

    @abstractmethod
    async def versions(self, run_id: str, concept_id: str, step: str) -> Sequence[Artifact]:
        """List all versions of an artifact by number; ``current`` marks one of them."""

    @abstractmethod
    async def find_inputs(
        self, hashes: Sequence[str], tenants: Sequence[str]
    ) -> Mapping[str, Copy]:
        """Find current artifacts that were made from these inputs, by hash; the newest of each.

        Args:
            hashes: hashes of inputs.
            tenants: only artifacts of runs of these tenants; the empty name matches runs
                without a tenant.
        """

    @abstractmethod
    async def add_artifacts(
        self, run_id: str, artifacts: Sequence[Artifact], *, steps: Sequence[str]
    ) -> Run:
        """Add artifacts that were made outside, each as the current version of its step.

        Concepts with artifacts of all ``steps`` become completed. A run that has ended, and
        lacks nothing more, becomes completed. Artifacts of unknown concepts are ignored.

        Args:
            run_id: id of the run.
            artifacts: the artifacts.
            steps: the steps of the run.

        Raises:
            RunNotFound: no run has that id.
            RunInWork: the run is queued or running.
        """

    @abstractmethod
    async def request_revisions(
        self, run_id: str, requests: Sequence[Revision], *, executor: str
    ) -> Run:
        """Ask for new versions of artifacts, and queue the run if it has ended.

        The concepts become ``pending``. The artifacts stay current until ``save`` replaces them.
        A request for the same artifact replaces an earlier one. If the run is running, its
        owner's ``finish`` queues it again; if it is paused, it stays so. Journaled results of
        the steps are deleted. Requests for artifacts that do not exist are ignored.

        Args:
            run_id: id of the run.
            requests: the requests, one per artifact.
            executor: the executor that a queued run is submitted to.

        Raises:
            RunNotFound: no run has that id.
        """

    @abstractmethod
    async def revisions(self, run_id: str) -> Sequence[Revision]:
        """List the requests that no save has fulfilled, in the order of the roadmap."""

    @abstractmethod
    async def restore(
        self, run_id: str, concept_id: str, step: str, version: int, *, stale: Sequence[str] = ()
    ) -> Artifact | None:
        """Make an older version of an artifact current again; nothing is generated.

        A pending request for the artifact is removed. If the version is current already, only
        that happens.

        Args:
            run_id: id of the run.
            concept_id: id of the concept.
            step: name of the step.
            version: number of the version.
            stale: steps of the concept that were made from this one: they become stale.

        Returns:
            The artifact, which is now current; ``None`` if there is no such version.
        """
