"""Offers the sink ``files``."""

from typing import Annotated

from paceline import Context, Options, Register, Sink, hookimpl
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from paceline_adapters.sinks.file_names import ARTIFACT_FIELDS, RUN_FIELDS, checked_template
from paceline_adapters.sinks.storage_options import as_texts


def _artifact_key(template: str) -> str:
    return checked_template(template, ARTIFACT_FIELDS, required=(("id",), ("concept", "step")))


def _run_key(template: str) -> str:
    return checked_template(
        template, RUN_FIELDS, required=(("id",), ("run",), ("roadmap",)), endings=(".json",)
    )


class FilesOptions(Options):
    """Options of the sink ``files``."""

    url: str = Field(min_length=1, max_length=1000)
    """Folder to write to: a local path, or a URL of fsspec such as ``s3://bucket/content``."""
    key: Annotated[str, AfterValidator(_artifact_key)] = (
        "{roadmap}/{run}/{concept}/{step}/v{version}.md"
    )
    """Name of the file of an artifact, within the folder: ``.md`` for Markdown, ``.json`` for all
    that is known of it."""
    run_key: Annotated[str, AfterValidator(_run_key)] = "{roadmap}/{run}/run.json"
    """Name of the file that says how a run ended."""
    storage: Annotated[dict[str, SecretStr], BeforeValidator(as_texts)] = Field(
        default_factory=dict[str, SecretStr], max_length=100
    )
    """Options of the file system, as fsspec names them, such as ``endpoint_url``, ``key`` and
    ``secret`` of S3."""


def _files(options: FilesOptions, _: Context) -> Sink:
    from paceline_adapters.sinks.files import FilesSink

    return FilesSink(options)


@hookimpl
def paceline_register_sinks(register: Register[Sink]) -> None:
    """Offer the sink."""
    register(
        "files",
        _files,
        options=FilesOptions,
        summary="Writes a file for each version: in a local folder, S3, R2, GCS and others.",
        advice="S3 also needs s3fs, and GCS gcsfs: pip install s3fs",
    )
