"""Latencies of calls in real runs, from the artifacts in a database."""

import asyncio

from paceline import Settings, SettingsError, StoreSettings
from pydantic import SecretStr

from paceline_adapters.bench.quantiles import percentile
from paceline_adapters.bench.workload import Range

#: Number of artifacts that are read, newest first.
_MAX_ARTIFACTS = 20_000


def recorded_latencies(url: str) -> dict[str, Range]:
    """Seconds by step: from the 5th to the 95th percentile, of artifacts with one attempt.

    An artifact's time includes its wait for admission. Runs without a limit therefore show the
    provider's own latencies; other runs show longer ones.

    Raises:
        SettingsError: the database contains no artifacts.
        PartUnavailable: the database cannot be reached.
    """
    by_step: dict[str, list[float]] = {}
    for step, seconds in asyncio.run(_seconds(Settings(store=StoreSettings(url=SecretStr(url))))):
        by_step.setdefault(step, []).append(seconds)
    if not by_step:
        raise SettingsError("--latencies-from: the database contains no artifacts")
    return {
        step: (round(percentile(found, 0.05), 3), round(percentile(found, 0.95), 3))
        for step, found in sorted(by_step.items())
    }


async def _seconds(settings: Settings) -> list[tuple[str, float]]:
    from sqlalchemy import select

    from paceline_adapters.sql.engine import Database
    from paceline_adapters.sql.tables import artifacts
    from paceline_adapters.sql.url import parse_url

    database = Database(
        parse_url(settings.store.url), settings.store, lease=settings.run.lease, size=1, overflow=0
    )
    query = (
        select(artifacts.c.step, artifacts.c.seconds)
        .where(artifacts.c.attempts == 1)
        .order_by(artifacts.c.created_at.desc())
        .limit(_MAX_ARTIFACTS)
    )
    try:
        rows = await database.read(lambda connection: connection.execute(query))
        return [(row.step, row.seconds) for row in rows]
    finally:
        await database.dispose()
