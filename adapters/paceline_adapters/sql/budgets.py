"""Budgets in SQL: accounts, reservations, runs that lack money, and costs."""

import json
from abc import ABC
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paceline import Claim
from paceline.contracts.identity import ProcessIdentity
from paceline.contracts.share import stored_names
from paceline.contracts.storage.budgets import (
    AccountFigures,
    BudgetAccount,
    BudgetLimits,
    BudgetStore,
    CostLine,
    CostsBy,
    MoneyAnswers,
    MoneyRequest,
    MoneySpent,
    Shortage,
    accounts_now,
    limit_now,
    must_warn,
    names_model,
    period_of,
    short_of,
    to_nanos,
)
from paceline.contracts.storage.records import RunStatus
from paceline.contracts.storage.rules import requested_status
from paceline.contracts.storage.spending import Spent
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.charges import read_spending
from paceline_adapters.sql.columns import seconds_since
from paceline_adapters.sql.cost_queries import (
    read_costs,
    read_costs_of_models,
    read_costs_of_steps,
)
from paceline_adapters.sql.cost_rows import spending_tenants, spent_between, today
from paceline_adapters.sql.engine import Database
from paceline_adapters.sql.insert import insert_into
from paceline_adapters.sql.outbox_rows import SqlOutlets
from paceline_adapters.sql.ownership import locked_run, owns, release
from paceline_adapters.sql.run_rows import read_run, seconds_now
from paceline_adapters.sql.tables import (
    budget_accounts,
    budget_reservations,
    runs,
    workers,
)

#: Maximum number of ids in one statement.
_CHUNK = 500
#: Maximum number of accounts that a process remembers to exist.
_KNOWN = 10_000

#: Amount and names of accounts, by id.
_Reservations = Mapping[str, tuple[int, Sequence[str]]]

_set_account = (
    update(budget_accounts)
    .where(budget_accounts.c.name == bindparam("of_name"))
    .values(
        spent=bindparam("new_spent"), reserved=bindparam("new_reserved"), warned=bindparam("last")
    )
)


@dataclass(slots=True)
class _Locked:
    """Accounts that a transaction has locked."""

    spent: dict[str, int] = field(default_factory=dict[str, int])
    reserved: dict[str, int] = field(default_factory=dict[str, int])
    warned: dict[str, int | None] = field(default_factory=dict[str, "int | None"])

    async def write(self, connection: AsyncConnection) -> None:
        rows = [
            {
                "of_name": name,
                "new_spent": self.spent[name],
                "new_reserved": self.reserved[name],
                "last": self.warned[name],
            }
            for name in self.spent
        ]
        if rows:
            await connection.execute(_set_account, rows)

    def settle(
        self, ended: Mapping[str, tuple[int, Sequence[str]]], cost: Mapping[str, int]
    ) -> None:
        """Turn reservations into what was spent: each has its amount and accounts."""
        for id_, (amount, names) in ended.items():
            for name in names:
                if name in self.spent:  # the run may be purged
                    self.reserved[name] -= amount
                    self.spent[name] += cost.get(id_, amount)


