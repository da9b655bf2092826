"""The transaction of a group commit: artifacts, concepts, journal, and what calls cost."""

import asyncio
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from paceline import Artifact, Claim, ConceptState
from paceline.contracts.storage.records import NOTHING_REPLACED, JournalEntry, Replaced
from paceline.contracts.storage.spending import Charge
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from paceline_adapters.sql.artifact_rows import (
    add_first_versions,
    add_version,
    fulfil_request,
    mark_stale,
)
from paceline_adapters.sql.charges import (
    RunCharge,
    attempts_of_concept,
    drop_charges,
    write_charges,
)
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.cost_rows import CostDeltas
from paceline_adapters.sql.journal import drop_entries, write_entries
from paceline_adapters.sql.outbox_rows import NO_OUTLETS, Outlets
from paceline_adapters.sql.ownership import owns
from paceline_adapters.sql.tables import concepts, runs
from paceline_adapters.sql.url import Dialect


@dataclass(frozen=True, slots=True)
class Save:
    """The writes of one caller. A stale claim writes only what it spent.

    ``asked_at`` is the time of the call, by the clock of the event loop.
    """

    claim: Claim
    artifact: Artifact | None = None
    concept: ConceptState | None = None
    charge: Charge | None = None
    entry: JournalEntry | None = None
    replaced: Replaced = NOTHING_REPLACED
    asked_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())


_set_concept = (
    update(concepts)
    .where(
        concepts.c.run_id == bindparam("of_run"), concepts.c.concept_id == bindparam("of_concept")
    )
    .values(
        status=bindparam("status"),
        reason=bindparam("reason"),
        attempts=attempts_of_concept,
        last_answer=bindparam("last_answer"),
        updated_at=now(),
    )
)


async def write_batch(
    connection: AsyncConnection,
    dialect: Dialect,
    batch: Sequence[Save],
    outlets: Outlets = NO_OUTLETS,
) -> set[int]:
    """Write a batch without its stale members, and what goes to sinks.

    Returns:
        Indexes of the stale members.
    """
    ids = sorted({save.claim.run_id for save in batch})
    # Every transaction locks runs in this order, so they cannot deadlock. The lock is shared: it
    # delays a claim or the end of the run, but not other writers.
    locked = await connection.execute(
        select(runs.c.run_id, runs.c.fence, runs.c.owner, runs.c.status)
        .where(runs.c.run_id.in_(ids))
        .order_by(runs.c.run_id)
        .with_for_update(read=True)
    )
    rows = {row.run_id: row for row in locked}
    stale = {
        index
        for index, save in enumerate(batch)
        if not owns(rows.get(save.claim.run_id), save.claim)
    }
    kept = [save for index, save in enumerate(batch) if index not in stale]
    await write_entries(
        connection,
        dialect,
        [(save.claim.run_id, save.entry) for save in kept if save.entry is not None],
    )
    lost = [batch[index] for index in stale]
    deltas = CostDeltas()
    lost += await _write_artifacts(connection, dialect, outlets, kept, deltas)
    made = [*_charges(batch, rows), *_charges(map(_as_charge, lost), rows)]
    await write_charges(connection, dialect, made, deltas)
    states = [_concept(save.claim, save.concept) for save in kept if save.concept is not None]
    if states:
        await connection.execute(_set_concept, states)
    await deltas.write(connection, dialect)
    return stale


async def _write_artifacts(
    connection: AsyncConnection,
    dialect: Dialect,
    outlets: Outlets,
    saves: Sequence[Save],
    deltas: CostDeltas,
) -> list[Save]:
    """Write first and new versions of artifacts.

    Returns:
        Saves for requests that were replaced or removed meanwhile.
    """
    first: list[tuple[Claim, Artifact, float]] = []
    now_here = asyncio.get_running_loop().time()
    repaired: list[tuple[str, str, str, int]] = []
    replaced: list[tuple[str, str, str]] = []
    outdated: list[Save] = []
    for save in saves:
        claim, artifact = save.claim, save.artifact
        if artifact is None:
            continue
        place = claim.run_id, artifact.concept_id, artifact.step
        if artifact.attempts > 1:
            repaired.append((*place, claim.fence))
        if save.replaced.journal:
            replaced.append(place)
        if save.replaced.revision is None:
            first.append((claim, artifact, now_here - save.asked_at))
        elif await fulfil_request(connection, claim.run_id, artifact, save.replaced.revision):
            await add_version(
                connection, dialect, outlets, claim, artifact, now_here - save.asked_at
            )
            await mark_stale(connection, claim.run_id, artifact.concept_id, save.replaced.stale)
            deltas.add(claim.share.tenant, artifact.model, artifact.step, artifact.spent)
        else:
            outdated.append(save)
    added = await add_first_versions(connection, dialect, outlets, first)
    for claim, artifact, _ in first:
        # Two saves of one artifact may be in a batch: the first one stays.
        if (claim.run_id, *artifact.place) in added:
            added.discard((claim.run_id, *artifact.place))
            deltas.add(claim.share.tenant, artifact.model, artifact.step, artifact.spent)
    await drop_charges(connection, repaired, deltas)
    await drop_entries(connection, replaced)
    return outdated


def _as_charge(save: Save) -> Save:
    """A save that is dropped: its artifact is lost, and its cost is not."""
    artifact = save.artifact
    if artifact is None:
        return Save(save.claim)
    charge = Charge(
        concept_id=artifact.concept_id,
        step=artifact.step,
        spent=artifact.spent,
        seconds=artifact.seconds,
        phases=artifact.phases,
    )
    return Save(save.claim, charge=charge)


def _charges(saves: Iterable[Save], runs: Container[str]) -> Iterator[RunCharge]:
    for save in saves:
        if save.charge is not None and save.claim.run_id in runs:
            yield save.claim.run_id, save.claim.fence, save.charge


def _concept(claim: Claim, concept: ConceptState) -> dict[str, object]:
    return {
        "of_run": claim.run_id,
        "of_concept": concept.concept_id,
        "status": concept.status,
        "reason": concept.reason,
        "last_answer": concept.last_answer,
    }
