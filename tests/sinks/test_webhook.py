"""The sink `webhook`, with a real server that verifies with another library."""

import base64
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from paceline import Delivery, SettingsError, SinkUnavailable
from paceline.testing.virtual_time import real_time
from paceline_adapters.sinks.webhook import WebhookSink, _seconds
from paceline_adapters.sinks.webhook_plugin import WebhookOptions
from pydantic import ValidationError

from tests.sinks.deliveries import an_artifact, an_end
from tests.support.webhook_receiver import SECRET, Received, receiver

OTHER = "whsec_" + base64.b64encode(b"another-secret-of-32-bytes-long!").decode()


def webhook(url: str, **options: Any) -> WebhookSink:
    values: dict[str, Any] = {"url": url, "secret": SECRET, **options}
    return WebhookSink(WebhookOptions.model_validate(values))


async def posted(sink: WebhookSink, *deliveries: Delivery) -> Mapping[str, str] | None:
    try:
        return await sink.deliver(deliveries)
    finally:
        await sink.close()


@real_time
async def test_each_delivery_arrives_with_a_valid_signature_and_its_id() -> None:
    with receiver() as received:
        made, end = an_artifact(), an_end()
        assert not await posted(webhook(received.url), made, end)
    assert {one["webhook-id"] for one in received.headers} == {made.id, end.id}
    by_id = {message["id"]: message for message in received.messages}
    assert by_id[made.id] == made.to_json()
    assert by_id[end.id]["type"] == "run.ended"
    assert received.headers[0]["content-type"] == "application/json"


@real_time
async def test_a_rotation_signs_with_every_secret() -> None:
    for secrets in ({"secret": OTHER, "secrets": [SECRET]}, {"secrets": [OTHER]}):
        with receiver() as received:
            assert not await posted(webhook(received.url, **secrets), an_artifact())
        assert len(received.headers[0]["webhook-signature"].split(" ")) == 2


@real_time
async def test_a_receiver_with_another_secret_does_not_accept_it() -> None:
    with receiver(secret=OTHER) as received, pytest.raises(SinkUnavailable):
        await posted(webhook(received.url), an_artifact())
    assert not received.messages


@real_time
async def test_the_secret_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", f"{OTHER}, {SECRET}")
    with receiver() as received:
        await posted(webhook(received.url, secret=None, secret_env="HOOK_SECRET"), an_artifact())
        assert len(received.messages) == 1
    monkeypatch.delenv("HOOK_SECRET")
    with pytest.raises(SettingsError, match="HOOK_SECRET is not set"):
        webhook("http://x.example", secret_env="HOOK_SECRET")
    assert "HOOK_SECRET" not in os.environ


def answers(status: int, **headers: str) -> Callable[[int], tuple[int, Mapping[str, str]]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, named)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
@real_time
async def test_another_4xx_rejects_the_one_delivery(status: int) -> None:
    with receiver(lambda number: (status, {}) if number == 0 else (200, {})) as received:
        sink = webhook(received.url, concurrency=1)
        first, second = an_artifact("a"), an_artifact("b")
        rejected = await posted(sink, first, second)
    assert list((rejected or {}).values()) == [f"{place(received)} answers {status}"]
    assert len(received.messages) == 1


@pytest.mark.parametrize(
    ("status", "headers", "pause", "says"),
    [
        (429, {"Retry_After": "120"}, 120.0, "answers 429"),
        (503, {"Retry_After": "7"}, 7.0, "answers 503"),
        (500, {}, None, "answers 500"),
        (410, {}, None, "answers 410 (gone): it wants no more"),
        (302, {"Location": "http://127.0.0.1:1/"}, None, "a redirect: set url"),
    ],
)
@real_time
async def test_the_answer_says_whether_and_how_long_the_receiver_is_down(
    status: int, headers: dict[str, str], pause: float | None, says: str
) -> None:
    with receiver(answers(status, **headers)) as received, pytest.raises(SinkUnavailable) as down:
        await posted(webhook(received.url), an_artifact())
    assert down.value.retry_after == pause
    assert says in str(down.value)
    assert "token-of-ours" not in str(down.value)
    assert (received.messages, received.refused) == ([], 1)


@real_time
async def test_what_was_accepted_in_the_same_round_is_named() -> None:
    with receiver(lambda number: (200, {}) if number < 2 else (503, {})) as received:
        deliveries = [an_artifact(f"c{n}") for n in range(4)]
        with pytest.raises(SinkUnavailable) as down:
            await posted(webhook(received.url), *deliveries)
    assert down.value.delivered == set(received.ids())
    assert len(received.ids()) == 2


@real_time
async def test_a_receiver_that_cannot_be_reached_is_down(closed_port: int) -> None:
    sink = webhook(f"http://127.0.0.1:{closed_port}/hook")
    with pytest.raises(SinkUnavailable, match="cannot be reached"):
        await posted(sink, an_artifact())
    with pytest.raises(SinkUnavailable, match="cannot be reached"):
        await sink.check()


@real_time
async def test_a_receiver_that_does_not_answer_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SinkUnavailable, match=r"did not answer within 0.2 s"):
            await posted(webhook(url, request_timeout=0.2), an_artifact())


@real_time
async def test_the_check_posts_nothing() -> None:
    with receiver() as received:
        assert await webhook(received.url).check() == f"{place(received)} accepts connections"
    assert not received.messages


def test_retry_after_may_be_a_date() -> None:
    assert _seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert (_seconds("Fri, 01 Jan 2100 00:00:00 GMT") or 0) > 1e6
    assert _seconds("soon") is None


@pytest.mark.parametrize("secret", ["short", "whsec_c2hvcnQ=", "whsec_ no", SECRET[6:]])
def test_a_wrong_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValidationError) as refused:
        WebhookOptions.model_validate({"url": "http://x.example", "secret": secret})
    (fault,) = refused.value.errors()
    assert fault["msg"] == "must be whsec_ and 24 to 64 bytes in Base64"


def place(received: Received) -> str:
    return received.url.partition("/hooks")[0]
