"""Completes deliveries with what the store does not know: names, Markdown and costs."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from paceline.contracts.sink import Delivery
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.outbox import Outgoing
from paceline.contracts.storage.store import Store
from paceline.steps.readable import readable

log = logging.getLogger("paceline.sinks")

#: Maximum number of names of concepts to keep in memory.
MAX_NAMES = 20_000


class Composer:
    """Completes deliveries for all sinks of one process.

    Args:
        store: the store of the runs.
        steps: the steps of the settings, by name.
        currency: currency of all costs.
    """

    def __init__(self, store: Store, steps: Mapping[str, Step], currency: str) -> None:
        self._store = store
        self._steps = steps
        self._currency = currency
        self._names: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        self._kept = 0

    async def complete(self, items: Sequence[Outgoing]) -> list[Delivery]:
        """The deliveries of a batch, in its order.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        return [await self._completed(item.delivery) for item in items]

    async def _completed(self, delivery: Delivery) -> Delivery:
        if delivery.kind == "run":
            spent = (await self._store.spending(delivery.run_id)).total
            return replace(
                delivery,
                prompt_tokens=spent.prompt_tokens,
                completion_tokens=spent.completion_tokens,
                cost=spent.cost,
                currency=self._currency,
            )
        names = await self._names_of(delivery.run_id)
        step = self._steps.get(delivery.step)
        return replace(
            delivery,
            currency=self._currency,
            concept_name=names.get(delivery.concept_id, delivery.concept_id),
            readable=_markdown(step, delivery),
        )

    async def _names_of(self, run_id: str) -> Mapping[str, str]:
        """Names of a run's concepts; its roadmap never changes."""
        names = self._names.get(run_id)
        if names is None:
            roadmap = await self._store.roadmap(run_id)
            names = {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}
            self._names[run_id] = names
            self._kept += len(names)
            while self._kept > MAX_NAMES and len(self._names) > 1:
                _, dropped = self._names.popitem(last=False)
                self._kept -= len(dropped)
        self._names.move_to_end(run_id)
        return names


def _markdown(step: Step | None, delivery: Delivery) -> str:
    try:
        parts = readable(step, delivery.step, delivery.content)
    except Exception:
        # A bug in a step must not hold up the sink: the outline of the content is readable, too.
        log.exception("step %s could not show an artifact as Markdown", delivery.step)
        parts = readable(None, delivery.step, delivery.content)
    content, solutions, _ = parts
    return "\n\n".join(part for part in (content, solutions) if part)
