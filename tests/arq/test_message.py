"""Messages are validated before they are used."""

import json

import pytest
from paceline_adapters.arq.message import DROP, RUN, decode, encode

RUN_ID = "01kb0000000000000000000000"
GOOD: dict[str, object] = {"t": None, "f": RUN, "a": [RUN_ID], "k": {}, "et": 1_790_000_000_000}


def test_decoding_reverses_encoding() -> None:
    assert decode(encode(GOOD)) == GOOD


def test_a_message_is_json_with_the_run_id() -> None:
    assert json.loads(encode(GOOD))["a"] == [RUN_ID]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "not JSON"),
        (b"\x80\x04\x95", "not JSON"),
        (b"[" * 4000, "not JSON"),
        (b'"' + b"x" * 5000 + b'"', "at most 4096"),
        (b"[]", "not a JSON object"),
        (encode(GOOD | {"f": "os.system"}), f"a function other than {RUN}"),
        (encode(GOOD | {"f": [RUN]}), f"a function other than {RUN}"),
        (encode(GOOD | {"a": []}), "one run id"),
        (encode(GOOD | {"a": [RUN_ID, RUN_ID]}), "one run id"),
        (encode(GOOD | {"a": [7]}), "one run id"),
        (encode(GOOD | {"a": ["../../etc"]}), "one run id"),
        (encode(GOOD | {"a": ["x" * 65]}), "one run id"),
        (encode(GOOD | {"k": {"run_id": RUN_ID}}), "one run id"),
        (encode(GOOD | {"et": "now"}), "when it was queued"),
        (encode(GOOD | {"et": True}), "when it was queued"),
        (encode(GOOD | {"et": 10**30}), "when it was queued"),
    ],
)
def test_a_foreign_message_is_dropped_with_a_reason(raw: bytes, fault: str) -> None:
    job = decode(raw)
    assert job["f"] == DROP
    reasons = job["a"]
    assert isinstance(reasons, list)
    assert fault in reasons[0]


def test_the_number_of_tries_in_a_message_is_ignored() -> None:
    assert decode(encode(GOOD | {"t": 99}))["t"] is None
