"""No limit: everything starts at once."""

from paceline import Context, Level, NoOptions, Permit, Register, Strategy, Work, hookimpl


class Unbounded(Strategy):
    """Admits all work at once."""

    levels: frozenset[Level] = frozenset()

    async def admit(self, work: Work) -> Permit:  # noqa: ARG002
        """Admit."""
        return Permit()

    def explain(self) -> str:
        """Say that there is no limit."""
        return "no limit"


def _make(_: NoOptions, __: Context) -> Strategy:
    return Unbounded()


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer the strategy."""
    register(
        "unbounded",
        _make,
        options=NoOptions,
        summary="Starts everything at once: the fastest until a quota or the memory ends.",
        advice="for a load that fits your provider whatever comes; nothing holds calls back "
        "but `provider.max_connections`.",
    )
