"""Starts a parser's child, ends it where it hangs or swells, and keeps the inputs that it failed on."""

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.child import ALLOWED, MIB, Case

HANG = 10.0
"""Seconds that one case may take."""
_START = 120.0
"""Seconds that imports and seeds may take on a busy machine."""
_PATIENCE = 6
"""A case that gets little of a busy machine's time hangs only after so many times as long."""
_POLL = 0.05
_MOST = 5
"""Failures of one parser after which the rest of its time is not used."""


@dataclass(frozen=True)
class Failure:
    """An input that a parser must not fail on so, and did."""

    kind: str
    """crash, hang, allocation or died."""
    what: str
    data: bytes

    def save(self, name: str, folder: Path) -> Path:
        """Keep the input for replay; return where."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-{hashlib.sha256(self.data).hexdigest()[:12]}"
        path.write_bytes(self.data)
        return path


@dataclass
class Outcome:
    """What became of one parser."""

    name: str
    seconds: float = 0.0
    cases: int = 0
    digest: str = ""
    """SHA-256 of the inputs, where as many as were asked for were tried."""
    failures: list[Failure] = field(default_factory=list)


def fuzz(
    name: str,
    seconds: float,
    seed: int,
    inputs: float = math.inf,
    module: str = "fuzz.parsers",
    hang: float = HANG,
) -> Outcome:
    """Fuzz the parser of a name in a module's registry for some seconds, in as many children as it takes.

    Not more than so many inputs are tried. Where that is a number, the same seed makes the same inputs.
    """
    outcome = Outcome(name)
    while outcome.seconds < seconds and outcome.cases < inputs and len(outcome.failures) < _MOST:
        asked = [str(number) for number in (seconds - outcome.seconds, inputs - outcome.cases, seed)]
        with tempfile.TemporaryDirectory(prefix="escape-fuzz-") as folder:
            _one_child(outcome, Path(folder), seconds - outcome.seconds, [module, name, *asked], hang)
        seed += 1
    return outcome


def _one_child(outcome: Outcome, folder: Path, seconds: float, arguments: list[str], hang: float) -> None:
    case, told = Case(folder / "case"), len(outcome.failures)
    with _started(folder, arguments) as child:
        began = time.monotonic()
        base = seen = 0
        used = 0.0
        while child.poll() is None:
            time.sleep(_POLL)
            start, count, _ = case.state()
            now = time.monotonic()
            if now - began > seconds + _START:
                raise RuntimeError(f"the fuzzer of {outcome.name} is stuck: {_last(folder / 'stderr')}")
            if not (folder / "ready").exists():  # imports and seeds
                continue
            base = base or _resident(child.pid)
            if count != seen:
                seen, used = count, _busy(child.pid)
            late, busy = now - start, _busy(child.pid) - used
            if start and late > hang and (busy > hang / 2 or late > _PATIENCE * hang):
                outcome.failures.append(Failure("hang", f"longer than {hang:g} s", case.data))
                break
            if _resident(child.pid) > base + ALLOWED:
                outcome.failures.append(Failure("allocation", f"more than {ALLOWED // MIB} MiB resident", case.data))
                break
        outcome.seconds += time.monotonic() - began
    outcome.cases += case.state()[1]
    if (folder / "digest").exists():
        outcome.digest = (folder / "digest").read_text(encoding="ascii")
    complaints = (folder / "stdout").read_text(encoding="utf-8").splitlines()
    for said in map(json.loads, complaints):
        failure = Failure(said["kind"], said["what"], bytes.fromhex(said["input"]))
        if failure.what not in {known.what for known in outcome.failures}:
            outcome.failures.append(failure)
    if child.returncode != 0 and len(outcome.failures) == told and not complaints:
        if case.state()[1] == 0:
            raise RuntimeError(f"parser {outcome.name} did not start: {_last(folder / 'stderr')}")
        what = f"exit code {child.returncode}: {_last(folder / 'stderr')}"
        outcome.failures.append(Failure("died", what, case.data))


@contextmanager
def _started(folder: Path, arguments: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "fuzz.child", *arguments, str(folder)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "MALLOC_ARENA_MAX": "1",  # an arena a thread would look like memory taken
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),
    }
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=folder)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


def _busy(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0


def _last(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " | ".join(lines[-3:])[-400:] if lines else "it said nothing"
