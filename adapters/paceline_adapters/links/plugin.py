"""Registers the check ``links``."""

from paceline import Check, Context, Options, Register, hookimpl
from pydantic import Field


class LinksOptions(Options):
    """Options of the check ``links``."""

    at_least: int = Field(default=1, ge=0, le=100)
    """Number of working links that must remain; with fewer, the answer is sent back once."""
    timeout: float = Field(default=10.0, gt=0, le=300)
    """Maximum seconds for one address, redirects included."""
    per_host: int = Field(default=2, ge=1, le=20)
    """Maximum requests to one host at once, in each process."""
    keep: float = Field(default=3600.0, ge=0, le=7 * 24 * 3600)
    """Seconds for which a process remembers the result for an address."""
    private: bool = False
    """Whether to request private addresses, such as those of this machine and network."""


def _make(options: LinksOptions, context: Context) -> Check:  # noqa: ARG001
    from paceline_adapters.links.check import LinkCheck
    from paceline_adapters.links.visitor import Visitor

    visitor = Visitor(
        timeout=options.timeout,
        per_host=options.per_host,
        keep=options.keep,
        private=options.private,
    )
    return LinkCheck(visitor, at_least=options.at_least)


@hookimpl
def paceline_register_checks(register: Register[Check]) -> None:
    """Register the check."""
    register(
        "links",
        _make,
        options=LinksOptions,
        summary="Visits every address of an answer; replaces redirects and removes dead ones.",
    )
