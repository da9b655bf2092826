"""Worker processes that live as long as the command that started them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from paceline.errors import PartUnavailable
from paceline.settings.load import TOML_BEGINS, Loaded

#: Seconds that a worker may take to end beyond its grace.
PATIENCE = 10.0


@asynccontextmanager
async def local_workers(loaded: Loaded, count: int) -> AsyncGenerator[None]:
    """Start ``paceline worker`` processes with these settings, and stop them in the end.

    Raises:
        PartUnavailable: one of them ended by itself.
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
        patience = loaded.settings.run.grace + PATIENCE
        for process in processes:
            try:
                async with asyncio.timeout(patience):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _start(loaded: Loaded) -> asyncio.subprocess.Process:
    """A worker with the same settings, passed on where no process list shows them."""
    environment = dict(os.environ)
    for value in loaded.given:
        if value.origin.startswith(("--", "override ")):
            name = "PACELINE_" + "__".join(part.upper().replace("-", "_") for part in value.path)
            given = value.value
            text = str(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            # Lists, and text that would be read as TOML, are written as TOML: JSON's are the same.
            as_toml = isinstance(given, list) or text[:1] in TOML_BEGINS
            environment[name] = json.dumps(given, ensure_ascii=False) if as_toml else text
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
        # A Ctrl-C at the terminal is for us; we carry it on as SIGTERM.
        start_new_session=True,
    )
