"""The contract of steps: what is made for a concept, and from which prompt."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, overload

from pydantic import BaseModel, SecretStr

from paceline.contracts.provider import Message, Tool
from paceline.contracts.steps.questions import Card, Question
from paceline.roadmaps.model import Concept
from paceline.text import outline

AnswerT = TypeVar("AnswerT", bound=BaseModel)
ParsedT = TypeVar("ParsedT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The concept that a prompt is about, with its surroundings.

    Attributes:
        roadmap_id: id of the roadmap.
        roadmap_title: title of the roadmap.
        stage: name of the concept's stage.
        module: name of the concept's module.
        concept: the concept.
        prerequisites: names of the concepts that the learner knows already.
        language: language to write in, or ``auto``.
        earlier: answers of earlier steps for the concept, by step name.
        context: the run's context, as it was given at submit: for example the learner's profile.
    """

    roadmap_id: str
    roadmap_title: str
    stage: str
    module: str
    concept: Concept
    prerequisites: Sequence[str] = ()
    language: str = "auto"
    earlier: Mapping[str, BaseModel] = field(default_factory=dict[str, BaseModel])
    context: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a resource.

    Attributes:
        key: the API key to use, of the resource's pool; ``None`` if it has no keys.
    """

    key: SecretStr | None = None


class StepContext(ABC):
    """What a step can do while it makes an artifact.

    Each outbound call is admitted on its own, and paused or cancelled with its run. A step must
    not ask while it holds a resource: that raises ``PluginError``.

    Attributes:
        problems: what the checks found in the previous answer; empty for the first one.
        previous: the previous answer, if the checks sent it back.
        current: the version that a revision replaces, as JSON; ``None`` for a first version.
        instruction: what the revision should change.
    """

    problems: Sequence[str] = ()
    previous: BaseModel | None = None
    current: str | None = None
    instruction: str | None = None

    @overload
    async def ask(
        self,
        messages: Sequence[Message],
        *,
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> BaseModel: ...

    @overload
    async def ask(
        self,
        messages: Sequence[Message],
        *,
        answer: type[AnswerT],
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> AnswerT: ...

    @overload
    async def ask(
        self,
        messages: Sequence[Message],
        *,
        parse: Callable[[str], ParsedT],
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> ParsedT: ...

    @abstractmethod
    async def ask(
        self,
        messages: Sequence[Message],
        *,
        answer: type[BaseModel] | None = None,
        parse: Callable[[str], object] | None = None,
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> object:
        """Ask a model until its answer can be used.

        The call is admitted by the strategy, retried after failures, and repaired if the answer
        does not fit. If a model of the chain cannot answer, the next one is asked. While an
        artifact is revised, calls for the step's own answer end with the current version and
        the instruction.

        Args:
            messages: the prompt.
            answer: model of the answer; the step's own if neither this nor ``parse`` is given.
            parse: makes the result from plain text; it raises ``ValueError`` with a text that
                the model can act on if it cannot.
            model: name of the model, or names in order of fallback; those of
                ``steps.NAME.model`` if ``None``.
            max_tokens: bound of the answer; that of the settings or the step if ``None``.
            temperature: sampling temperature; that of the settings if ``None``.

        Raises:
            PluginError: the step holds a resource, or a model does not exist.
        """

    @abstractmethod
    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool],
        model: str | Sequence[str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Message:
        """Ask a model that may call tools; returns its message.

        The message has ``tool_calls``, or the answer as text. Append the message and one
        ``tool`` message per call to the prompt, and ask again. Arguments as for ``ask``.
        """

    @abstractmethod
    def use(self, resource: str, *, units: int = 1) -> AbstractAsyncContextManager[Use]:
        """Use a resource of ``[resources.NAME]`` within ``async with``.

        The wait for its quota is over all workers. If the resource refuses, raise ``Refused``
        with its ``retry_after`` inside the block: then every worker pauses its uses.

        Args:
            resource: name of the resource.
            units: how many requests of the quota this use takes.
        """

    @overload
    async def once(
        self, name: str, function: Callable[[], Awaitable[ResultT]], *, model: type[ResultT]
    ) -> ResultT: ...

    @overload
    async def once(
        self, name: str, function: Callable[[], Awaitable[ResultT]], *, model: None = None
    ) -> ResultT: ...

    @abstractmethod
    async def once(
        self,
        name: str,
        function: Callable[[], Awaitable[object]],
        *,
        model: type[object] | None = None,
    ) -> object:
        """Do something once, also if the worker is killed afterwards.

        The result is stored before this returns. When the step runs again for the same run and
        concept, it is read back. The results are deleted with the commit of the artifact.

        Args:
            name: unique within the step, for example ``search 1``.
            function: what to do.
            model: type of the result; JSON values if ``None``.

        Raises:
            PluginError: the result is not of that type, or is larger than 1 MiB.
        """

    @abstractmethod
    def tell(self, note: str) -> None:
        """Publish a note about the progress of the concept. Notes are not stored."""


class Step(ABC):
    """One kind of content. Define ``prompt`` for one call, or ``make`` for more.

    A step that raises ``Refused`` or ``Transient`` is made again after a pause, as a call would
    be. Results of ``ctx.once`` are kept. Any other exception fails the concept.
    """

    #: Model of the answer. Its JSON schema is sent along, and its validators check the answer.
    answer: ClassVar[type[BaseModel]]
    #: Maximum length of the answer, in tokens.
    max_tokens: ClassVar[int] = 4096
    #: Names of the steps that must be made before this one; ``None`` means the previous step.
    #: ``steps.NAME.needs`` replaces it.
    needs: Sequence[str] | None = None
    #: Raise it if the step makes other content than before, or if results of ``ctx.once`` get
    #: another form. Earlier results are then not read, and ``--adopt`` takes over no artifact.
    version: ClassVar[int] = 1

    async def make(self, subject: Subject, ctx: StepContext) -> BaseModel:
        """Make the answer for one concept. The default is one call."""
        return await ctx.ask(self.prompt(subject))

    def prompt(self, subject: Subject) -> Sequence[Message]:
        """The messages to send; they must differ between concepts."""
        raise NotImplementedError(f"{type(self).__name__} must define prompt() or make()")

    def template(self) -> str:
        """The source of the prompts. ``--adopt`` takes over artifacts of an equal template."""
        return ""

    def readable(self, answer: BaseModel) -> str:
        """The answer as Markdown, for ``paceline show`` and ``paceline export``.

        Headings start at level 2; level 1 is the concept's name.
        """
        return outline(answer.model_dump(mode="json"))

    def solutions(self, answer: BaseModel) -> str:  # noqa: ARG002
        """What a learner reads after trying, as Markdown; ``readable`` leaves it out.

        It follows the content of all steps, in the section "Answers". Headings start at level 3.
        """
        return ""

    def questions(self, answer: BaseModel) -> Sequence[Question]:  # noqa: ARG002
        """The questions of the answer, for export formats such as GIFT, QTI and Anki.

        Keep their order: formats identify a question by its position.
        """
        return ()

    def cards(self, answer: BaseModel) -> Sequence[Card]:  # noqa: ARG002
        """The flashcards of the answer, for export formats such as Anki.

        Keep their order: formats identify a card by its position.
        """
        return ()
