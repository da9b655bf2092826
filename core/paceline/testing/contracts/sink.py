"""What every sink guarantees: what it accepts has arrived, and what is down says so."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from paceline.contracts.finding import Finding
from paceline.contracts.sink import Delivery, Sink, artifact_delivery_id, run_delivery_id
from paceline.errors import SinkUnavailable
from paceline.testing.contracts.contract import Contract, scenario, when

#: Ids and texts that a roadmap or a model may contain.
HOSTILE = ("../../etc/passwd", "a/b", "a\\b", "..", "中文", "con", "x" * 300, "a\nb\x1b[2J", "{id}")


def an_artifact(concept_id: str = "loops", *, number: int = 1, **fields: Any) -> Delivery:
    """A delivery of version ``number`` of a tutorial."""
    values: dict[str, Any] = {
        "run_id": "01KBXYZ0123456789ABCDEFGHJ",
        "roadmap_id": "python",
        "roadmap_title": "Python",
        "tenant": "",
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "concept_name": "Loops",
        "step": "tutorial",
        "version": number,
        "content": '{"title": "Loops"}',
        "readable": f"# Loops, version {number}",
        "model": "gpt",
        "cost": 0.01,
        **fields,
    }
    delivery_id = artifact_delivery_id(values["run_id"], concept_id, values["step"], number)
    return Delivery(id=delivery_id, kind="artifact", concept_id=concept_id, number=number, **values)


def an_end(**fields: Any) -> Delivery:
    """A delivery of the end of a run."""
    values: dict[str, Any] = {
        "run_id": "01KBXYZ0123456789ABCDEFGHJ",
        "roadmap_id": "python",
        "roadmap_title": "Python",
        "tenant": "",
        "number": 1,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "status": "partial",
        "reason": "1 of 3 failed",
        "total": 3,
        "completed": 2,
        "failed": 1,
        **fields,
    }
    return Delivery(id=run_delivery_id(values["run_id"], values["number"]), kind="run", **values)


class SinkContract(Contract):
    """Inherit it, make your sink, and say what its receiver has.

    Declare:
        can_shut: whether ``shut`` makes the receiver unreachable.
        rejects: whether ``rejected`` returns a delivery that the receiver rejects.
        virtual: false if the sink uses a socket or a thread.
        patience: maximum seconds of one batch.
    """

    can_shut: ClassVar[bool] = False
    rejects: ClassVar[bool] = False
    patience: ClassVar[float] = 30.0

    def sink(self) -> Sink:
        """Make your sink without opening it. Called on the event loop.

        Each call stands for another worker that delivers to the test's receiver, which is empty
        when the test starts.
        """
        raise NotImplementedError(f"{type(self).__name__}.sink() must return the sink to test")

    async def has(self, delivery: Delivery) -> bool:
        """Whether the receiver has this delivery, with its content."""
        raise NotImplementedError(f"{type(self).__name__}.has() must look into the receiver")

    async def shut(self) -> None:
        """Make the receiver unreachable. Called only if you declare ``can_shut``."""
        raise NotImplementedError(f"{type(self).__name__}.shut() must make the receiver fail")

    def rejected(self) -> Delivery:
        """A delivery that the receiver rejects. Called only if you declare ``rejects``."""
        raise NotImplementedError(f"{type(self).__name__}.rejected() must return a delivery")

    # -- the suite -----------------------------------------------------------------------------

    @scenario
    async def test_what_is_accepted_has_arrived(self) -> None:
        """Artifacts and ended runs are in the receiver when `deliver` returns."""
        batch = [an_artifact("loops"), an_artifact("lists"), an_end()]
        assert not await self.delivered(await self.opened_sink(), batch), (
            "false alarm: an ordinary delivery was rejected"
        )
        for one in batch:
            assert await self.has(one), f"lost delivery: {one.kind} {one.id} did not arrive"

    @scenario
    async def test_what_is_delivered_again_is_accepted_again(self) -> None:
        """After a crash, another worker delivers the same batch once more."""
        batch = [an_artifact(), an_end()]
        for _ in range(2):
            assert not await self.delivered(await self.opened_sink(), batch), (
                "rejected a repetition: the same delivery must be accepted again"
            )
        for one in batch:
            assert await self.has(one), "lost delivery: a repetition removed it"

    @scenario
    async def test_later_versions_arrive_after_earlier_ones(self) -> None:
        """The newest version that was delivered is in the receiver."""
        sink = await self.opened_sink()
        for number in (1, 2, 3):
            await self.delivered(sink, [an_artifact(number=number)])
        assert await self.has(an_artifact(number=3)), "lost delivery: version 3 did not arrive"

    @scenario
    async def test_any_delivery_is_accepted_or_rejected_with_a_reason(self) -> None:
        """Ids and texts of users and models may contain anything."""
        sink = await self.opened_sink()
        for text in HOSTILE:
            batch = [
                an_artifact(text, concept_name=text, readable=text, roadmap_id=text, tenant=text),
                an_artifact("plain", content="[]", readable="", model="", cost=None),
                an_end(roadmap_id=text, reason=text, roadmap_title=text),
            ]
            refused = await self.delivered(sink, batch)
            for one in batch:
                assert one.id in refused or await self.has(one), (
                    f"lost delivery: {one.kind} of {text!r} neither arrived nor was rejected"
                )

    @scenario
    async def test_a_check_delivers_nothing(self) -> None:
        """`paceline doctor` looks whether the receiver can be reached, and changes nothing."""
        sink = self.sink()
        self.opened.push_async_callback(sink.close)
        async with asyncio.timeout(self.patience):
            found: object = await sink.check()
        assert isinstance(found, str | Finding), (
            f"no result: `check` must return text or a finding, got {found!r}"
        )
        assert not await self.has(an_artifact())

    @scenario
    async def test_a_sink_can_be_closed_at_any_time(self) -> None:
        """A worker closes a sink that it never opened, and closes it only once more."""
        sink = self.sink()
        await sink.close()
        await sink.close()

    @when("can_shut")
    @scenario
    async def test_a_receiver_that_is_down_raises_sink_unavailable(self) -> None:
        """What was not delivered must not look delivered."""
        await self.shut()
        sink = self.sink()
        self.opened.push_async_callback(sink.close)
        down: SinkUnavailable | None = None
        try:
            await sink.open()
            await self.delivered(sink, [an_artifact()])
        except SinkUnavailable as error:
            down = error
        assert down is not None, (
            "lost delivery: the receiver is down, and `deliver` returned; raise SinkUnavailable"
        )
        assert str(down), "no reason: SinkUnavailable must say what is down"
        assert an_artifact().id not in down.delivered

    @when("rejects")
    @scenario
    async def test_a_rejected_delivery_holds_up_no_other(self) -> None:
        """The others of the batch are delivered."""
        bad, good = self.rejected(), an_artifact("good")
        refused = await self.delivered(await self.opened_sink(), [bad, good])
        assert list(refused) == [bad.id], f"wrong rejection: {dict(refused)}"
        assert await self.has(good), "lost delivery: it was in a batch with a rejected one"

    # -- helpers -------------------------------------------------------------------------------

    async def opened_sink(self) -> Sink:
        """An open sink, which is closed at the end of the scenario."""
        sink = self.sink()
        self.opened.push_async_callback(sink.close)
        await sink.open()
        return sink

    async def delivered(self, sink: Sink, batch: Sequence[Delivery]) -> Mapping[str, str]:
        """Deliver a batch; what was rejected, with valid reasons."""
        try:
            async with asyncio.timeout(self.patience):
                answer: object = await sink.deliver(batch)
        except TimeoutError:
            raise AssertionError(
                f"hanging sink: a batch of {len(batch)} took more than {self.patience:g} s"
            ) from None
        assert answer is None or isinstance(answer, Mapping), (
            f"no result: `deliver` must return None or reasons by id, got {answer!r}"
        )
        refused: Mapping[str, str] = answer or {}
        ids = {one.id for one in batch}
        for delivery_id, reason in refused.items():
            assert delivery_id in ids, f"unknown id: {delivery_id!r} is not in the batch"
            assert isinstance(reason, str), f"no reason: {reason!r} must be text"
            assert reason.strip(), "no reason: a rejection must say why"
        return refused
