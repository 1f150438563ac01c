"""The page of figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scaling.scenes import Case

NOT_HERE = "not in this run"
COMMAND = "./run bench scale --page docs/performance.md"


@dataclass(frozen=True)
class Row:
    """One case, measured with the main number of workers."""

    case: Case
    request: dict[str, Any]
    floor: dict[str, Any]
    rates: dict[str, float]

    @property
    def cells(self) -> int:
        """Of the result, valid or not."""
        height, width = self.request["shape"]
        return int(height * width)

    @property
    def inference(self) -> float:
        """Seconds of the ensemble alone."""
        return float(self.request["cells"] / self.rates["inference"])

    @property
    def decode_and_write(self) -> float:
        """Seconds of the floor."""
        return float(self.floor["reading"] + self.floor["writing"])

    @property
    def ratio(self) -> float:
        """End to end over floor and inference."""
        return float(self.request["seconds"] / (self.decode_and_write + self.inference))

    @property
    def cpu_ratio(self) -> float:
        """The same of the seconds that all cores together worked, which other work on the machine hardly changes."""
        return float(self.request["cpu"] / (self.floor["work"] + self.request["cells"] * self.rates["work"]))


@dataclass(frozen=True)
class Spread:
    """A case with an engine and a number of workers."""

    case: Case
    engine: str
    workers: int
    request: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """One run of the benchmark."""

    rows: Sequence[Row]
    spreads: Sequence[Spread]
    cores: int
    memory: float
    """GiB."""
    load: float
    """Of the machine, before."""
    workers: int
    members: int


@dataclass(frozen=True)
class Goal:
    """A figure against what it should be."""

    what: str
    limit: str
    reached: str


def goals(results: Results) -> list[Goal]:
    """Hold the figures against the goals."""
    native = [row.request["seconds"] for row in results.rows if row.case == Case(5.6, native=True)]
    peaks = {row.case.megapixels: row.request["peak"] for row in results.rows if not row.case.native}
    ratios = [row.ratio for row in results.rows if row.case.megapixels >= 5]
    return [
        Goal(
            "5.6 Mpx, a cell of the result for each pixel, end to end",
            "60 s on two cores",
            f"{native[0]:.0f} s" if native else NOT_HERE,
        ),
        Goal(
            "peak memory of 64 Mpx over that of 4 Mpx",
            "1.15",
            f"{peaks[64] / peaks[4]:.2f}" if {4, 64} <= set(peaks) else NOT_HERE,
        ),
        Goal("ratio of 5 Mpx and more, the largest", "2.5", f"{max(ratios):.2f}" if ratios else NOT_HERE),
    ]


def write(results: Results) -> str:
    """Write the page, Markdown."""
    load = f"{results.load:.1f}" + (" (others were computing, too)" if results.load > 0.7 else "")
    parts = [
        "# Performance",
        "How long a whole request takes, in how much memory, and what that is measured against. Figures of one run of"
        f" `./run bench scale` on {results.cores} CPU cores with {results.memory:.0f} GiB of memory, {results.members}"
        f" members, no GPU; load of the machine before: {load}. Compare the ratios: seconds are this machine's.",
        "Scenes are simulated (a small one, mirrored again and again) and lie on a local disk as deflated GeoTIFFs of"
        " HH, HV, VH, VV, incidence angle and mask. *Mpx* is million pixels **of each channel**. A pixel has 28 looks,"
        " so that by default a cell of the result, which wants 100, is 2 x 2 pixels; *native* has a cell for each"
        " pixel. Each request runs in a process of its own and starts with nothing kept: its seconds count from the"
        " start of Python to its end, self-calibration included, and its memory is the largest sum of resident sets of"
        " the process and its children.",
        "## Sizes",
        _sizes(results),
        f"With {results.workers} workers, inline. Reading, calibration, inference and writing in per cent of the"
        " seconds end to end; what overlaps counts in each, the rest is the start of Python and its libraries, and"
        " joining. *Floor* is the decode-and-write floor: every window of the same rasters read, and the same layers"
        " written as the same COGs, by as many threads and with nothing between. *Inference* is the ensemble alone, on"
        " cells in memory, in seconds for all valid cells. *Ratio* is end to end over floor and inference together;"
        " *CPU ratio* the same of the seconds that all cores worked, which other work on the machine hardly changes.",
    ]
    if results.spreads:
        parts += ["## Workers", _spreads(results)]
    parts += ["## Other inversions", _others(results), "## Goals", _goals(results), "## GPU", GPU, "## Again", AGAIN]
    return "\n\n".join(parts) + "\n"


GPU = (
    "Still to be measured: at least 100 Mpx/s of inference with ten members, and end to end at least 70 % of the"
    " rate at which files are read and written. On a GPU chunks are of 32,768 samples, two in flight, copied through"
    " pinned memory; matrix products are in TF32, which moves soil moisture by less than 0.001 m³ m⁻³ (an emulation"
    " on the CPU is among the tests). Its memory does not depend on the scene: by count some 10 KiB a sample of a chunk"
    " with ten members, more with more."
)
AGAIN = f"""<!-- not run: it takes ten minutes; the tests run its parts -->
```console
$ {COMMAND}
$ ./run bench scale --sizes 1,4 --native '' --spread-over 1
```

