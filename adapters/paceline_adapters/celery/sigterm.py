"""How a pool process reacts to SIGTERM."""

import signal
import threading


def ignore_sigterm() -> None:
    """Ignore further SIGTERMs in a pool process that is about to exit.

    To stop its runs at once, send a second SIGTERM to the main process.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