class SqlBudgets(SqlOutlets, BudgetStore, ABC):
    """The budgets of an SQL store."""

    _database: Database
    #: Accounts that exist, as far as this process knows.
    _accounts: set[str]

    async def exchange_money(
        self,
        worker_id: str,
        limits: BudgetLimits,
        *,
        requests: Sequence[MoneyRequest] = (),
        spent: Sequence[MoneySpent] = (),
    ) -> MoneyAnswers:
        """Settle and reserve in one transaction; accounts are locked in the order of names."""

        async def change(connection: AsyncConnection) -> MoneyAnswers | set[BudgetAccount]:
            day = await today(connection)
            budgets = await _budgets(connection, {one.run_id for one in requests})
            wanted = {
                one.id: one.accounts(limits, budgets[one.run_id], day)
                for one in requests
                if one.run_id in budgets
            }
            new = {account for found in wanted.values() for account in found}
            unknown = {one for one in new if one.name not in self._accounts}
            if unknown:
                return unknown
            ended = await _take(connection, [one.id for one in spent])
            names = {account.name for account in new}
            names.update(name for _, of_call in ended.values() for name in of_call)
            accounts = await _lock(connection, names)
            missing = {account for account in new if account.name not in accounts.spent}
            if missing:  # deleted since, with its run
                raise _Unknown(missing)
            accounts.settle(ended, {one.id: one.cost for one in spent if one.cost is not None})
            reserved = await _reserved(connection, [one.id for one in requests])
            granted, short, rows = set(reserved), dict[str, Shortage](), list[dict[str, Any]]()
            for one in requests:
                found = wanted.get(one.id, {})
                if one.id in granted:
                    continue
                lacks = short_of(one, found, {a: accounts.spent[a.name] for a in found})
                if lacks is not None:
                    short[one.id] = lacks
                elif all(
                    accounts.spent[a.name] + accounts.reserved[a.name] + one.amount <= limit
                    for a, limit in found.items()
                ):
                    granted.add(one.id)
                    of_call = [account.name for account in found]
                    for name in of_call:
                        accounts.reserved[name] += one.amount
                    rows.append(
                        {
                            "id": one.id,
                            "worker_id": worker_id,
                            "amount": one.amount,
                            "accounts": json.dumps(of_call),
                        }
                    )
            warnings = _warnings(accounts, wanted.values())
            if rows:
                await connection.execute(insert(budget_reservations), rows)
            await accounts.write(connection)
            return MoneyAnswers(granted=frozenset(granted), short=short, warnings=warnings)

        while True:
            try:
                answer = await self._database.write(change, patience=self._database.long_patience)
            except _Unknown as error:
                answer = error.accounts
                self._accounts.difference_update(one.name for one in answer)
            if isinstance(answer, MoneyAnswers):
                return answer
            await self._add_accounts(answer)

    async def _add_accounts(self, accounts: Collection[BudgetAccount]) -> None:
        """Add accounts, with what is known to be spent.

        An account that exists gets it as well: calls may have been made without a budget since.
        """
        dialect = self._database.dialect
        rows = [
            {
                "name": one.name,
                "run_id": one.subject if one.scope == "run" else None,
                "spent": 0,
                "reserved": 0,
            }
            for one in sorted(accounts, key=lambda one: one.name)
        ]

        async def change(connection: AsyncConnection) -> None:
            await connection.execute(
                insert_into(budget_accounts, dialect).on_conflict_do_nothing(), rows
            )
            locked = await _lock(connection, {one.name for one in accounts})
            for one in accounts:
                # What calls in flight have reserved includes what they were charged so far.
                known = await _known_costs(connection, one) - locked.reserved[one.name]
                locked.spent[one.name] = max(locked.spent[one.name], known)
            await locked.write(connection)

        await self._database.write(change)
        if len(self._accounts) > _KNOWN:
            self._accounts.clear()
        self._accounts.update(one.name for one in accounts)

    async def settle_lost(self, *, lease: float) -> int:
        """Count as spent what lost workers have reserved."""
        age = seconds_since(workers.c.beat_at)
        query = (
            select(
                budget_reservations.c.worker_id,
                workers.c.host,
                workers.c.pid,
                workers.c.process_started,
                (age > lease).label("overdue"),
            )
            .outerjoin(workers, workers.c.worker_id == budget_reservations.c.worker_id)
            .distinct()
        )
        rows = await self._database.read(lambda connection: connection.execute(query))
        lost = [
            row.worker_id
            for row in rows
            if row.host is None
            or row.overdue
            or ProcessIdentity(row.host, row.pid, row.process_started).is_gone()
        ]
        some = (
            select(budget_reservations.c.id)
            .where(budget_reservations.c.worker_id.in_(lost))
            .limit(_CHUNK)
        )

        async def change(connection: AsyncConnection) -> int:
            ended = await _take(connection, (await connection.scalars(some)).all())
            accounts = await _lock(connection, {name for _, of in ended.values() for name in of})
            accounts.settle(ended, {})
            await accounts.write(connection)
            return len(ended)

        settled = 0
        while lost:
            now = await self._database.write(change)
            if not now:
                break
            settled += now
        return settled

    async def set_budget(self, run_id: str, budget: float) -> None:
        """Give a run a budget of its own."""

        async def change(connection: AsyncConnection) -> None:
            await read_run(connection, run_id, lock=True)
            await connection.execute(
                update(runs).where(runs.c.run_id == run_id).values(budget=to_nanos(budget))
            )

        await self._database.write(change)

    async def pause_short(self, claim: Claim, shortage: Shortage, reason: str) -> RunStatus | None:
        """Pause the run of a claim, or cancel or pause it as was requested."""

        async def change(connection: AsyncConnection) -> RunStatus | None:
            row = await locked_run(connection, claim.run_id)
            if row is None or not owns(row, claim):
                return None
            status, why = requested_status(row.pause_requested, cancel=row.cancel_requested)
            short = status == "queued"
            await release(
                connection,
                self.routes,
                claim.run_id,
                "paused" if short else status,
                reason if short else why,
                seconds=seconds_now,
                takeovers=0,
                short_of=shortage.to_json() if short else None,
            )
            return "paused" if short else status

        released = await self._database.write(change, patience=self._database.long_patience)
        self._committed()
        return released

    async def resume_affordable(
        self, executor: str, limits: BudgetLimits, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[str], str]:
        """Queue runs again if their account has room now."""
        listed = (
            select(runs.c.run_id, runs.c.short_of, runs.c.budget)
            .where(
                runs.c.executor == executor,
                runs.c.short_of.is_not(None),
                runs.c.run_id > after,
            )
            .order_by(runs.c.run_id)
            .limit(limit)
        )
        rows = (await self._database.read(lambda connection: connection.execute(listed))).all()
        if not rows:
            return [], ""

        async def read(connection: AsyncConnection) -> list[str]:
            day = await today(connection)
            found: list[str] = []
            for row in rows:
                shortage = Shortage.from_json(row.short_of)
                most = limit_now(shortage, limits, row.budget)
                account = _now(shortage.account, day)
                spent = await connection.scalar(
                    select(budget_accounts.c.spent).where(budget_accounts.c.name == account.name)
                )
                if most is None or (spent or 0) + shortage.amount <= most:
                    found.append(row.run_id)
            return found

        affordable = await self._database.read(read)

        async def change(connection: AsyncConnection) -> Sequence[str]:
            queued = await connection.scalars(
                update(runs)
                .where(
                    runs.c.run_id.in_(affordable),
                    runs.c.status == "paused",
                    runs.c.short_of.is_not(None),
                )
                .values(status="queued", reason=None, short_of=None)
                .returning(runs.c.run_id)
            )
            return sorted(queued.all())

        after = rows[-1].run_id if len(rows) == limit else ""
        return (await self._database.write(change) if affordable else []), after

    async def account_figures(
        self, limits: BudgetLimits, *, tenants: Sequence[str] = ()
    ) -> Sequence[AccountFigures]:
        """Read the accounts of today and of this month."""
        scopes = {scope for one in (limits.common, *limits.keys.values()) for scope in one}

        async def read(connection: AsyncConnection) -> list[AccountFigures]:
            day = await today(connection)
            subjects = tenants
            if not subjects and "tenant-day" in scopes:
                subjects = await spending_tenants(connection, day)
            wanted = accounts_now(limits, day, subjects)
            names, rows = [one.name for one in wanted], dict[str, Any]()
            for start in range(0, len(names), _CHUNK):
                some = budget_accounts.c.name.in_(names[start : start + _CHUNK])
                found = await connection.execute(select(budget_accounts).where(some))
                rows |= {row.name: row for row in found}
            return [
                AccountFigures(
                    account=one,
                    limit=limit,
                    spent=rows[one.name].spent if one.name in rows else 0,
                    reserved=rows[one.name].reserved if one.name in rows else 0,
                )
                for one, limit in wanted.items()
            ]

        return await self._database.read(read)

    async def costs(
        self,
        by: CostsBy,
        *,
        tenants: Sequence[str] = (),
        since: str | None = None,
        until: str | None = None,
        limit: int = 1000,
    ) -> Sequence[CostLine]:
        """Sum up what calls have cost."""
        return await self._database.read(
            lambda connection: read_costs(
                connection, by, tenants=tenants, since=since, until=until, limit=limit
            )
        )

    async def costs_of_steps(self) -> Mapping[tuple[str, str], Spent]:
        """Sum up what all calls have cost, by model and step."""
        return await self._database.read(read_costs_of_steps)


