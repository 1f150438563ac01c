"""Throughput of whole requests against the floor of the same files and other inversions, all measured in one run.

./run bench scale [--sizes 1,4,16,64] [--native 5.6] [--workers 1,2,4] [--page docs/performance.md]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from scaling import page
from scaling.measuring import known_engines, run_part
from scaling.page import Results, Row, Spread
from scaling.scenes import Case, make_base, make_scene

ROOT = Path(__file__).parent.parent


def numbers(text: str) -> list[float]:
    """Read an option such as 1,4,16."""
    return [float(part) for part in text.split(",") if part]


def answered(
    catalogue: Path, folder: Path, case: Case, *, members: int, engine: str, workers: int
) -> tuple[dict[str, Any], Path]:
    """Answer one request in a process and a data folder of its own."""
    data = folder / f"{engine}-{workers}"
    data.mkdir()
    arguments = {"catalogue": str(catalogue), "data": str(data), "resolution": case.resolution, "members": members}
    told = run_part("request", {**arguments, "engine": engine, "workers": workers}, workers)
    print(
        f"  {case.name}, {engine}, {workers} workers: {told['seconds']:.1f} s, {told['cpu']:.1f} CPU s,"
        f" {told['peak'] / 2**20:.0f} MiB",
        flush=True,
    )
    return told, data


def measure_case(base: Path, case: Case, options: argparse.Namespace, engines: list[str]) -> tuple[Row, list[Spread]]:
    """Measure one case; where it is the one chosen for that, with other numbers of workers and engines too."""
    spreads = []
    main, members = options.main_workers, options.members
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        catalogue = make_scene(base, case.edge, folder)
        told, data = answered(catalogue, folder, case, members=members, engine="inline", workers=main)
        floor = run_part("floor", {"catalogue": str(catalogue), "folder": told["folder"], "workers": main}, main)
        arguments = {"catalogue": str(catalogue), "data": str(data), "resolution": case.resolution, "members": members}
        rates = run_part("rates", {**arguments, "workers": main}, main)
        row = Row(case, told, floor, rates)
        print(
            f"  {case.name}: floor {floor['reading']:.1f} s reading, {floor['writing']:.1f} s writing; inference"
            f" {row.inference:.1f} s; end to end {row.ratio:.2f} times their sum (CPU: {row.cpu_ratio:.2f})",
            flush=True,
        )
        if case.megapixels == options.spread_over and not case.native:
            for engine in engines:
                for workers in options.workers:
                    if (engine, workers) == ("inline", main):
                        spreads.append(Spread(case, engine, workers, told))
                        continue
                    other, _ = answered(catalogue, folder, case, members=members, engine=engine, workers=workers)
                    if other["checksums"] != told["checksums"]:
                        raise SystemExit(f"{engine} with {workers} workers wrote other bytes than inline with {main}")
                    spreads.append(Spread(case, engine, workers, other))
    return row, spreads


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=[1, 4, 16, 64], help="million pixels a channel")
    parser.add_argument("--native", type=numbers, default=[5.6], help="the same, with a cell of the result for each")
    parser.add_argument("--workers", type=numbers, default=[1, 2, 4], help="of the case that is run with several")
    parser.add_argument("--spread-over", type=float, default=16, help="that case, one of the sizes; 0: none")
    parser.add_argument("--engine", help="engines to try with several workers, after commas; all that need no other")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where scenes and results go meanwhile: some GB")
    parser.add_argument("--page", type=Path, help="write the page here; docs/performance.md is the one that is kept")
    options = parser.parse_args()
    options.workers = [int(number) for number in options.workers]
    cores = len(os.sched_getaffinity(0))
    options.main_workers = min(2, cores)
    known = known_engines()
    wanted = options.engine.split(",") if options.engine else known
    engines = [name for name in wanted if name in known]
    if engines != wanted:
        print(f"left out, this version does not have them: {', '.join(sorted(set(wanted) - set(engines)))}")
    load, memory = os.getloadavg()[0], psutil.virtual_memory().total / 2**30
    print(f"{cores} cores, {memory:.0f} GiB; load before: {load:.1f}; simulated scenes", flush=True)

    rows, spreads = [], []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        base = make_base(Path(name))
        for case in [Case(size, False) for size in options.sizes] + [Case(size, True) for size in options.native]:
            row, several = measure_case(base, case, options, engines)
            rows.append(row)
            spreads += several
    results = Results(rows, spreads, cores, memory, load, options.main_workers, options.members)
    text = page.write(results)
    print(text)
    if options.page is not None:
        options.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
