"""Names of the built-in parts, and the module that offers each part."""

from collections.abc import Mapping
from typing import Literal

Kind = Literal[
    "strategy",
    "executor",
    "store",
    "provider",
    "event-bus",
    "ledger",
    "step",
    "check",
    "exporter",
    "sink",
    "telemetry",
    "command",
]

_A, _S = "paceline_adapters", "paceline_strategies"
BUILT_INS: Mapping[Kind, Mapping[str, str]] = {
    "strategy": {
        "unbounded": f"{_S}.unbounded",
        "per-roadmap": f"{_S}.per_roadmap",
        "global": f"{_S}.global_limit",
        "adaptive": f"{_S}.adaptive",
        "budget": f"{_S}.budget",
    },
    "executor": {
        "in-process": f"{_A}.in_process.plugin",
        "celery": f"{_A}.celery.plugin",
        "arq": f"{_A}.arq.plugin",
    },
    "store": {
        "sqlite": f"{_A}.sql.plugin",
        "postgresql": f"{_A}.sql.plugin",
        "memory": f"{_A}.memory.plugin",
    },
    "provider": {"openai": f"{_A}.openai.plugin"},
    "event-bus": {"memory": f"{_A}.memory.plugin", "redis": f"{_A}.redis.plugin"},
    "ledger": {"memory": f"{_A}.memory.plugin", "redis": f"{_A}.redis.plugin"},
    "step": dict.fromkeys(("tutorial", "resources", "quiz"), "paceline.steps.plugin"),
    "check": {"links": f"{_A}.links.plugin"},
    "exporter": {
        **dict.fromkeys(("markdown", "json"), "paceline.client.exporting.plugin"),
        **dict.fromkeys(("html", "gift", "qti", "anki"), f"{_A}.exporters.plugin"),
    },
    "sink": {"files": f"{_A}.sinks.files_plugin", "webhook": f"{_A}.sinks.webhook_plugin"},
    "telemetry": {"otel": f"{_A}.otel.plugin"},
    "command": {
        "bench": f"{_A}.bench.plugin",
        "demo": f"{_A}.demo.plugin",
        "serve": f"{_A}.web.plugin",
        "simulator": f"{_A}.simulator.plugin",
    },
}

#: Summaries of the built-in commands, so that `paceline --help` need not import them.
BUILT_IN_COMMANDS: Mapping[str, str] = {
    "bench": "Compare strategies, executors and stores on your own workload.",
    "demo": "Watch eight roadmaps being generated, without server or key.",
    "serve": "Serve the HTTP API and the progress page, and work on runs.",
    "simulator": "Run a simulated LLM provider with an OpenAI-compatible API.",
}

#: The extra to install, by the module that is missing.
EXTRAS = {
    "celery": "celery",
    "kombu": "celery",
    "arq": "arq",
    "redis": "redis",
    "asyncpg": "postgres",
    "fsspec": "sinks",
    "opentelemetry": "otel",
    "fastapi": "web",
    "starlette": "web",
    "uvicorn": "web",
    "genanki": "exports",
    "markdown_it": "web",
    "nh3": "web",
    "prometheus_client": "web",
}

#: The same for modules that two extras install, by the kind of the part that needs the module.
EXTRAS_BY_KIND: Mapping[tuple[Kind, str], str] = {
    ("exporter", "markdown_it"): "exports",
    ("exporter", "nh3"): "exports",
}

#: The module that draws the page of ``paceline plan --html``.
FORECAST_PAGE = f"{_A}.bench.forecast_page"
