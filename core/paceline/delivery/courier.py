"""One sink in one worker process: takes batches from the outbox and delivers them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from paceline.contracts.sink import Delivery, Sink
from paceline.contracts.storage.outbox import Rejection, SinkBatch, SinkOutage
from paceline.contracts.storage.store import Store
from paceline.contracts.telemetry import Gauges
from paceline.delivery.compose import Composer
from paceline.delivery.pauses import pause_after
from paceline.errors import PacelineError, PartUnavailable, SinkUnavailable
from paceline.settings.model import SinkSettings
from paceline.tasks import cancel_and_wait

log = logging.getLogger("paceline.sinks")

#: Maximum number of seconds between two looks into the outbox.
POLL = 2.0
#: Maximum number of seconds of a lease beyond the sink's timeout, for the store's own time.
MARGIN = 10.0
#: Maximum number of characters of a reason.
LONGEST_REASON = 500


class Courier:
    """Delivers to one sink.

    Args:
        name: name of the sink in the settings.
        sink: the sink, not open.
        settings: its settings.
        store: the store with the outbox.
        composer: completes deliveries.
        gauges: counts what this process delivered.
        mask: removes secrets from the sink's reasons.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        settings: SinkSettings,
        store: Store,
        composer: Composer,
        gauges: Gauges,
        *,
        mask: Callable[[str], str] = str,
    ) -> None:
        self.name = name
        self._gauges = gauges
        self._sink = sink
        self._settings = settings
        self._store = store
        self._composer = composer
        self._mask = mask
        self._opened = False
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._down = False
        self._store_down = False

    @property
    def _lease(self) -> float:
        timeout = self._settings.timeout
        return timeout + min(timeout, MARGIN)

    def wake(self) -> None:
        """Look into the outbox at once, because this process has committed something."""
        self._wake.set()

    def stop(self) -> None:
        """Take no further batch."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Deliver until ``stop``."""
        while not self._stopping.is_set():
            self._wake.clear()
            pause = await self._step()
            if pause is None:
                continue
            # A commit does not end the pause of a sink that is down.
            event = self._stopping if pause else self._wake
            try:
                async with asyncio.timeout(min(pause, POLL) or POLL):
                    await event.wait()
            except TimeoutError:
                pass

    async def flush(self) -> None:
        """Deliver until nothing is due or the sink is down."""
        while await self._step() is None:
            pass

    async def close(self) -> None:
        """Close the sink."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._sink.close()
        except Exception as error:  # noqa: BLE001 - a plugin's bug must not hold up the worker
            log.warning("sink %s could not be closed: %s", self.name, _reason(error))

    async def _step(self) -> float | None:
        """Deliver one batch.

        Returns:
            ``None`` if there may be more; 0 if nothing is due; else the seconds of a pause.
        """
        try:
            batch = await self._store.claim_batch(
                self.name, limit=self._settings.batch or self._sink.batch, lease=self._lease
            )
            if not batch.items:
                self._store_down = False
                return batch.retry_in
            pause = await self._deliver(batch)
        except PartUnavailable as error:
            # The worker logs that its store is down. The lease ends by itself.
            if not self._store_down:
                log.debug("sink %s waits for the store: %s", self.name, error)
            self._store_down = True
            return POLL
        except PacelineError as error:
            log.warning("sink %s: %s", self.name, error)
            return POLL
        except Exception:
            # A bug must not end the deliveries of this worker; the lease ends by itself.
            log.exception("sink %s: a delivery failed", self.name)
            return POLL
        self._store_down = False
        return pause

    async def _deliver(self, batch: SinkBatch) -> float | None:
        deliveries = await self._composer.complete(batch.items)
        try:
            answer = await self._attempt(deliveries)
        except SinkUnavailable as error:
            return await self._note_outage(batch, error)
        rejected = self._rejections(batch, answer)
        refused = {one.id for one in rejected}
        delivered = [one.id for one in deliveries if one.id not in refused]
        await self._store.settle(batch, delivered=delivered, rejected=rejected)
        self._gauges.delivered[self.name] += len(delivered)
        if self._down:
            log.info("sink %s is reachable again", self.name)
            self._down = False
        return None

    async def _attempt(self, deliveries: Sequence[Delivery]) -> Mapping[str, str]:
        """Deliver once.

        Raises:
            SinkUnavailable: the sink is down, hangs, or failed with a batch of several.
        """
        task = asyncio.get_running_loop().create_task(self._opened_and_delivered(deliveries))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._settings.timeout)
        except asyncio.CancelledError:
            await cancel_and_wait(task)
            raise
        if not done:
            # Not awaited: a sink that ignores its cancellation must not hold up the others.
            task.cancel()
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise SinkUnavailable(
                f"no answer within {self._settings.timeout:g} s (sinks.{self.name}.timeout)"
            )
        try:
            return task.result() or {}
        except SinkUnavailable:
            raise
        except (PacelineError, OSError, TimeoutError, asyncio.CancelledError) as error:
            raise SinkUnavailable(_reason(error)) from None
        except Exception as error:
            log.debug("sink %s failed", self.name, exc_info=True)
            if len(deliveries) > 1:
                # One of them may be the cause: the next attempt is made with a single one.
                raise SinkUnavailable(_reason(error)) from None
            return {deliveries[0].id: _reason(error)}

    async def _opened_and_delivered(
        self, deliveries: Sequence[Delivery]
    ) -> Mapping[str, str] | None:
        if not self._opened:
            await self._sink.open()
            self._opened = True
        return await self._sink.deliver(deliveries)

    async def _note_outage(self, batch: SinkBatch, error: SinkUnavailable) -> float:
        reason = self._shown(str(error))
        pause = pause_after(batch.failures + 1, at_least=error.retry_after)
        delivered = [
            item.delivery.id for item in batch.items if item.delivery.id in error.delivered
        ]
        await self._store.settle(
            batch, delivered=delivered, outage=SinkOutage(reason=reason, retry_in=pause)
        )
        self._gauges.delivered[self.name] += len(delivered)
        if not self._down:
            log.warning(
                "sink %s is down: %s; deliveries wait in the store until it is back",
                self.name,
                reason,
            )
            self._down = True
        return pause

    def _rejections(self, batch: SinkBatch, answer: Mapping[str, str]) -> list[Rejection]:
        """What the sink rejected, with a pause or as dead letters."""
        rejected: list[Rejection] = []
        for item in batch.items:
            reason = answer.get(item.delivery.id)
            if reason is None:
                continue
            reason, attempts = self._shown(reason), item.attempts + 1
            dead = attempts >= self._settings.attempts
            if dead:
                self._gauges.dead_letters[self.name] += 1
                log.warning(
                    "sink %s rejected %s %d times, it is a dead letter now: %s",
                    self.name,
                    _named(item.delivery),
                    attempts,
                    reason,
                    extra={"run_id": item.delivery.run_id},
                )
            rejected.append(
                Rejection(
                    id=item.delivery.id,
                    reason=reason,
                    retry_in=None if dead else pause_after(attempts),
                )
            )
        return rejected

    def _shown(self, reason: str) -> str:
        """A reason as one short line without secrets."""
        line = " ".join(self._mask(reason).split())
        return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def _named(delivery: Delivery) -> str:
    if delivery.kind == "run":
        return f"the end of run {delivery.run_id}"
    return (
        f"{delivery.step} of concept {delivery.concept_id}, version {delivery.version}, "
        f"run {delivery.run_id}"
    )


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    if isinstance(error, PacelineError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
