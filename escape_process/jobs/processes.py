"""Processes as Linux knows them: who a worker is, whether it still lives, and the group of one job's processes."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TERM_SECONDS = 1.5
"""What a job's processes have between TERM and KILL."""


def this_process() -> str:
    """Name this process so that others can tell whether it lives: `place/pid/start`."""
    return f"{_place()}/{os.getpid()}/{_start(os.getpid())}"


def peak_memory() -> int:
    """Return the most bytes of memory that this process had resident so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def is_gone(name: str) -> bool:
    """Whether a process named by `this_process` is known to have ended; False for one of another host."""
    place, pid, start = name.rsplit("/", 2)
    return place == _place() and _start(int(pid)) != start


@cache
def _place() -> str:
    """Where process ids mean the same: one boot of one kernel, one namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{socket.gethostname()}-{boot[:8]}-{namespace}"


def _start(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty where it has ended."""
    numbers = _stat(pid)
    return "" if numbers is None or numbers[0] in "ZX" else numbers[19]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third on, the state."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


class Group:
    """The processes of one attempt of a job: a child in a session of its own, and whatever it starts."""

    def __init__(self, program: list[str]) -> None:
        self._leader = subprocess.Popen(program, start_new_session=True, stdin=subprocess.PIPE)
        self._begun = time.monotonic()
        self._told: float | None = None

    def give(self, line: str) -> None:
        """Send its leader the one line that it waits for.

        Raises
        ------
        BrokenPipeError
            where it has ended.
        """
        if self._leader.stdin is not None:
            with self._leader.stdin as pipe:
                pipe.write(f"{line}\n".encode())
        self._begun = time.monotonic()

    def has_ended(self) -> bool:
        """Whether the leader has ended; then no other process of the group is left either."""
        if self._leader.returncode is not None:
            return True
        # looked at before it is reaped: until then its id cannot be another group's
        if os.waitid(os.P_PID, self._leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self._signal(signal.SIGKILL)
        self._leader.wait()
        return True

    @property
    def fate(self) -> str:
        """How the leader ended, for a sentence."""
        code = self._leader.returncode
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    def stop(self) -> None:
        """Ask the group to end; called again, insist once the time for that is over."""
        if self._told is None:
            self._told = time.monotonic()
            self._signal(signal.SIGTERM)
        elif time.monotonic() - self._told >= _TERM_SECONDS:
            self._signal(signal.SIGKILL)

    def seconds(self) -> float:
        """Return how long the group has run since it was given its line."""
        return time.monotonic() - self._begun

    def memory_mib(self) -> float:
        """Return the resident memory of all its processes."""
        return sum(int(numbers[21]) for numbers in self._members()) * _PAGE / 2**20

    def _members(self) -> Iterator[list[str]]:
        for folder in Path("/proc").iterdir():
            numbers = _stat(int(folder.name)) if folder.name.isdigit() else None
            if numbers is not None and int(numbers[2]) == self._leader.pid:
                yield numbers

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader.pid, number)
