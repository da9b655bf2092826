"""What all suites share: running a scenario, and tests that depend on a capability."""

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
    """Run a test only if the suite sets all of these class attributes to true."""

    def mark(test: T) -> T:
        setattr(test, _CAPABILITIES, capabilities)
        return test

    return mark


class Contract:
    """The base of the suites.

    Declare:
        virtual: whether the part uses asyncio only, so that its scenarios run in virtual time.
            Otherwise they run in real time on an ordinary event loop.
        examples: number of random scenarios that each property tries.
    """

    virtual: ClassVar[bool] = True
    examples: ClassVar[int] = 40
    #: Closed at the end of the current scenario.
    opened: AsyncExitStack

    def __init_subclass__(cls, **options: Any) -> None:
        """Leave out the tests of capabilities that this class does not declare."""
        super().__init_subclass__(**options)
        # In source order, so that every pytest process collects the tests in the same order.
        for name in dict.fromkeys(name for base in cls.__mro__[1:] for name in vars(base)):
            if name in vars(cls):
                continue
            test = next((vars(b)[name] for b in cls.__mro__ if vars(b).get(name)), None)
            capabilities: tuple[str, ...] = getattr(test, _CAPABILITIES, ())
            if capabilities:
                declared = all(getattr(cls, capability) for capability in capabilities)
                setattr(cls, name, test if declared else None)

    def runner(self, seed: int | None = None) -> asyncio.Runner:
        """Create a loop for one scenario. In virtual time, `seed` shuffles ready callbacks."""
        if self.virtual:
            return asyncio.Runner(loop_factory=lambda: VirtualLoop(seed=seed))
        return asyncio.Runner()

    def play(self, scenario: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
        """Run a scenario, then close what it opened."""

        async def run_and_close() -> T:
            async with AsyncExitStack() as self.opened:
                return await scenario

        runner = self.runner(seed)
        try:
            result = runner.run(run_and_close())
        except BaseException:
            self.abandon(runner)
            raise
        runner.close()
        return result

    def abandon(self, runner: asyncio.Runner) -> None:
        """Close the loop after a failure, and ignore errors of the tasks that remain."""
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        with suppress(Deadlock):
            runner.close()

    def bounds(self, steps: int = 20) -> settings:
        """Settings of the search by Hypothesis."""
        return settings(
            max_examples=self.examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            # Without Phase.explain, which takes longer than finding an example.
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
        )


async def rounds(count: int) -> None:
    """Let the event loop run `count` iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


def scenario(
    test: Callable[Concatenate[C, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[C, P], None]:
    """Make an ``async def`` test a plain one that runs as a scenario of its suite."""

    @functools.wraps(test)
    def run(suite: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        suite.play(test(suite, *args, **kwargs))

    return run
