"""``Store`` on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Sequence

from paceline import Context, SettingsError, Store
from paceline.contracts.storage.records import SchemaVersion, WorkerRecord

from paceline_adapters.sql import schema
from paceline_adapters.sql.artifacts import SqlArtifacts
from paceline_adapters.sql.budgets import SqlBudgets
from paceline_adapters.sql.connections import SqlConnections, pool_shape
from paceline_adapters.sql.controls import SqlControls
from paceline_adapters.sql.engine import PATIENCE, Database, must_open
from paceline_adapters.sql.faults import is_database_error, is_rejection, is_transient
from paceline_adapters.sql.group_commit import GroupCommitter
from paceline_adapters.sql.outbox import SqlOutbox
from paceline_adapters.sql.ownership import SqlOwnership
from paceline_adapters.sql.retention import SqlRetention
from paceline_adapters.sql.revisions import SqlVersions
from paceline_adapters.sql.runs import SqlRuns
from paceline_adapters.sql.saves import Save, write_batch
from paceline_adapters.sql.url import parse_url
from paceline_adapters.sql.workers import SqlWorkers


class SqlStore(
    SqlRuns,
    SqlOwnership,
    SqlArtifacts,
    SqlVersions,
    SqlWorkers,
    SqlConnections,
    SqlOutbox,
    SqlRetention,
    SqlBudgets,
    SqlControls,
    Store,
):
    """Runs and artifacts in SQL tables.

    Raises:
        SettingsError: ``store.url`` is wrong, or a setting does not fit it.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings.store
        self._lease = context.settings.run.lease
        address = parse_url(self._settings.url)
        if address.dialect == "sqlite" and self._settings.schema_name is not None:
            raise SettingsError(
                "store.schema_name: only PostgreSQL has schemas; an SQLite file of its own "
                "(store.url) keeps paceline's tables apart"
            )
        shape = pool_shape(
            self._settings,
            embedded=address.dialect == "sqlite",
            worker=bool(context.worker_id),
            limit=context.pool_limit,
        )
        self._database = Database(
            address, self._settings, lease=self._lease, size=shape.size, overflow=shape.overflow
        )
        self._saves = GroupCommitter[Save](
            self._write_batch,
            transient=is_transient,
            rejection=is_rejection,
            translate=self._translated,
            patience=self._database.long_patience,
        )
        self._registered: dict[str, WorkerRecord] = {}
        self._accounts: set[str] = set()

    async def open(self, *, create: bool = True) -> None:
        """Connect and check the schema. The schema of an SQLite file is created or upgraded."""
        try:
            await self._check_schema(create=create)
        except BaseException:
            await self._database.dispose()
            raise

    async def _check_schema(self, *, create: bool) -> None:
        address = self._database.address
        embedded = address.dialect == "sqlite"
        must_open(address, create=create)
        # If the server is down, report it at once instead of retrying.
        patience = PATIENCE if embedded else 0.0
        found = await self._database.read(schema.find, patience=patience)
        if schema.is_current(found.version, address):
            return
        if not embedded:
            raise schema.needs_upgrade(found, address, self._settings)
        await self.upgrade_schema()

    async def close(self) -> None:
        """Complete pending writes and disconnect."""
        try:
            await self._saves.close()
        finally:
            await self._database.dispose()

    async def schema_version(self) -> SchemaVersion:
        """Return the version of the schema. A missing SQLite file is not created."""
        version = await asyncio.to_thread(schema.current, self._settings.url, self._settings)
        return SchemaVersion(
            version=version, newest=schema.NEWEST, too_new=schema.is_newer(version)
        )

    async def upgrade_schema(self) -> tuple[str | None, str]:
        """Upgrade the schema to the version that this paceline needs."""
        return await asyncio.to_thread(schema.upgrade, self._settings.url, self._settings)

    async def _write_batch(self, batch: Sequence[Save]) -> set[int]:
        stale = await self._database.transaction(
            lambda connection: write_batch(connection, self._database.dialect, batch, self.outlets)
        )
        if any(save.artifact is not None for save in batch):
            self._committed()
        return stale

    def _translated(self, error: BaseException) -> BaseException:
        return self._database.unavailable(error) if is_database_error(error) else error
