"""Fuzz each parser, or the one named, and print a line for each; exit with 1 where one failed."""

import argparse
import os
import random
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.child import main as replay
from fuzz.parsers import PARSERS
from fuzz.watch import Outcome, fuzz

KEPT = Path("var") / "fuzz"
PATIENCE = 20
"""Where inputs are counted, a parser may take so many times the seconds on a slow or busy machine."""


def main() -> int:
    """Read the command line, run, report."""
    arguments = argparse.ArgumentParser(prog="./run fuzz", description=__doc__)
    arguments.add_argument("seconds", nargs="?", type=float, default=30.0, help="for each parser (default: 30)")
    arguments.add_argument("name", nargs="?", choices=sorted(PARSERS), help="only this parser")
    arguments.add_argument(
        "--counted",
        action="store_true",
        help="not by the clock: as many inputs as so many seconds usually hold; with --seed the same on every machine",
    )
    arguments.add_argument("--seed", type=int, default=None, help="of the random numbers (default: another each time)")
    arguments.add_argument("--replay", type=Path, metavar="FILE", help="parse one input that was kept, by NAME")
    given = arguments.parse_args()
    if given.replay is not None:
        if given.name is None:
            arguments.error("--replay needs the parser's NAME")
        with tempfile.TemporaryDirectory() as folder:
            try:
                replay("fuzz.parsers", given.name, 0.0, 0, 0, Path(folder), given.replay.resolve())
                print("accepted")
            except PARSERS[given.name].expected as error:
                print(f"refused: {error}")
        return 0
    seed = random.SystemRandom().randrange(2**31) if given.seed is None else given.seed
    names = [given.name] if given.name else list(PARSERS)
    print(
        f"{len(names)} parsers, {given.seconds:g} s {'counted ' if given.counted else ''}each, seed {seed}", flush=True
    )

    def run(name: str) -> Outcome:
        if given.counted:
            inputs = max(round(given.seconds * PARSERS[name].rate), 1)
            return fuzz(name, PATIENCE * given.seconds, seed, inputs)
        return fuzz(name, given.seconds, seed)

    failed = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for outcome in pool.map(run, names):
            word = "ok" if not outcome.failures else f"{len(outcome.failures)} FAILED"
            inputs = f"{outcome.cases:>9} inputs {outcome.digest[:8]:8}"
            print(f"{outcome.name:<20} {inputs} in {outcome.seconds:4.0f} s  {word}", flush=True)
            for failure in outcome.failures:
                failed += 1
                kept = failure.save(outcome.name, KEPT)
                print(f"  {failure.kind}: {failure.what}\n  ./run fuzz 0 {outcome.name} --replay {kept}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
