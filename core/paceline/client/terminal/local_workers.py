"""Worker processes that run until the command that started them ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from paceline.errors import PartUnavailable
from paceline.settings.load import TOML_BEGINS, Loaded

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
    environment = dict(os.environ)
    for value in loaded.given:
        if value.origin.startswith(("--", "override ")):
            name = "PACELINE_" + "__".join(part.upper().replace("-", "_") for part in value.path)
            given = value.value
            text = str(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            # Lists, and text that looks like TOML, are passed as TOML; JSON is the same here.
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
        # Ctrl-C at the terminal reaches this process only; it sends SIGTERM to the workers.
        start_new_session=True,
    )
