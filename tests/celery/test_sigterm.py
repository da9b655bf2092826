"""A process of a real pool that gets SIGTERM again while it exits."""

import subprocess
import sys
from pathlib import Path

from tests.support.eventually import eventually

#: A pool with one process. Its task gets one signal, and more while it hands its run back.
SCRIPT = """
import os
import signal
import sys
import time

import billiard
from paceline_adapters.celery.sigterm import exit_once
from paceline_adapters.celery.untyped import set_exit_handler


def work():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except SystemExit:
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
        with open(sys.argv[1], "w") as file:
            file.write("handed back")
        raise


pool = billiard.Pool(1, initializer=set_exit_handler, initargs=(exit_once,))
pool.apply_async(work)
time.sleep(60)
"""


def test_the_first_signal_ends_a_pool_process_and_later_ones_do_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(marker)])
    try:
        assert eventually(lambda: marker.exists() and marker.read_text(), 30) == "handed back"
    finally:
        process.kill()
        process.wait()
