"""``paceline simulator``."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from paceline.text import parse_pairs

from paceline_adapters.simulator.faults import FAULTS

if TYPE_CHECKING:
    from paceline_adapters.simulator.options import SimulatorOptions
    from paceline_adapters.simulator.server import SimulatorServer

#: Maximum number of open files; each connection is one, and the usual soft limit is 1024.
_MAX_FILES = 65_536

_EPILOG = "Faults:\n\n\b\n" + "\n".join(f"  {name:<15} {text}" for name, text in FAULTS.items())


_HELP = """Run a simulated LLM provider with an OpenAI-compatible API.

It answers paceline's requests with plausible content after the latency of a real model.
Quotas and faults are optional. It counts the calls and tokens that a provider would bill.
Press Ctrl-C to stop it.

\b
Examples:
  paceline simulator
      latencies of a real model
  paceline simulator --speed 100
      a hundred times faster
  paceline simulator --rpm 100 --fault 500=0.02
      a quota, and 2 % of the calls fail
  paceline simulator --fault 503=1 --fault-first 2
      each prompt fails twice, then succeeds
  curl http://127.0.0.1:8089/__paceline/stats
      show requests and billed calls
"""


def _pairs(_: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    try:
        return parse_pairs(values, form=str(option.metavar))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(help=_HELP, epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=int,
    default=8089,
    show_default=True,
    help="Port to listen on; 0 picks a free port.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of latencies, contents and faults."
)
@click.option(
    "--speed", type=float, default=1.0, show_default=True, help="Divide latencies by this factor."
)
@click.option(
    "--latency",
    "latency",
    multiple=True,
    callback=_pairs,
    metavar="STEP=LOW-HIGH",
    help="Seconds per call of a step. Repeatable.  "
    "[default: tutorial=20-30, resources=15-20, quiz=10-15, default=1-2]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Name of an available model. Repeatable.  "
    "[default: gpt-4o-mini, gpt-4o, gpt-4.1-mini, gpt-5-mini, simulated]",
)
@click.option(
    "--api-key", metavar="KEY", help="Require this key (mandatory when --host is not loopback)."
)
@click.option("--rpm", type=int, metavar="N", help="Limit of requests per minute.")
@click.option(
    "--tpm", type=int, metavar="N", help="Limit of tokens per minute, charged at admission."
)
@click.option(
    "--quota-window",
    type=float,
    metavar="SECONDS",
    help="Length of the quota's minute in real time.  [default: 60]",
)
@click.option("--max-concurrency", type=int, metavar="N", help="Limit of calls in flight.")
@click.option(
    "--knee", type=int, metavar="N", help="Calls in flight above which calls take longer."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=_pairs,
    metavar="NAME=RATE",
    help="Rate of a fault, from 0 to 1 (see Faults below). Repeatable.",
)
@click.option(
    "--fault-first",
    type=int,
    metavar="N",
    help="Apply faults only to the first N attempts at a prompt.",
)
@click.option(
    "--schema-support/--no-schema-support",
    default=True,
    help="Accept or reject JSON schemas in response_format.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append one line of JSON per request to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the address, as JSON.")
def simulator(models: Sequence[str], as_json: bool, **given: object) -> NoReturn:
    """Run the simulator until a signal; exit with 128 + its number."""
    options = _options({**given, "models": tuple(models) or None})
    sys.exit(128 + _serve(options, as_json=as_json))


def _options(given: dict[str, object]) -> "SimulatorOptions":
    """Validate the options; those that were not given keep their defaults."""
    from pydantic import ValidationError

    from paceline_adapters.simulator.options import SimulatorOptions

    try:
        return SimulatorOptions.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        # The values stay out of the text, because one of them may be a key.
        faults = [
            "".join(f"--{str(part).replace('_', '-')}: " for part in fault["loc"][:1])
            .replace("--faults", "--fault")
            .replace("--models", "--model")
            + fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise click.UsageError("; ".join(faults)) from None


def _serve(options: "SimulatorOptions", *, as_json: bool) -> int:
    """Run until a signal; returns its number."""
    import asyncio
    import errno

    from paceline_adapters.simulator.server import serve

    _allow_many_connections()

    def ready(server: "SimulatorServer") -> None:
        if as_json:
            click.echo(json.dumps({"base_url": server.base_url, "port": server.port}))
            return
        click.echo(f"Simulator listening on {server.base_url}")
        key = "KEY" if options.api_key else "any"
        click.echo(
            f"To use it with paceline:  PACELINE_PROVIDER__BASE_URL={server.base_url} "
            f"PACELINE_PROVIDER__API_KEY={key} paceline run …"
        )

    try:
        return asyncio.run(serve(options, ready))
    except KeyboardInterrupt:  # before the server listened
        return signal.SIGINT
    except OSError as error:
        address = error.filename or f"{options.host}:{options.port}"
        if error.errno == errno.EADDRINUSE:
            message = f"{address} is in use; choose another --port, or --port 0 for a free port"
        else:
            message = f"{address}: {error.strerror or error}"
        raise click.ClickException(message) from None


def _allow_many_connections() -> None:
    """Raise the soft limit of open files as far as allowed."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
