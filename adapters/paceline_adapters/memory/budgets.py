"""Budgets of the memory store: accounts, reservations, and what calls cost."""

from abc import ABC
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from paceline import Artifact, Claim, Store
from paceline.contracts.share import stored_names
from paceline.contracts.storage.budgets import (
    MAX_TENANTS,
    AccountFigures,
    BudgetAccount,
    BudgetLimits,
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
from paceline.contracts.storage.records import RunStatus, WorkerRecord
from paceline.contracts.storage.rules import requested_status
from paceline.contracts.storage.spending import Spent

from paceline_adapters.memory.retention import MemoryRetention
from paceline_adapters.memory.rows import Row


@dataclass(slots=True)
class _Account:
    spent: int
    reserved: int = 0
    warned: int | None = None


@dataclass(frozen=True, slots=True)
class _Reservation:
    worker_id: str
    amount: int
    accounts: Sequence[BudgetAccount]


#: Day, tenant, model and step.
_Place = tuple[str, str, str, str]


class MemoryBudgets(MemoryRetention, Store, ABC):
    """The part of the memory store that counts money."""

    _workers: dict[str, tuple[WorkerRecord, float]]
    _release: Callable[[Row, RunStatus, str | None], None]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._accounts: dict[BudgetAccount, _Account] = {}
        self._reservations: dict[str, _Reservation] = {}
        self._costs: defaultdict[_Place, Spent] = defaultdict(Spent)

    def _today(self) -> str:
        return self._now().date().isoformat()

    async def exchange_money(
        self,
        worker_id: str,
        limits: BudgetLimits,
        *,
        requests: Sequence[MoneyRequest] = (),
        spent: Sequence[MoneySpent] = (),
    ) -> MoneyAnswers:
        """Settle and reserve in one step."""
        for ended in spent:
            self._settle(ended.id, ended.cost)
        granted, short = set[str](), dict[str, Shortage]()
        wanted: dict[BudgetAccount, int] = {}
        for one in requests:
            row = self._rows.get(one.run_id)
            found = {} if row is None else one.accounts(limits, row.budget, self._today())
            wanted |= found
            accounts = {account: self._account(account) for account in found}
            lacks = short_of(one, found, {key: value.spent for key, value in accounts.items()})
            if one.id in self._reservations:
                granted.add(one.id)
            elif lacks is not None:
                short[one.id] = lacks
            elif all(
                accounts[account].spent + accounts[account].reserved + one.amount <= limit
                for account, limit in found.items()
            ):
                granted.add(one.id)
                self._reservations[one.id] = _Reservation(worker_id, one.amount, tuple(found))
                for account in accounts.values():
                    account.reserved += one.amount
        return MoneyAnswers(
            granted=frozenset(granted), short=short, warnings=self._warnings(wanted)
        )

    def _account(self, account: BudgetAccount) -> _Account:
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = _Account(self._known_costs(account))
        return found

    def _known_costs(self, account: BudgetAccount) -> int:
        """Nanos that are known to be spent, from artifacts and charges."""
        if account.scope == "run":
            row = self._rows.get(account.subject)
            if row is None:
                return 0
            if account.key:
                made = [*row.artifacts.values(), *(one for of in row.past.values() for one in of)]
                return to_nanos(
                    sum(one.cost or 0.0 for one in made if names_model(account.key, one.model))
                )
            spent = (one for of in row.spent.values() for one in of.values())
            return to_nanos(sum(spent, start=Spent()).cost or 0.0)
        tenants = stored_names(account.subject) if account.scope == "tenant-day" else ()
        return sum(
            to_nanos(spent.cost or 0.0)
            for (day, tenant, of_model, _), spent in self._costs.items()
            if period_of(account.scope, day) == account.period
            and (not tenants or tenant in tenants)
            and (not account.key or names_model(account.key, of_model))
        )

    def _settle(self, id_: str, cost: int | None) -> bool:
        """Turn a reservation into what was spent; returns whether it existed."""
        reservation = self._reservations.pop(id_, None)
        if reservation is None:
            return False
        for account in reservation.accounts:
            found = self._accounts.get(account)
            if found is not None:  # the run may be purged
                found.reserved -= reservation.amount
                found.spent += reservation.amount if cost is None else cost
        return True

    def _warnings(self, wanted: Mapping[BudgetAccount, int]) -> list[AccountFigures]:
        found: list[AccountFigures] = []
        for account, limit in wanted.items():
            state = self._accounts[account]
            if must_warn(state.spent, limit, state.warned):
                state.warned = limit
                found.append(
                    AccountFigures(
                        account=account, limit=limit, spent=state.spent, reserved=state.reserved
                    )
                )
        return found

    async def settle_lost(self, *, lease: float) -> int:
        """Count as spent what lost workers have reserved."""
        lost = [
            id_ for id_, one in self._reservations.items() if self._is_lost(one.worker_id, lease)
        ]
        return sum(self._settle(id_, None) for id_ in lost)

    def _is_lost(self, worker_id: str, lease: float) -> bool:
        if worker_id not in self._workers:
            return True
        worker, beat_at = self._workers[worker_id]
        return self._clock() - beat_at > lease or worker.identity.is_gone()

    async def set_budget(self, run_id: str, budget: float) -> None:
        """Give a run a budget of its own."""
        self._row(run_id).budget = to_nanos(budget)

    async def pause_short(self, claim: Claim, shortage: Shortage, reason: str) -> RunStatus | None:
        """Pause the run of a claim, or cancel or pause it as was requested."""
        row = self._rows.get(claim.run_id)
        if row is None or not row.owned_by(claim):
            return None
        row.takeovers = 0
        status, why = requested_status(row.pause_requested, cancel=row.cancel_requested)
        if status == "queued":
            self._release(row, "paused", reason)
            row.short_of = shortage
            return "paused"
        self._release(row, status, why)
        return status

    async def resume_affordable(
        self, executor: str, limits: BudgetLimits, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[str], str]:
        """Queue runs again if their account has room now."""
        rows = [
            row
            for row in sorted(self._rows.values(), key=lambda row: row.run_id)
            if row.short_of is not None and row.executor == executor and row.run_id > after
        ][:limit]
        queued: list[str] = []
        for row in rows:
            shortage = row.short_of
            if shortage is None:
                continue
            account = shortage.account
            now = BudgetAccount(
                scope=account.scope,
                subject=account.subject,
                key=account.key,
                period=period_of(account.scope, self._today()),
            )
            most, known = limit_now(shortage, limits, row.budget), self._accounts.get(now)
            spent = 0 if known is None else known.spent
            if most is None or spent + shortage.amount <= most:
                self._release(row, "queued", None)
                queued.append(row.run_id)
        return queued, rows[-1].run_id if len(rows) == limit else ""

    async def account_figures(
        self, limits: BudgetLimits, *, tenants: Sequence[str] = ()
    ) -> Sequence[AccountFigures]:
        """Read the accounts of today and of this month."""
        figures: list[AccountFigures] = []
        wanted = accounts_now(limits, self._today(), tenants or self._spending_tenants())
        for account, limit in wanted.items():
            found = self._accounts.get(account, _Account(0))
            figures.append(
                AccountFigures(
                    account=account, limit=limit, spent=found.spent, reserved=found.reserved
                )
            )
        return figures

    def _spending_tenants(self) -> Sequence[str]:
        """The tenants that spent most today."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (day, tenant, _, _), spent in self._costs.items():
            if day == self._today():
                sums[tenant] += spent.cost or 0.0
        return sorted(sums, key=lambda one: (-sums[one], one))[:MAX_TENANTS]

    # -- what calls cost -----------------------------------------------------------------

    @contextmanager
    def _counting(self, row: Row, place: tuple[str, str]) -> Generator[None]:
        """Add to the costs what the charges of a step change within ``with``."""
        before = row.charged(place)
        yield
        self._add_costs(row, "", place[1], _minus(row.charged(place), before))

    def _count_artifact(self, row: Row, artifact: Artifact) -> None:
        self._add_costs(row, artifact.model, artifact.step, artifact.spent)

    def _add_costs(self, row: Row, model: str, step: str, spent: Spent) -> None:
        if (spent.attempts, spent.tokens, spent.cost or 0.0) != (0, 0, 0.0):
            place = self._today(), row.share.tenant, model, step
            self._costs[place] += spent

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

        def within(day: str) -> bool:
            return (since is None or since <= day) and (until is None or day <= until)

        if by == "run":
            rows = sorted(self._rows.values(), key=lambda row: row.run_id, reverse=True)
            return [
                CostLine(name=row.run_id, spent=(await self.spending(row.run_id)).total)
                for row in rows
                if (not tenants or row.share.tenant in tenants)
                and within(row.created_at.date().isoformat())
            ][:limit]
        at = ("day", "tenant", "model", "step").index(by)
        sums: defaultdict[str, Spent] = defaultdict(Spent)
        for place, spent in self._costs.items():
            if within(place[0]) and (not tenants or place[1] in tenants):
                sums[place[at]] += spent
        names = sorted(sums, reverse=by == "day")
        return [CostLine(name=name, spent=sums[name]) for name in names[:limit]]

    async def costs_of_steps(self) -> Mapping[tuple[str, str], Spent]:
        """Sum up what all calls have cost, by model and step."""
        sums: defaultdict[tuple[str, str], Spent] = defaultdict(Spent)
        for (_, _, model, step), spent in self._costs.items():
            sums[model, step] += spent
        return sums


def _minus(spent: Spent, before: Spent) -> Spent:
    """What was added to a sum."""
    costs = (spent.cost, before.cost)
    return Spent(
        attempts=spent.attempts - before.attempts,
        prompt_tokens=spent.prompt_tokens - before.prompt_tokens,
        completion_tokens=spent.completion_tokens - before.completion_tokens,
        cost=None if costs == (None, None) else (spent.cost or 0.0) - (before.cost or 0.0),
        estimated=spent.estimated,
    )
