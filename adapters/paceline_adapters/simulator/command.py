"""``paceline simulator``."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from paceline.client.terminal.app_options import pairs

from paceline_adapters.simulator.faults import FAULTS

if TYPE_CHECKING:
    from paceline_adapters.simulator.options import SimulatorOptions
    from paceline_adapters.simulator.server import SimulatorServer

#: Open files, at most: each connection is one, and the usual soft limit is 1024.
_FILES = 65_536

_EPILOG = "Faults:\n\n\b\n" + "\n".join(f"  {name:<15} {text}" for name, text in FAULTS.items())


_HELP = """Run a pretended LLM provider that speaks OpenAI's protocol.

It answers what paceline asks with plausible content, as slowly as a real model, within
limits and with faults if you want, and counts what a provider would bill.

\b
A provider as slow as the real one:
  paceline simulator
A hundred times faster, for a try:
  paceline simulator --speed 100
A quota, and one call in fifty fails:
  paceline simulator --rpm 100 --fault 500=0.02
Fails twice, then works:
  paceline simulator --fault 503=1 --fault-first 2
What was asked and paid until now:
  curl http://127.0.0.1:8089/__paceline/stats

It stops at Ctrl-C.
"""


@click.command(help=_HELP, epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=int, default=8089, show_default=True, help="Port to listen on; 0: a free one."
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Latencies, contents and faults follow from it and the prompt.",
)
@click.option(
    "--speed", type=float, default=1.0, show_default=True, help="Latencies are divided by it."
)
@click.option(
    "--latency",
    "latency",
    multiple=True,
    callback=pairs,
    metavar="STEP=LOW-HIGH",
    help="Seconds that a step takes; may be repeated.  "
    "[default: tutorial=20-30, resources=15-20, quiz=10-15, default=1-2]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model it knows; may be repeated.  "
    "[default: gpt-4o-mini, gpt-4o, gpt-4.1-mini, gpt-5-mini, simulated]",
)
@click.option("--api-key", metavar="KEY", help="Take this key only; needed beyond loopback.")
@click.option("--rpm", type=int, metavar="N", help="Requests per minute.")
@click.option("--tpm", type=int, metavar="N", help="Tokens per minute, charged at admission.")
@click.option(
    "--quota-window",
    type=float,
    metavar="SECONDS",
    help="Length of that minute, in real time.  [default: 60]",
)
@click.option("--max-concurrency", type=int, metavar="N", help="Calls in flight.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=pairs,
    metavar="NAME=RATE",
    help="Let a share of the calls fail, from 0 to 1; may be repeated.",
)
@click.option(
    "--fault-first", type=int, metavar="N", help="Faults hit the first N attempts at a prompt only."
)
@click.option(
    "--schema-support/--no-schema-support",
    default=True,
    help="Whether it knows JSON schemas in response_format.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append one line of JSON for each request.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the address as JSON, and nothing else."
)
def simulator(
    models: Sequence[str],
    as_json: bool,
    **given: object,
) -> NoReturn:
    """Run a simulated provider until a signal; its number decides the exit code."""
    options = _options({**given, "models": tuple(models) or None})
    sys.exit(128 + _serve(options, as_json=as_json))


def _options(given: dict[str, object]) -> "SimulatorOptions":
    """The options; what was not given keeps its default."""
    from pydantic import ValidationError

    from paceline_adapters.simulator.options import SimulatorOptions

    try:
        return SimulatorOptions.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        # The inputs stay out of the text: one of them may be a key.
        faults = [
            "".join(f"--{str(part).replace('_', '-')}: " for part in fault["loc"][:1])
            .replace("--faults", "--fault")
            .replace("--models", "--model")
            + fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise click.UsageError("; ".join(faults)) from None


def _serve(options: "SimulatorOptions", *, as_json: bool) -> int:
    """Run until a signal, and return its number."""
    import asyncio
    import errno

    from paceline_adapters.simulator.server import serve

    _allow_many_connections()

    def ready(server: "SimulatorServer") -> None:
        if as_json:
            click.echo(json.dumps({"base_url": server.base_url, "port": server.port}))
            return
        click.echo(f"Simulator listening on {server.base_url}")
        key = "its-key" if options.api_key else "any"
        click.echo(
            f"Point paceline at it:  PACELINE_PROVIDER__BASE_URL={server.base_url} "
            f"PACELINE_PROVIDER__API_KEY={key} paceline run …"
        )

    try:
        return asyncio.run(serve(options, ready))
    except KeyboardInterrupt:  # it came before we listened
        return signal.SIGINT
    except OSError as error:
        place = error.filename or f"{options.host}:{options.port}"
        if error.errno == errno.EADDRINUSE:
            message = f"{place} is in use; choose another --port, or --port 0 for a free one"
        else:
            message = f"{place}: {error.strerror or error}"
        raise click.ClickException(message) from None


def _allow_many_connections() -> None:
    """Raise the soft limit of open files as far as it may go."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
