"""The client's side of the queue: submit runs, and look at who holds them."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from paceline import Context, Executor, Finding, WorkerLoad
from paceline.contracts.finding import ascending

from paceline_adapters.celery.app import AppInUse, app_in_use
from paceline_adapters.celery.plugin import CeleryOptions
from paceline_adapters.celery.task import TASK

T = TypeVar("T")

#: Seconds in which workers answer a question.
ANSWER = 1.0
#: Seconds of Celery's own where an app sets none.
_KOMBUS_VISIBILITY_TIMEOUT = 3600
#: Key that stands in the broker as long as nobody flushed it.
_MARK = "paceline-was-here"
_RETRY: Mapping[str, object] = {"max_retries": 1, "interval_start": 0.2}


class CeleryExecutor(Executor):
    """Sends runs to Celery workers.

    Celery's client blocks, so everything happens in threads beside the event loop.

    Args:
        options: the executor's options.
        context: settings, and plugins for a worker.

    Raises:
        SettingsError: ``redis.url`` is not set, or the app of the options cannot be found.
    """

    def __init__(self, options: CeleryOptions, context: Context) -> None:
        self.options = options
        self.concurrency = options.concurrency
        self.processes = options.concurrency if options.pool == "prefork" else 1
        self._context = context
        self._in_use: AppInUse = app_in_use(options, context.settings)

    @property
    def app(self) -> Any:
        """The Celery app that is used."""
        return self._in_use.app

    async def submit(self, run_id: str) -> None:
        """Send a message that carries the run's id, and nothing else."""
        await self._ask(lambda: self._send(run_id))

    def _send(self, run_id: str) -> None:
        self.app.send_task(
            TASK,
            args=[run_id],
            # Never the same twice: a worker may hold two messages of one run for a moment.
            task_id=f"{run_id}.{secrets.token_hex(4)}",
            queue=self.options.queue,
            serializer="json",
            ignore_result=True,
            retry=True,
            retry_policy=_RETRY,
        )

    async def inspect(self) -> Sequence[WorkerLoad]:
        """Ask all workers of the queue; takes a second, as their number is not known."""
        asked = ("active", "reserved", "stats", "active_queues")
        answers = await asyncio.gather(*(self._ask(self._question(what)) for what in asked))
        active, reserved, stats, queues = (dict(answer or {}) for answer in answers)
        return [
            WorkerLoad(
                name=name,
                active=_run_ids(active.get(name)),
                reserved=_run_ids(reserved.get(name)),
                concurrency=int(stats.get(name, {}).get("pool", {}).get("max-concurrency", 0)),
            )
            for name in sorted(queues)
            if any(queue["name"] == self.options.queue for queue in queues[name])
        ]

    def _question(self, what: str) -> Callable[[], Any]:
        def ask() -> Any:
            # Each thread has a queue of its own for the answers.
            return getattr(self.app.control.inspect(timeout=ANSWER), what)()

        return ask

    async def queued(self) -> int:
        """Messages in the queue that no worker has taken."""
        return await self._ask(self._queue_length)

    def _queue_length(self) -> int:
        with self.app.connection_for_write() as connection:
            queue = self.app.amqp.queues[self.options.queue](connection.default_channel)
            return int(queue.queue_declare(passive=False).message_count)

    async def check(self) -> str:
        """Reach the broker: how many messages wait in the queue."""
        return f"its broker answers; {await self.queued()} messages in {self.options.queue}"

    def findings(self) -> Sequence[Finding]:
        """Deadline and time limits, in the order in which they should strike."""
        options = self.options
        times = [
            ("run.deadline", self._context.settings.run.deadline),
            ("soft_time_limit", options.soft_time_limit),
            ("time_limit", options.time_limit),
            ("visibility_timeout", self._visibility_timeout()),
        ]
        if options.pool == "threads":
            # Celery ignores its time limits there; the deadline is paceline's own.
            times = [times[0], times[-1]]
        return [ascending("executor celery", times)]

    def _visibility_timeout(self) -> float | None:
        """After how many seconds the app's broker hands a message out again, if it is Redis."""
        if self.app.connection_for_write().transport.driver_type != "redis":
            return None
        given = dict(self.app.conf.broker_transport_options or {})
        return float(given.get("visibility_timeout", _KOMBUS_VISIBILITY_TIMEOUT))

    async def look_at_broker(self) -> tuple[bool, bool]:
        """Whether it was flushed since the last look of any worker, and whether it is empty.

        Empty means that no message is in the queue or unacknowledged anywhere. On a broker
        other than Redis both are ``False``: it keeps its messages.
        """
        return await self._ask(self._look)

    def _look(self) -> tuple[bool, bool]:
        with self.app.connection_for_write() as connection:
            if connection.transport.driver_type != "redis":
                return False, False
            channel = connection.default_channel
            flushed = bool(channel.client.set(_MARK, "1", nx=True))
            unacked = int(channel.client.hlen(channel.unacked_key))
        return flushed, not unacked and not self._queue_length()

    def serve(self, *, concurrency: int | None = None) -> int:
        """Be a Celery worker until SIGINT or SIGTERM."""
        from paceline_adapters.celery.serving import serve

        return serve(self, self._context, concurrency or self.concurrency)

    async def close(self) -> None:
        """Close connections to the broker, unless they are those of an app in use elsewhere."""
        if self._in_use.ours:
            await asyncio.to_thread(self.app.close)

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(question)
        except self._in_use.faults() as error:
            raise self._in_use.unavailable(error) from None

    def check_broker(self) -> None:
        """Connect once.

        Raises:
            PartUnavailable: the broker cannot be reached.
        """
        try:
            self._queue_length()
        except self._in_use.faults() as error:
            raise self._in_use.unavailable(error) from None


def _run_ids(tasks: Any) -> tuple[str, ...]:
    """Ids of the runs among the tasks that a worker named."""
    return tuple(
        str(task["args"][0])
        for task in tasks or ()
        if task.get("name") == TASK and task.get("args")
    )