The second takes a minute or two and only prints. `--engine` and `--workers` choose what is tried with several workers;
every engine and number of workers must write the same bytes, or the benchmark fails."""


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---", *["---:"] * (len(header) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sizes(results: Results) -> str:
    lines = []
    for row in results.rows:
        seconds, laps = row.request["seconds"], row.request["laps"]
        lines.append(
            [
                row.case.name,
                f"{row.cells / 1e6:.2g} M",
                f"{seconds:.0f} s",
                f"{row.request['cpu']:.0f} s",
                f"{row.request['peak'] / 2**20:.0f} MiB",
                *(f"{100 * laps[name] / seconds:.0f} %" for name in ("reading", "calibration", "inference", "writing")),
                f"{row.floor['reading']:.1f} + {row.floor['writing']:.1f} s",
                f"{row.inference:.1f} s",
                f"**{row.ratio:.2f}**",
                f"{row.cpu_ratio:.2f}",
            ]
        )
    header = ["scene", "cells", "end to end", "CPU", "peak memory", "reading", "calibration", "inference", "writing"]
    return _table([*header, "floor", "inference", "ratio", "CPU ratio"], lines)


def _spreads(results: Results) -> str:
    first = min(results.spreads, key=lambda one: (one.engine != "inline", one.workers)).request["seconds"]
    lines = [
        [
            one.engine,
            str(one.workers),
            f"{one.request['seconds']:.0f} s",
            f"{one.request['seconds'] / first:.2f}",
            f"{one.request['cpu']:.0f} s",
            f"{one.request['peak'] / 2**20:.0f} MiB",
        ]
        for one in results.spreads
    ]
    table = _table(["engine", "workers", "end to end", "over the first", "CPU", "peak memory"], lines)
    return (
        f"{results.spreads[0].case.name}. Workers are threads inline and processes in `processes`, on as many of the"
        f" {results.cores} cores as there are. All wrote the same bytes.\n\n{table}"
    )


def _others(results: Results) -> str:
    lines = []
    for row in results.rows:
        cells, rates = row.request["cells"], row.rates
        lines.append(
            [
                row.case.name,
                f"{row.inference:.0f} s",
                *(f"{cells / rates[name] / results.workers:,.0f} s" for name in ("map", "table")),
                *(f"{cells / rates[name] / results.workers / row.request['seconds']:.1f}" for name in ("map", "table")),
            ]
        )
    table = _table(
        ["scene", "ensemble", "MAP", "table", "MAP over the whole request", "table over the whole request"], lines
    )
    return (
        "The inversion alone of all valid cells, as a user might write it with numpy and scipy: *MAP* is least squares"
        " with priors, one cell at a time (200 cells measured); *table* is the nearest of 13,824 entries of the forward"
        " model at the cell's angle (1000 cells measured). Both are scaled to all valid cells and then divided by the"
        f" {results.workers} cores, as if they spread perfectly. Neither calibrates itself, and a table gives no"
        f" uncertainty.\n\n{table}"
    )


def _goals(results: Results) -> str:
    return _table(["", "at most", "reached"], [[one.what, one.limit, one.reached] for one in goals(results)])
