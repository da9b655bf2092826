"""What an author declares for an executor, and how the suite sets up a site for it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from paceline.testing.contracts.contract import Contract
from paceline.testing.contracts.executor.site import Site, open_site


class ExecutorScenarios(Contract):
    """How the suite configures the executor under test."""

    virtual: ClassVar[bool] = False
    executor: ClassVar[str] = ""
    modules: ClassVar[Sequence[str]] = ()
    inspects: ClassVar[bool] = False
    broker: ClassVar[bool] = False
    patience: ClassVar[float] = 60.0
    settles: ClassVar[float] = 0.5

    def settings(self) -> Mapping[str, Any]:
        """The settings that your executor needs, as in a settings file.

        Put its options under ``executors``. Its server may have a section of its own, such as
        ``redis``. The queue must be empty when a test starts.
        """
        return {}

    def unreachable(self) -> Mapping[str, Any]:
        """Settings with an unreachable broker. Called only if you declare ``broker``."""
        raise NotImplementedError(f"{type(self).__name__}.unreachable() makes such settings")

    @asynccontextmanager
    async def site(self, given: Mapping[str, Any] | None = None) -> AsyncGenerator[Site]:
        """Open a new site with an empty queue. `given` replaces `settings`."""
        if not self.executor:
            raise NotImplementedError(f"{type(self).__name__}.executor names the executor to test")
        chosen = self.settings() if given is None else given
        async with open_site(chosen, self.executor, self.modules, self.patience) as site:
            yield site
