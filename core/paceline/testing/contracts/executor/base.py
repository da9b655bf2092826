"""What an author says of an executor, and how the suite comes by a place to try it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from paceline.testing.contracts.contract import Contract
from paceline.testing.contracts.executor.site import Site, a_site


class ExecutorScenarios(Contract):
    """How the suite comes by workers."""

    virtual: ClassVar[bool] = False
    executor: ClassVar[str] = ""
    modules: ClassVar[Sequence[str]] = ()
    inspects: ClassVar[bool] = False
    broker: ClassVar[bool] = False
    patience: ClassVar[float] = 60.0
    settles: ClassVar[float] = 0.5

    def settings(self) -> Mapping[str, Any]:
        """What the settings must say for your executor, as a settings file would.

        Its options stand under ``executors``; where it is, as under ``redis``. The queue must
        be empty when a test begins.
        """
        return {}

    def unreachable(self) -> Mapping[str, Any]:
        """Settings under which no broker answers; asked only where you declare ``broker``."""
        raise NotImplementedError(f"{type(self).__name__}.unreachable() gives such settings")

    @asynccontextmanager
    async def site(self, given: Mapping[str, Any] | None = None) -> AsyncGenerator[Site]:
        """A new place with an empty queue; `given` replaces `settings`."""
        if not self.executor:
            raise NotImplementedError(f"{type(self).__name__}.executor names the executor to test")
        chosen = self.settings() if given is None else given
        async with a_site(chosen, self.executor, self.modules, self.patience) as site:
            yield site
