"""``paceline serve``."""

import importlib.util

import click
from paceline import App, PluginError
from paceline.client.terminal.app_options import app_options, run_async
from paceline.client.terminal.output import show_log

#: Modules of the extra ``paceline[web]``.
_NEEDED = ("fastapi", "markdown_it", "nh3", "prometheus_client", "uvicorn", "websockets")


def missing() -> list[str]:
    """Modules of the extra that are not installed."""
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


@click.command()
@app_options
@click.option("--host", help="Address to listen on; default: the setting web.host.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port to listen on; default: the setting web.port. 0 chooses a free port.",
)
@click.option(
    "--worker/--no-worker",
    "work",
    default=True,
    help="Also work on queued runs: in this process, or (celery, arq) in a worker process.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
def serve(*, app: App, host: str | None, port: int | None, work: bool, as_json: bool) -> int:
    """Serve the HTTP API, live progress and the page, and work on queued runs.

    The server listens on loopback by default. Any other address requires a bearer token: see
    `web.tokens` in the settings. After SIGTERM or Ctrl-C, the server waits up to run.grace
    seconds for calls in flight. A second signal stops it at once.

    \b
    Examples:
      paceline serve
      paceline serve --port 0 --no-worker
      curl --json @roadmap.json http://127.0.0.1:8080/api/runs
      curl -N http://127.0.0.1:8080/api/runs/RUN/events
    """
    if lacking := missing():
        raise PluginError(
            f"paceline serve needs {', '.join(lacking)}. To install: pip install 'paceline[web]'"
        )
    from paceline_adapters.web.server import serve as serve_until_stopped

    show_log(verbose=True)
    return run_async(serve_until_stopped(app, host=host, port=port, work=work, as_json=as_json))
