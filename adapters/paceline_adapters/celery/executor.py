"""The client's side of the queue: submit runs, and inspect which worker holds them."""

import asyncio
import re
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from paceline import (
    Context,
    Executor,
    Finding,
    PacelineError,
    PartRejected,
    SettingsError,
    WorkerLoad,
)
from paceline.contracts.finding import ascending

from paceline_adapters.celery.app import AppInUse, NoResult, Unrouted, app_in_use
from paceline_adapters.celery.host_app import (
    check_app,
    conflicts,
    drawbacks,
    visibility_timeout,
    without_task,
)
from paceline_adapters.celery.lost_messages import BrokerState
from paceline_adapters.celery.options import CeleryOptions
from paceline_adapters.celery.queued_messages import remove_messages
from paceline_adapters.celery.task import TASK
from paceline_adapters.celery.untyped import exceptions, import_own_worker

T = TypeVar("T")

#: Seconds to wait for the workers' replies.
REPLY_TIMEOUT = 1.0
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
        self._without_task: Sequence[str] = ()
        # With `task_always_eager`, runs still go to workers, and Celery warns at each message.
        warnings.filterwarnings(
            "ignore", category=exceptions.AlwaysEagerIgnored, module=re.escape(__name__)
        )

    @property
    def app(self) -> Any:
        """The Celery app in use."""
        return self._in_use.app

    async def submit(self, run_id: str) -> None:
        """Send a message that carries the run's id and nothing else.

        Raises:
            SettingsError: a setting of the app conflicts with our task.
        """
        await self._in_thread(lambda: self._send(run_id))

    def _send(self, run_id: str) -> None:
        check_app(self.app, self.options.queue)
        self.app.send_task(
            TASK,
            args=[run_id],
            # The id differs each time: a worker may briefly hold two messages of one run.
            task_id=f"{run_id}.{secrets.token_hex(4)}",
            router=Unrouted(),
            queue=self.options.queue,
            # Sent to the queue itself, whatever exchange the app binds it to.
            exchange_type="direct",
            serializer="json",
            ignore_result=True,
            result_cls=NoResult,
            add_to_parent=False,
            retry=True,
            retry_policy=_RETRY,
        )

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove the waiting messages of runs from a broker that is Redis.

        Workers drop the messages that they have taken already, and those of other brokers.
        """
        await self._in_thread(lambda: self._forget(run_ids))

    def _forget(self, run_ids: Sequence[str]) -> None:
        with self.app.connection_for_write() as connection:
            if connection.transport.driver_type == "redis":
                remove_messages(connection.default_channel, self.options.queue, run_ids)

    async def inspect(self) -> Sequence[WorkerLoad]:
        """Query all workers of the queue. Takes a second, as their number is unknown."""
        commands = ("active", "reserved", "stats", "active_queues", "registered")
        replies = await asyncio.gather(*(self._in_thread(self._query(name)) for name in commands))
        active, reserved, stats, queues, tasks = (dict(reply or {}) for reply in replies)
        ours = [
            name
            for name in sorted(queues)
            if any(queue["name"] == self.options.queue for queue in queues[name])
        ]
        self._without_task = [
            name for name in ours if name in tasks and not any(map(_is_ours, tasks[name]))
        ]
        return [
            WorkerLoad(
                name=name,
                active=_run_ids(active.get(name)),
                reserved=_run_ids(reserved.get(name)),
                concurrency=int(stats.get(name, {}).get("pool", {}).get("max-concurrency", 0)),
            )
            for name in ours
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
        """Check the app's settings, connect to the broker and count the messages in the queue."""
        check_app(self.app, self.options.queue)
        queued = await self.queued()
        await self._in_thread(self._subscribe_once)
        return f"its broker answers; {queued} messages in {self.options.queue}"

    def _subscribe_once(self) -> None:
        """Subscribe as workers do, by a pattern, which a Redis compares with its rules as text."""
        with self.app.connection_for_write() as connection:
            if connection.transport.driver_type != "redis":
                return
            channel = connection.default_channel
            subscription = channel.client.pubsub()
            try:
                subscription.psubscribe(f"{channel.keyprefix_fanout}celery.pidbox")
                subscription.get_message(timeout=REPLY_TIMEOUT)
            except connection.channel_errors as error:
                raise PartRejected(
                    f"the Celery broker {connection.as_uri()} rejects a subscription: {error}; "
                    "Celery subscribes by patterns, so its user needs the rule &*"
                ) from None
            finally:
                subscription.close()

    def findings(self) -> Sequence[Finding]:
        """Check the app's settings and the order of time limits.

        After `inspect`, also report workers that would drop our messages.
        """
        options, task = self.options, self.app.tasks[TASK]
        times = [
            ("run.deadline", self._context.settings.run.deadline),
            # The app may annotate all tasks with other limits.
            ("soft_time_limit", task.soft_time_limit),
            ("time_limit", task.time_limit),
            ("visibility_timeout", self._visibility_timeout()),
        ]
        if options.pool == "threads":
            # Celery ignores its time limits on threads. paceline applies its own deadline.
            times = [times[0], times[-1]]
        found = [
            *(conflict.finding() for conflict in conflicts(self.app, options.queue)),
            *(without_task(name, options.queue) for name in self._without_task),
            *drawbacks(self.app),
        ]
        return [*found, ascending("executor celery", times)]

    def _visibility_timeout(self) -> float | None:
        """Seconds after which the app's broker redelivers a message, if the broker is Redis."""
        if self.app.connection_for_write().transport.driver_type != "redis":
            return None
        return visibility_timeout(self.app)

    async def broker_state(self) -> BrokerState:
        """Check whether the broker was flushed, and whether no message waits.

        A broker other than Redis is reported as neither, because it keeps its messages.
        """
        return await self._in_thread(self._broker_state)

    def _broker_state(self) -> BrokerState:
        with self.app.connection_for_write() as connection:
            if connection.transport.driver_type != "redis":
                return BrokerState(flushed=False, empty=False)
            channel = connection.default_channel
            flushed = bool(channel.client.set(_MARK, "1", nx=True))
        return BrokerState(flushed=flushed, empty=not self._queue_length())

    def serve(self, *, concurrency: int | None = None) -> int:
        """Run a Celery worker until a signal stops the process."""
        from paceline_adapters.celery.serving import serve

        check_app(self.app, self.options.queue)
        self._check_broker()
        if self._in_use.ours:
            import_own_worker()
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
        except PacelineError:
            raise
        except self._in_use.faults() as error:
            if isinstance(error.__cause__, LookupError):  # newer kombu wraps it
                raise self._cannot_exchange(error.__cause__) from error
            raise self._in_use.unavailable(error) from None
        except Exception as error:
            if self._in_use.ours:
                raise
            raise self._cannot_exchange(error) from error

    def _cannot_exchange(self, error: BaseException) -> SettingsError:
        what = f"{type(error).__name__}: {error}"
        return SettingsError(f"your Celery app cannot exchange messages: {what}")


def _is_ours(registered: str) -> bool:
    # Celery appends a task's rate limit: `name [rate_limit=1/s]`.
    return registered.partition(" ")[0] == TASK


def _run_ids(tasks: Any) -> tuple[str, ...]:
    """Ids of the runs among the tasks that a worker reported."""
    return tuple(
        str(task["args"][0])
        for task in tasks or ()
        if task.get("name") == TASK and task.get("args")
    )
