"""Registers the exporters ``html``, ``gift``, ``qti`` and ``anki``."""

from paceline import Context, Exporter, NoOptions, Options, Register, hookimpl
from pydantic import Field


class HtmlOptions(Options):
    """Options of the exporter ``html``."""

    language: str = Field(default="en", pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
    """Language of the content as a tag such as ``en`` or ``zh-Hans``; screen readers use it."""


def _html(options: HtmlOptions, context: Context) -> Exporter:  # noqa: ARG001
    from paceline_adapters.exporters.html_site import HtmlExporter

    return HtmlExporter(language=options.language)


def _gift(options: NoOptions, context: Context) -> Exporter:  # noqa: ARG001
    from paceline_adapters.exporters.gift import GiftExporter

    return GiftExporter()


def _qti(options: NoOptions, context: Context) -> Exporter:  # noqa: ARG001
    from paceline_adapters.exporters.qti import QtiExporter

    return QtiExporter()


def _anki(options: NoOptions, context: Context) -> Exporter:  # noqa: ARG001
    from paceline_adapters.exporters.anki import AnkiExporter

    return AnkiExporter()


@hookimpl
def paceline_register_exporters(register: Register[Exporter]) -> None:
    """Register the exporters."""
    register(
        "html",
        _html,
        options=HtmlOptions,
        summary="A static site, readable offline: an index, and one page per concept.",
    )
    register("gift", _gift, options=NoOptions, summary="Questions as GIFT, for Moodle.")
    register(
        "qti",
        _qti,
        options=NoOptions,
        summary="Questions as a QTI 2.1 package, for Canvas and other learning platforms.",
    )
    register(
        "anki", _anki, options=NoOptions, summary="Flashcards and questions as an Anki package."
    )
