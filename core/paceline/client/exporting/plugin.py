"""Registers the exporters ``markdown`` and ``json``."""

from paceline.contracts.exporter import Exporter
from paceline.contracts.options import NoOptions
from paceline.plugins.context import Context
from paceline.plugins.hookspecs import Register, hookimpl


def _markdown(options: NoOptions, context: Context) -> Exporter:  # noqa: ARG001
    from paceline.client.exporting.markdown import MarkdownExporter

    return MarkdownExporter()


def _json(options: NoOptions, context: Context) -> Exporter:  # noqa: ARG001
    from paceline.client.exporting.json_document import JsonExporter

    return JsonExporter(context.settings.provider.currency)


@hookimpl
def paceline_register_exporters(register: Register[Exporter]) -> None:
    """Register the exporters."""
    register("markdown", _markdown, options=NoOptions, summary="One Markdown file per concept.")
    register("json", _json, options=NoOptions, summary="One JSON document with everything.")
