"""`eventually` waits as short as possible and explains a timeout."""

import pytest
from paceline.testing.virtual_time import real_time

from tests.support.eventually import eventually, eventually_async


def test_eventually_returns_the_first_true_answer() -> None:
    answers = iter([0, "", 7])
    assert eventually(lambda: next(answers)) == 7


def test_eventually_retries_after_a_failed_assertion() -> None:
    answers = iter([1, 2, 3])

    def check() -> str:
        assert next(answers) == 3
        return "three"

    assert eventually(check) == "three"


def test_eventually_raises_other_exceptions_immediately() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 // 0)


def test_a_timeout_names_the_check_and_its_last_answer() -> None:
    def never() -> list[str]:
        return []

    with pytest.raises(AssertionError, match=r"not within 0 s: .*never \(.*\); last: \[\]"):
        eventually(never, within=0)


@real_time
async def test_eventually_async_accepts_functions_and_coroutines() -> None:
    answers = iter(["", "plain", "", "awaited"])

    async def check() -> str:
        return next(answers)

    assert await eventually_async(lambda: next(answers)) == "plain"
    assert await eventually_async(check) == "awaited"
    with pytest.raises(AssertionError, match="last: None"):
        await eventually_async(lambda: None, within=0)
