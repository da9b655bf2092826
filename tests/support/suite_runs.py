"""Run a contract suite as pytest would, for tests of the suites themselves."""

from collections.abc import Iterator

import pytest
from paceline.testing.contracts import Contract


def names_of(suite: type[Contract]) -> list[str]:
    """The tests that pytest collects of a suite."""
    return [
        name for name in dir(suite) if name.startswith("test_") and callable(getattr(suite, name))
    ]


def complaint(suite: type[Contract], test: str) -> str:
    """The failure of a test of the suite, with the example that Hypothesis shrank.

    Fails if the part passes the test.
    """
    assert test in names_of(suite)
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        getattr(suite(), test)()
    return "\n".join(_lines(failed.value))


def _lines(error: BaseException) -> Iterator[str]:
    yield str(error) or type(error).__name__
    yield from getattr(error, "__notes__", ())
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _lines(one)
