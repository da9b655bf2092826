"""What all suites share: how a scenario runs, and how a capability brings its tests."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from hypothesis import HealthCheck, Phase, settings

from paceline.testing.virtual_time import Deadlock, VirtualLoop

T = TypeVar("T")
P = ParamSpec("P")
C = TypeVar("C", bound="Contract")

_CAPABILITIES = "paceline_capabilities"


def when(*capabilities: str) -> Callable[[T], T]:
    """A test only of parts that declare these capabilities: the class attributes are true."""

    def mark(test: T) -> T:
        setattr(test, _CAPABILITIES, capabilities)
        return test

    return mark


class Contract:
    """The base of the suites.

    Declare:
        virtual: whether the part is all asyncio, so that its scenarios run in virtual time;
            otherwise they take real time, on an event loop of their own.
        examples: how many random scenarios each property tries.
    """

    virtual: ClassVar[bool] = True
    examples: ClassVar[int] = 40
    #: What the present scenario opened and closes in the end.
    opened: AsyncExitStack

    def __init_subclass__(cls, **options: Any) -> None:
        """Leave out the tests of capabilities that this class does not declare."""
        super().__init_subclass__(**options)
        # In the order in which they are written, the same in each process that collects them.
        for name in dict.fromkeys(name for base in cls.__mro__[1:] for name in vars(base)):
            if name in vars(cls):
                continue
            test = next((vars(b)[name] for b in cls.__mro__ if vars(b).get(name)), None)
            capabilities: tuple[str, ...] = getattr(test, _CAPABILITIES, ())
            if capabilities:
                declared = all(getattr(cls, capability) for capability in capabilities)
                setattr(cls, name, test if declared else None)

    def runner(self, seed: int | None = None) -> asyncio.Runner:
        """An event loop for one scenario; `seed` shuffles what is ready at once, if it can."""
        if self.virtual:
            return asyncio.Runner(loop_factory=lambda: VirtualLoop(seed=seed))
        return asyncio.Runner()

    def play(self, scenario: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
        """Run a scenario to its end."""

        async def and_close() -> T:
            async with AsyncExitStack() as self.opened:
                return await scenario

        runner = self.runner(seed)
        try:
            result = runner.run(and_close())
        except BaseException:
            self.abandon(runner)
            raise
        runner.close()
        return result

    def abandon(self, runner: asyncio.Runner) -> None:
        """Close the loop of a scenario that is judged.

        Its verdict is the news, not who is left waiting in it, or what a task raised unheard.
        """
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        with suppress(Deadlock):
            runner.close()

    def bounds(self, steps: int = 20) -> settings:
        """How long Hypothesis searches."""
        return settings(
            max_examples=self.examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            # To explain an example takes longer than to find it.
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
        )


async def rounds(count: int) -> None:
    """Let the event loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def scenario(
    test: Callable[Concatenate[C, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[C, P], None]:
    """Make a test of a coroutine: it is one scenario of its suite."""

    @functools.wraps(test)
    def played(suite: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        suite.play(test(suite, *args, **kwargs))

    return played
