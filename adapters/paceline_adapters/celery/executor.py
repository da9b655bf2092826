"""The client's side of the queue: submit runs, and inspect which worker holds them."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from paceline import Context, Executor, Finding, WorkerLoad
from paceline.contracts.finding import ascending

from paceline_adapters.celery.app import AppInUse, app_in_use
from paceline_adapters.celery.lost_messages import BrokerState
from paceline_adapters.celery.options import CeleryOptions
from paceline_adapters.celery.task import TASK

T = TypeVar("T")

#: Seconds to wait for the workers' replies.
REPLY_TIMEOUT = 1.0
#: Celery's default, in seconds.
_KOMBUS_VISIBILITY_TIMEOUT = 3600
#: This key exists in the broker until the broker is flushed.
_MARK = "paceline-was-here"
_RETRY: Mapping[str, object] = {"max_retries": 1, "interval_start": 0.2}


class CeleryExecutor(Executor):
    """Sends runs to Celery workers.

    Celery's client blocks, so each of its calls runs in a thread beside the event loop.

    Raises:
        SettingsError: ``redis.url`` is not set, or the app of the options does not exist.
    """

    def __init__(self, options: CeleryOptions, context: Context) -> None:
        self.options = options
        self.concurrency = options.concurrency
        self.processes = options.concurrency if options.pool == "prefork" else 1
        self._context = context
        self._in_use: AppInUse = app_in_use(options, context.settings)

    @property
    def app(self) -> Any:
        """The Celery app in use."""
        return self._in_use.app

    async def submit(self, run_id: str) -> None:
        """Send a message that carries the run's id and nothing else."""
        await self._in_thread(lambda: self._send(run_id))

    def _send(self, run_id: str) -> None:
        self.app.send_task(
            TASK,
            args=[run_id],
            # The id differs each time: a worker may briefly hold two messages of one run.
            task_id=f"{run_id}.{secrets.token_hex(4)}",
            queue=self.options.queue,
            serializer="json",
            ignore_result=True,
            retry=True,
            retry_policy=_RETRY,
        )

    async def inspect(self) -> Sequence[WorkerLoad]:
        """Query all workers of the queue. Takes a second, as their number is unknown."""
        commands = ("active", "reserved", "stats", "active_queues")
        replies = await asyncio.gather(*(self._in_thread(self._query(name)) for name in commands))
        active, reserved, stats, queues = (dict(reply or {}) for reply in replies)
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

    def _query(self, command: str) -> Callable[[], Any]:
        def query() -> Any:
            # Celery gives each thread its own queue for replies.
            return getattr(self.app.control.inspect(timeout=REPLY_TIMEOUT), command)()

        return query

    async def queued(self) -> int:
        """Number of messages in the queue that no worker has taken."""
        return await self._in_thread(self._queue_length)

    def _queue_length(self) -> int:
        with self.app.connection_for_write() as connection:
            queue = self.app.amqp.queues[self.options.queue](connection.default_channel)
            return int(queue.queue_declare(passive=False).message_count)

    async def check(self) -> str:
        """Connect to the broker and count the messages in the queue."""
        return f"its broker answers; {await self.queued()} messages in {self.options.queue}"

    def findings(self) -> Sequence[Finding]:
        """Check that the deadline and the time limits apply in the right order."""
        options = self.options
        times = [
            ("run.deadline", self._context.settings.run.deadline),
            ("soft_time_limit", options.soft_time_limit),
            ("time_limit", options.time_limit),
            ("visibility_timeout", self._visibility_timeout()),
        ]
        if options.pool == "threads":
            # Celery ignores its time limits on threads. paceline applies its own deadline.
            times = [times[0], times[-1]]
        return [ascending("executor celery", times)]

    def _visibility_timeout(self) -> float | None:
        """Seconds after which the app's broker redelivers a message, if the broker is Redis."""
        if self.app.connection_for_write().transport.driver_type != "redis":
            return None
        given = dict(self.app.conf.broker_transport_options or {})
        return float(given.get("visibility_timeout", _KOMBUS_VISIBILITY_TIMEOUT))

    async def broker_state(self) -> BrokerState:
        """Check whether the broker was flushed or is empty.

        A broker other than Redis is reported as neither, because it keeps its messages.
        """
        return await self._in_thread(self._broker_state)

    def _broker_state(self) -> BrokerState:
        with self.app.connection_for_write() as connection:
            if connection.transport.driver_type != "redis":
                return BrokerState(flushed=False, empty=False)
            channel = connection.default_channel
            flushed = bool(channel.client.set(_MARK, "1", nx=True))
            unacked = int(channel.client.hlen(channel.unacked_key))
        return BrokerState(flushed=flushed, empty=not unacked and not self._queue_length())

    def serve(self, *, concurrency: int | None = None) -> int:
        """Run a Celery worker until SIGINT or SIGTERM."""
        from paceline_adapters.celery.serving import serve

        self._check_broker()
        return serve(self.app, self.options, self._context, concurrency or self.concurrency)

    def _check_broker(self) -> None:
        """Connect once; raise ``PartUnavailable`` if the broker cannot be reached."""
        try:
            self._queue_length()
        except self._in_use.faults() as error:
            raise self._in_use.unavailable(error) from None

    async def close(self) -> None:
        """Close the broker connections, unless the app is also used elsewhere."""
        if self._in_use.ours:
            await asyncio.to_thread(self.app.close)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(call)
        except self._in_use.faults() as error:
            raise self._in_use.unavailable(error) from None


def _run_ids(tasks: Any) -> tuple[str, ...]:
    """Ids of the runs among the tasks that a worker reported."""
    return tuple(
        str(task["args"][0])
        for task in tasks or ()
        if task.get("name") == TASK and task.get("args")
    )
