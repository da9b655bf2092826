"""The strategy ``unbounded``: no limit, everything starts at once."""

from paceline import Context, Level, NoOptions, Permit, Register, Strategy, Work, hookimpl


class Unbounded(Strategy):
    """Limits neither concepts nor calls."""

    levels: frozenset[Level] = frozenset()

    async def admit(self, work: Work) -> Permit:  # noqa: ARG002
        """Admit at once."""
        return Permit()

    def explain(self) -> str:
        """Report that there is no limit."""
        return "no limit"


def _make(_: NoOptions, __: Context) -> Strategy:
    return Unbounded()


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Register the strategy."""
    register(
        "unbounded",
        _make,
        options=NoOptions,
        summary="Starts everything at once: the fastest, until a quota or memory is exhausted.",
        advice="Use it if your provider can take any load you send. Only "
        "`provider.max_connections` limits the calls.",
    )
