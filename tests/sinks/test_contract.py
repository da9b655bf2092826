"""The built-in sinks keep the contract, and the suite catches planted faults by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from paceline import Delivery, Sink, SinkUnavailable
from paceline.testing.contracts import SinkContract
from paceline_adapters.sinks.file_names import file_name
from paceline_adapters.sinks.files import FilesSink
from paceline_adapters.sinks.files_plugin import FilesOptions
from paceline_adapters.sinks.webhook import WebhookSink
from paceline_adapters.sinks.webhook_plugin import WebhookOptions

from tests.sinks.deliveries import an_artifact
from tests.support.suite_runs import complaint
from tests.support.webhook_receiver import SECRET, Received, receiver


class TestFiles(SinkContract):
    virtual = False
    can_shut = True

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "content"

    def sink(self) -> Sink:
        return FilesSink(FilesOptions(url=str(self.folder)))

    async def has(self, delivery: Delivery) -> bool:
        options = FilesOptions(url="x")
        artifact = delivery.kind == "artifact"
        path = self.folder / file_name(options.key if artifact else options.run_key, delivery)
        if not path.is_file():
            return False
        expected = delivery.readable if artifact else f'"number": {delivery.number}'
        return expected.rstrip() in path.read_text(encoding="utf-8")

    async def shut(self) -> None:
        self.folder.write_text("in the way")


class TestWebhook(SinkContract):
    virtual = False
    can_shut = rejects = True

    @pytest.fixture(autouse=True)
    def _receiver(self) -> Iterator[None]:
        with receiver() as self.received:
            self.url = self.received.url
            yield

    received: Received

    def sink(self) -> Sink:
        return WebhookSink(WebhookOptions.model_validate({"url": self.url, "secret": SECRET}))

    async def has(self, delivery: Delivery) -> bool:
        return delivery.to_json() in self.received.messages

    async def shut(self) -> None:
        self.url = "http://127.0.0.1:1/"

    def rejected(self) -> Delivery:
        bad = an_artifact("bad")
        self.received.rejected_ids.add(bad.id)
        return bad


class Shelf(Sink):
    """A sink in memory."""

    def __init__(self, kept: dict[str, Delivery]) -> None:
        self.kept = kept
        self.shut = False

    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        if self.shut:
            raise SinkUnavailable("shut")
        self.kept.update({one.id: one for one in batch})
        return None


class LosesRuns(Shelf):
    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        return await super().deliver([one for one in batch if one.kind == "artifact"])


class RejectsRepetitions(Shelf):
    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        known = {one.id: "known" for one in batch if one.id in self.kept}
        await super().deliver(batch)
        return known


class KeepsTheFirst(Shelf):
    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        known = {(one.concept_id, one.step) for one in self.kept.values()}
        return await super().deliver([o for o in batch if (o.concept_id, o.step) not in known])


class SwallowsOutages(Shelf):
    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        return None if self.shut else await super().deliver(batch)


class GivesNoReason(Shelf):
    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        return {batch[0].id: ""}


class DeliversInItsCheck(Shelf):
    async def check(self) -> str:
        from paceline.testing.contracts.sink import an_artifact as first

        await self.deliver([first()])
        return "fine"


@pytest.mark.parametrize(
    ("made", "test", "says"),
    [
        (LosesRuns, "test_what_is_accepted_has_arrived", "lost delivery: run"),
        (GivesNoReason, "test_what_is_accepted_has_arrived", "must say why"),
        (RejectsRepetitions, "test_what_is_delivered_again_is_accepted_again", "repetition"),
        (KeepsTheFirst, "test_later_versions_arrive_after_earlier_ones", "version 3"),
        (
            SwallowsOutages,
            "test_a_receiver_that_is_down_raises_sink_unavailable",
            "raise SinkUnavailable",
        ),
        (DeliversInItsCheck, "test_a_check_delivers_nothing", "assert not"),
        (LosesRuns, "test_any_delivery_is_accepted_or_rejected_with_a_reason", "lost delivery"),
    ],
)
def test_a_sink_with_a_fault_is_caught(
    made: Callable[[dict[str, Delivery]], Shelf], test: str, says: str
) -> None:
    kept: dict[str, Delivery] = {}
    shut = False

    class Suite(SinkContract):
        can_shut = True

        def sink(self) -> Sink:
            sink = made(kept)
            sink.shut = shut
            return sink

        async def has(self, delivery: Delivery) -> bool:
            return kept.get(delivery.id) == delivery

        async def shut(self) -> None:
            nonlocal shut
            shut = True

    assert says in complaint(Suite, test)


def test_the_sink_without_a_fault_passes() -> None:
    kept: dict[str, Any] = {}

    class Suite(SinkContract):
        def sink(self) -> Sink:
            return Shelf(kept)

        async def has(self, delivery: Delivery) -> bool:
            return kept.get(delivery.id) == delivery

    for test in (
        "test_what_is_accepted_has_arrived",
        "test_any_delivery_is_accepted_or_rejected_with_a_reason",
    ):
        getattr(Suite(), test)()
