"""Calls that wait for a connection of their own process are the run's trouble."""

import logging

import pytest
from paceline import ProviderSettings
from paceline.calls.provider_health import ProviderHealth

REASON = "all 2 connections are in use: raise provider.max_connections"


def test_a_run_reports_a_limit_of_connections_until_the_last_waiting_call_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reported: list[str | None] = []
    health = ProviderHealth(ProviderSettings(), reported.append)
    with caplog.at_level(logging.WARNING, "paceline.provider"):
        with health.waiting_for(REASON):
            with health.waiting_for(REASON):
                assert health.trouble == f"waiting for a connection: {REASON}"
            assert health.trouble is not None
        assert health.trouble is None
        with health.waiting_for(REASON):
            pass
    told = f"waiting for a connection: {REASON}"
    assert reported == [told, None, told, None]
    assert len(caplog.records) == 1


def test_a_call_that_begins_at_once_reports_nothing() -> None:
    reported: list[str | None] = []
    health = ProviderHealth(ProviderSettings(), reported.append)
    with health.waiting_for(None):
        assert health.trouble is None
    assert reported == []
