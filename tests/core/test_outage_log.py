"""An outage is logged once, also if the part recovers for moments."""

import logging

import pytest
from paceline.errors import PartUnavailable
from paceline.runtime.outage_log import OutageLog


def test_a_part_that_recovers_for_moments_is_one_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="test")
    times = [0.0, 10.0, 50.0, 100.0, 100.0, 200.0]
    outage = OutageLog(logging.getLogger("test"), "runs wait", clock=lambda: times.pop(0))
    for _ in range(4):
        outage.failed(PartUnavailable("the disk is full"))
        outage.recovered()
    assert caplog.messages == ["the disk is full; runs wait", "recovered (was: the disk is full)"]
    outage.failed(PartUnavailable("no answer"))
    assert caplog.messages[2:] == ["no answer; runs wait"]
    outage.recovered()
    outage.failed(PartUnavailable("the disk is full"))
    assert caplog.messages[3:] == ["recovered (was: no answer)", "the disk is full; runs wait"]
