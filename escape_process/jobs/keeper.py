"""Keeps a worker running beside the web server: starts it, starts it again where it dies, stops it at the end."""

import logging
import os
import subprocess
import sys
import threading
import time

LOGGER = logging.getLogger(__name__)

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a dead worker is started again; doubled while it dies soon."""
_HEALTHY_SECONDS = 60.0
_LOOK_EVERY = 0.1
STOP_SECONDS = 5.0


class Keeper:
    """A thread that waits for the worker to end.

    The worker is told by the kernel when this server dies, which means: when this thread does. So the thread lasts as
    long as the process.
    """

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._starting = threading.RLock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        """Start the worker; never while a web worker is forked, which would inherit a pipe that the start waits on."""
        lock = self._starting
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
        self._thread.start()

    def stop(self) -> None:
        """Have the worker send its jobs back to wait and end."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.terminate()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive() and self._worker is not None:
            self._worker.kill()

    def _keep(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            with self._starting:
                self._worker = subprocess.Popen([sys.executable, "-m", "escape_process.jobs.worker", str(os.getpid())])
            if self._stopping.is_set():
                self._worker.terminate()
            # asked again and again: the web server reaps all children, and may take its end from under a blocking wait
            while self._worker.poll() is None:
                time.sleep(_LOOK_EVERY)
            if self._stopping.is_set():
                return
            LOGGER.warning("The worker ended; it is started again in %g s", pause)
            self._stopping.wait(pause)
            lived = time.monotonic() - started
            pause = _SHORTEST_PAUSE if lived > _HEALTHY_SECONDS else min(2 * pause, _LONGEST_PAUSE)
