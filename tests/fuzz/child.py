"""One parser, damaged input after damaged input, in the process that `watch` watches.

The input of the case under way lies in a mapped file, so that it survives whatever the parser does to the process.
Where atheris is installed it chooses what to damage next by the lines of the package that an input reached; else every
case starts from a seed, which finds less in a day but nearly the same in half a minute. A number of inputs is always
made the second way: which they are then depends on neither the machine nor the code that is tried.
"""

import contextlib
import hashlib
import importlib
import json
import logging
import math
import mmap
import os
import random
import resource
import socket
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fuzz import mutations

HEADER = struct.Struct("<dQQ")
"""When the case under way began (0: none does), cases so far, length of its input."""
MIB = 2**20
ALLOWED = 1024 * MIB
"""Bytes of address space that a parser may take beyond what its valid inputs need."""
_FLOOR = 8192 * MIB
"""Beyond this the system refuses, so that no parser takes the machine with it."""


class Case:
    """The mapped file, as parent and child see it."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(b"\0" * (HEADER.size + mutations.LONGEST))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def begin(self, data: bytes) -> None:
        """Note an input before it is parsed."""
        _, count, _ = self.state()
        self._map[HEADER.size : HEADER.size + len(data)] = data
        HEADER.pack_into(self._map, 0, time.monotonic(), count + 1, len(data))

    def end(self) -> None:
        """Note that it was parsed."""
        _, count, length = self.state()
        HEADER.pack_into(self._map, 0, 0.0, count, length)

    def state(self) -> tuple[float, int, int]:
        """Return the header."""
        start, count, length = HEADER.unpack_from(self._map, 0)
        return start, count, length

    @property
    def data(self) -> bytes:
        """The input of the last case."""
        return bytes(self._map[HEADER.size : HEADER.size + self.state()[2]])


class Fuzzer:
    """Hands inputs to one parser and tells what it does that it must not."""

    def __init__(self, parse: Callable[[bytes, Path], object], expected: type[BaseException], folder: Path) -> None:
        self._parse = parse
        self._expected = expected
        self._scratch = folder / "scratch"
        self._scratch.mkdir(exist_ok=True)
        self._case = Case(folder / "case")
        self._seen: set[str] = set()
        self._limit: int | None = None
        self.digest = hashlib.sha256()
        """Of all inputs."""

    def bound(self) -> None:
        """Take the memory of what was parsed so far as what is needed."""
        base = _peak()
        self._limit = base + ALLOWED
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (base + _FLOOR, hard))

    def run(self, data: bytes) -> None:
        """Parse one input."""
        data = data[: mutations.LONGEST]
        self._case.begin(data)
        self.digest.update(len(data).to_bytes(4) + data)
        try:
            self._parse(data, self._scratch)
        except self._expected:
            pass
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it is, the parser should have said it
            self._tell(error)
        if self._limit is not None and _peak() > self._limit:
            _say("allocation", f"more than {ALLOWED // MIB} MiB of memory at once", self._case.data)
            os._exit(3)  # the peak never falls again
        self._case.end()

    def _tell(self, error: BaseException) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "escape_process" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"
        mark = f"{type(error).__name__} at {place}"
        if mark not in self._seen:
            self._seen.add(mark)
            _say("crash", f"{mark}: {str(error)[:200]}", self._case.data)


def _say(kind: str, what: str, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()[:12]
    told = json.dumps({"kind": kind, "what": what, "input": data.hex(), "digest": digest})
    print(told, flush=True)  # read by `watch`


def _peak() -> int:
    """Return the most address space that this process ever had, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmPeak:")[1].split()[0]) * 1024


def _refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise OSError("no network while fuzzing")


def _explore(fuzzer: Fuzzer, seeds: list[bytes], seconds: float, seed: int, folder: Path, atheris: Any) -> None:
    """Run cases for some seconds, the next one damaged from those that reached new lines; does not return."""
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for index, one in enumerate(seeds):
        (corpus / f"seed{index}").write_bytes(one)

    def damage(data: bytes, longest: int, number: int) -> bytes:
        randomness = random.Random(number)
        if randomness.random() < 0.25:
            return bytes(atheris.Mutate(data, longest))
        return mutations.mutate(data, seeds, randomness)[:longest]

    options = [
        *(f"-max_total_time={max(int(seconds), 1)}", f"-seed={seed % 2**31 or 1}", f"-max_len={mutations.LONGEST}"),
        *("-rss_limit_mb=0", "-timeout=86400", "-verbosity=0", "-print_final_stats=0", "-detect_leaks=0"),
    ]
    atheris.Setup(
        ["fuzz", *options, f"-artifact_prefix={folder}/", str(corpus)],
        fuzzer.run,
        custom_mutator=damage,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()


def _wander(fuzzer: Fuzzer, seeds: list[bytes], seconds: float, inputs: float, seed: int) -> bool:
    """Run cases for some seconds, but not more than some, each damaged from a seed; tell whether all were run."""
    randomness = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end and inputs > 0:
        fuzzer.run(mutations.mutate(randomness.choice(seeds), seeds, randomness))
        inputs -= 1
    return inputs <= 0


def main(
    module: str, name: str, seconds: float, inputs: float, seed: int, folder: Path, replay: Path | None = None
) -> None:
    """Fuzz the parser of a name in the registry that a module has, or replay one input."""
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        atheris = None
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    socket.socket.connect = _refuse  # type: ignore[method-assign]
    socket.getaddrinfo = _refuse
    guided = atheris is not None and replay is None and inputs == math.inf
    with atheris.instrument_imports(include=["escape_process"]) if guided else contextlib.nullcontext():
        parser = importlib.import_module(module).PARSERS[name]
        if replay is not None:
            parser.parse(replay.read_bytes(), folder)
            return
        (folder / "seeds").mkdir(exist_ok=True)
        seeds = parser.seeds(folder / "seeds")
        fuzzer = Fuzzer(parser.parse, parser.expected, folder)
        for one in seeds:  # parsers import what they need when they run
            fuzzer.run(one)
    fuzzer.bound()
    (folder / "ready").touch()
    if guided:
        _explore(fuzzer, seeds, seconds, seed, folder, atheris)
    elif _wander(fuzzer, seeds, seconds, inputs, seed):
        (folder / "digest").write_text(fuzzer.digest.hexdigest(), encoding="ascii")


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        float(sys.argv[3]),
        float(sys.argv[4]),
        int(sys.argv[5]),
        Path(sys.argv[6]),
    )
