"""Worker processes that run until the command that started them ends."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

from paceline.errors import PartUnavailable
from paceline.settings.load import BY_NAME, TOML_BEGINS, Loaded, Value

#: Seconds that a worker may take to end after its grace period.
STOP_TIMEOUT = 10.0


@asynccontextmanager
async def local_workers(loaded: Loaded, count: int) -> AsyncGenerator[None]:
    """Start ``count`` processes ``paceline worker`` with these settings; stop them at the end.

    Raises:
        PartUnavailable: a worker ended by itself.
    """
    processes = [await _start(loaded) for _ in range(count)]
    owner = asyncio.current_task()
    lost: list[int] = []

    async def watch(process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        lost.append(code)
        if owner is not None:
            owner.cancel()

    watchers = [asyncio.create_task(watch(process)) for process in processes]
    try:
        yield
    except asyncio.CancelledError:
        if not lost:
            raise
        raise PartUnavailable(f"a local worker ended with exit code {lost[0]}") from None
    finally:
        for watcher in watchers:
            watcher.cancel()
        for process in processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        timeout = loaded.settings.run.grace + STOP_TIMEOUT
        for process in processes:
            try:
                async with asyncio.timeout(timeout):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _start(loaded: Loaded) -> asyncio.subprocess.Process:
    """Start a worker; it gets the settings by environment, which no process list shows."""
    environment = {**os.environ, **variables(loaded.given)}
    if loaded.config is not None:
        environment["PACELINE_CONFIG"] = str(loaded.config)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "paceline.cli.tied_worker",
        str(os.getpid()),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        # Ctrl-C at the terminal reaches this process only; it sends SIGTERM to the workers.
        start_new_session=True,
    )


def variables(given: Sequence[Value]) -> dict[str, str]:
    """The environment variables that set what options of this command and ``App.load`` set."""
    found: dict[str, str] = {}
    tables: dict[str, dict[str, object]] = {}
    for value in given:
        # The name of a variable has no capitals, dots or colons: such keys are passed in a table.
        safe = next((i for i in range(len(value.path)) if not _fits(value.path, i)), None)
        name = "PACELINE_" + "__".join(part.upper().replace("-", "_") for part in value.path[:safe])
        ours = value.origin.startswith(("--", "override "))
        if safe is not None and (ours or value.origin == f"environment {name}"):
            table = tables.setdefault(name, {})
            for part in value.path[safe:-1]:
                table = cast("dict[str, object]", table.setdefault(part, {}))
            table[value.path[-1]] = value.value
        elif ours:
            text = str(value.value)
            # Lists, and text that is empty or looks like TOML, are passed as TOML.
            as_toml = not text or text[0] in TOML_BEGINS
            found[name] = _toml(value.value) if as_toml else text
    return found | {name: _toml(table) for name, table in tables.items()}


def _fits(path: Sequence[str], place: int) -> bool:
    part = path[place]
    if place == 1 and path[0] in BY_NAME:
        part = part.replace("-", "_")
    return re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", part) is not None


def _toml(value: object) -> str:
    """A value as TOML in one line; JSON is the same except for tables."""
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        pairs = (f"{json.dumps(key)} = {_toml(one)}" for key, one in table.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)
