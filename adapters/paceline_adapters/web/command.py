"""``paceline serve``."""

import importlib.util

import click
from paceline import PluginError
from paceline.client.terminal.app_options import run_async, settings_options
from paceline.client.terminal.output import show_log
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded

#: What the extra brings.
_NEEDED = ("fastapi", "markdown_it", "nh3", "prometheus_client", "uvicorn", "websockets")


def missing() -> list[str]:
    """What the extra would bring and is not there."""
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


@click.command()
@settings_options
@click.option("--host", help="Address to listen on, instead of web.host.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port, instead of web.port; 0: free.")
@click.option(
    "--worker/--no-worker",
    "work",
    default=True,
    help="Work on runs too: in this process, or for celery and arq in a process of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
def serve(
    *,
    loaded: Loaded,
    plugins: Plugins,
    host: str | None,
    port: int | None,
    work: bool,
    as_json: bool,
) -> int:
    """Serve an HTTP API, live progress and a page to watch; and work on queued runs.

    It listens on loopback. Beyond it, where others can reach it, a bearer token is required:
    see `web.tokens` in the settings. SIGTERM or Ctrl-C lets calls in flight end within
    run.grace seconds; a second one stops at once.

    \b
    Examples:
      paceline serve
      paceline serve --port 0 --no-worker
      curl --json @roadmap.json http://127.0.0.1:8080/api/runs
      curl -N http://127.0.0.1:8080/api/runs/RUN/events
    """
    lacking = missing()
    if lacking:
        raise PluginError(
            f"paceline serve needs {', '.join(lacking)}, not installed: pip install 'paceline[web]'"
        )
    from paceline_adapters.web.server import serve as serve_until_stopped

    show_log(verbose=True)
    return run_async(
        serve_until_stopped(loaded, plugins, host=host, port=port, work=work, as_json=as_json)
    )
