"""Writes each delivery to a file. A second delivery writes the same file again."""

import errno
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, cast

import fsspec  # pyright: ignore[reportMissingTypeStubs]
from fsspec.implementations.local import (  # pyright: ignore[reportMissingTypeStubs]
    LocalFileSystem,
)
from paceline import Delivery, Finding, PluginError, SettingsError, Sink, SinkUnavailable

from paceline_adapters.sinks.daemon_thread import in_daemon_thread
from paceline_adapters.sinks.file_names import file_name
from paceline_adapters.sinks.files_plugin import FilesOptions
from paceline_adapters.sinks.storage_options import as_values

#: Errors of one file name, which no other file has.
_OF_NAME = frozenset({errno.ENAMETOOLONG, errno.EISDIR})
#: Protocols without folders. To make one there would create a missing bucket.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "oci"})
#: The package to install, by the scheme of the URL.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}


class FilesSink(Sink):
    """Files in a folder of any file system of fsspec.

    Raises:
        PluginError: the package for the URL's scheme is not installed.
        SettingsError: the URL or an option of the file system is wrong.
    """

    batch = 50

    def __init__(self, options: FilesOptions) -> None:
        self._options = options
        self._files, self._root = _file_system(options)
        protocol: str | tuple[str, ...] = self._files.protocol
        names = (protocol,) if isinstance(protocol, str) else protocol
        self._object_store = not _OBJECT_STORES.isdisjoint(names)

    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        """Write the files of a batch, one after the other."""
        stopped = Event()
        try:
            return await in_daemon_thread(lambda: self._write_all(batch, stopped))
        finally:
            stopped.set()

    def _write_all(self, batch: Sequence[Delivery], stopped: Event) -> dict[str, str]:
        rejected: dict[str, str] = {}
        delivered: list[str] = []
        for delivery in batch:
            if stopped.is_set():
                break
            path = self._path(delivery)
            try:
                self._write(path, _content(path, delivery))
            except Exception as error:  # noqa: BLE001 - each file system has its own errors
                if isinstance(error, OSError) and error.errno in _OF_NAME:
                    rejected[delivery.id] = f"{path}: {_first_line(error)}"
                    continue
                raise SinkUnavailable(
                    f"{path}: {_first_line(error)}", delivered=delivered
                ) from None
            delivered.append(delivery.id)
        return rejected

    def _path(self, delivery: Delivery) -> str:
        options = self._options
        template = options.key if delivery.kind == "artifact" else options.run_key
        return f"{self._root.rstrip('/')}/{file_name(template, delivery)}"

    def _write(self, path: str, content: bytes) -> None:
        if isinstance(self._files, LocalFileSystem):
            _write_local(Path(path), content)
        else:
            if not self._object_store:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, content)

    async def check(self) -> str | Finding:
        """Check that the folder can be reached, or created."""
        place = await in_daemon_thread(self._reach)
        names = self._options.key
        if "{run}" not in names and "{id}" not in names:
            return Finding(
                "warning",
                "sink files",
                f"{place}; another run of the same roadmap, also of another tenant, overwrites "
                f"the files of {names}",
                "add {run} to key",
            )
        return place

    def _reach(self) -> str:
        if isinstance(self._files, LocalFileSystem):
            folder = _existing(Path(self._root))
            if not os.access(folder, os.W_OK | os.X_OK):
                raise SinkUnavailable(f"{folder} is not writable")
            return f"{self._root} is writable"
        try:
            found = self._files.exists(self._root)
        except Exception as error:  # noqa: BLE001 - each file system has its own errors
            raise SinkUnavailable(f"{self._root}: {_first_line(error)}") from None
        return f"{self._root} reached" if found else f"{self._root} does not exist yet"


def _file_system(options: FilesOptions) -> tuple[Any, str]:
    """The file system of a URL, and the folder in it."""
    url = options.url
    make = cast("Callable[..., tuple[Any, str]]", fsspec.url_to_fs)  # pyright: ignore[reportUnknownMemberType]
    try:
        return make(url, **as_values(options.storage))
    except ImportError as error:
        scheme = url.partition("://")[0]
        package = _PACKAGES.get(scheme)
        fix = f"pip install {package}" if package else _first_line(error)
        raise PluginError(f"sink files: {scheme}:// needs another package: {fix}") from None
    except (ValueError, TypeError) as error:
        raise SettingsError(f"url of sink files: {_first_line(error)}") from None


def _content(path: str, delivery: Delivery) -> bytes:
    if path.endswith(".json"):
        text = json.dumps(delivery.to_json(), ensure_ascii=False, indent=2)
    else:
        text = delivery.readable
    return f"{text.rstrip()}\n".encode("utf-8", "replace")


def _write_local(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _existing(folder: Path) -> Path:
    """The folder, or the nearest folder above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