class _Unknown(Exception):
    """Accounts do not exist any more; nothing of this transaction is kept."""

    def __init__(self, accounts: set[BudgetAccount]) -> None:
        super().__init__()
        self.accounts = accounts


def _now(account: BudgetAccount, day: str) -> BudgetAccount:
    """The account of the same limit on another day."""
    return BudgetAccount(
        scope=account.scope,
        subject=account.subject,
        key=account.key,
        period=period_of(account.scope, day),
    )


async def _budgets(connection: AsyncConnection, run_ids: set[str]) -> dict[str, int | None]:
    """The budgets of the runs that exist."""
    ids, found = sorted(run_ids), dict[str, int | None]()
    for start in range(0, len(ids), _CHUNK):
        some = runs.c.run_id.in_(ids[start : start + _CHUNK])
        rows = await connection.execute(select(runs.c.run_id, runs.c.budget).where(some))
        found |= {row.run_id: row.budget for row in rows}
    return found


async def _take(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[str, tuple[int, Sequence[str]]]:
    """Delete reservations; returns the amount and the accounts of each that existed."""
    found: dict[str, tuple[int, Sequence[str]]] = {}
    for start in range(0, len(ids), _CHUNK):
        rows = await connection.execute(
            delete(budget_reservations)
            .where(budget_reservations.c.id.in_(ids[start : start + _CHUNK]))
            .returning(
                budget_reservations.c.id,
                budget_reservations.c.amount,
                budget_reservations.c.accounts,
            )
        )
        found |= {row.id: (int(row.amount), json.loads(row.accounts)) for row in rows}
    return found


async def _reserved(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """The ids that an earlier attempt has reserved."""
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        some = budget_reservations.c.id.in_(ids[start : start + _CHUNK])
        rows = await connection.scalars(select(budget_reservations.c.id).where(some))
        found.update(rows.all())
    return found


async def _lock(connection: AsyncConnection, names: Collection[str]) -> _Locked:
    """Lock accounts, each transaction in the same order, and read them."""
    ordered, locked = sorted(names), _Locked()
    for start in range(0, len(ordered), _CHUNK):
        rows = await connection.execute(
            select(budget_accounts)
            .where(budget_accounts.c.name.in_(ordered[start : start + _CHUNK]))
            .order_by(budget_accounts.c.name)
            .with_for_update()
        )
        for row in rows:
            locked.spent[row.name], locked.reserved[row.name] = row.spent, row.reserved
            locked.warned[row.name] = row.warned
    return locked


async def _known_costs(connection: AsyncConnection, account: BudgetAccount) -> int:
    """Nanos that the store knows to be spent, from artifacts and charges.

    Charges have no model, so the account of a model begins with what artifacts cost.
    """
    if account.scope == "run" and account.key:
        by_model = await read_costs_of_models(connection, account.subject)
        return sum(cost for model, cost in by_model.items() if names_model(account.key, model))
    if account.scope == "run":
        spending = await read_spending(connection, account.subject)
        return to_nanos(spending.total.cost or 0.0)
    last = f"{account.period}-31" if account.scope == "month" else account.period
    first = f"{account.period}-01" if account.scope == "month" else account.period
    tenants = stored_names(account.subject) if account.scope == "tenant-day" else ()
    by_model = await spent_between(connection, first, last, tenants=tenants)
    return sum(
        cost
        for model, cost in by_model.items()
        if not account.key or names_model(account.key, model)
    )


def _warnings(
    accounts: _Locked, wanted: Collection[Mapping[BudgetAccount, int]]
) -> list[AccountFigures]:
    """The accounts to report, each once; they are marked as reported."""
    limits = {account: limit for of_call in wanted for account, limit in of_call.items()}
    found: list[AccountFigures] = []
    for account, limit in limits.items():
        name = account.name
        if must_warn(accounts.spent[name], limit, accounts.warned[name]):
            accounts.warned[name] = limit
            found.append(
                AccountFigures(
                    account=account,
                    limit=limit,
                    spent=accounts.spent[name],
                    reserved=accounts.reserved[name],
                )
            )
    return found
