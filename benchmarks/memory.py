"""Peak memory of a whole request at native resolution, against the size of the scene.

Each size runs in a process of its own; the figure is the largest resident set that the kernel saw. Simulated scenes.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (1000, 4000)
LIMIT_RATIO = 1.3
LIMIT_BYTES = 2 * 1024**3


def measure(size: int, folder: Path) -> dict[str, float]:
    """Run one request on one scene of `size` x `size` pixels in this process."""
    from escape_process import pipeline
    from escape_process.request import RetrievalRequest
    from escape_process.settings import Settings

    settings = Settings.load(
        {
            "data_dir": str(folder / "data"),
            "catalog_seed": None,
            "catalogs": {"scenes": str(folder / "scenes" / "collection.json")},
            "default_catalog": "scenes",
            "device": "cpu",
        },
        folder,
    )
    item = json.loads((folder / "scenes" / "collection.json").read_text())
    name = next(link["href"] for link in item["links"] if link["rel"] == "item").split("/")[-1].removesuffix(".json")
    started = time.monotonic()
    outcome = pipeline.run(RetrievalRequest(ids=[name], resolution=25.0), settings)
    seconds = time.monotonic() - started
    shape = outcome.items["features"][0]["properties"]["proj:shape"]
    if shape != [size, size]:
        raise SystemExit(f"the result is {shape}, not {size} x {size} pixels")
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "seconds": seconds}


def main() -> None:
    """Print a row a size and the ratio."""
    peaks = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            simulate = [sys.executable, "-m", "escape_process.cli", "simulate", str(folder / "scenes")]
            subprocess.run([*simulate, "--size", str(size), "--pixel", "25"], check=True, capture_output=True)
            command = [sys.executable, __file__, "--measure", str(size), str(folder)]
            answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        peaks[size] = answer["peak"]
        print(f"{size:>5} x {size:<5}  peak {answer['peak'] / 2**20:6.0f} MiB  {answer['seconds']:6.1f} s", flush=True)
    ratio = peaks[SIZES[-1]] / peaks[SIZES[0]]
    print(f"ratio {ratio:.2f} (at most {LIMIT_RATIO}); largest {max(peaks.values()) / 2**30:.2f} GiB (below 2)")
    if ratio > LIMIT_RATIO or max(peaks.values()) > LIMIT_BYTES:
        raise SystemExit("over the limit")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(int(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
