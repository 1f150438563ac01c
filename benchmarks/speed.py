"""Speed of the retrieval against the machine's own rate and against other inversions, all measured in one run.

./run bench speed [--size 512]
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from accuracy.baselines import LookupTable, MapInversion
from accuracy.scenes import ANGLES_DEG, FREQUENCY, STANDARD, Scene, simulate

import escape_process as ep
from escape_process.physics.speckle import log_power_sd_db
from escape_process.retrieval import Ensemble
from escape_process.retrieval.application import Applier
from escape_process.retrieval.devices import CPU_CHUNK
from escape_process.retrieval.inputs import check_samples
from escape_process.retrieval.threads import map_in_order, one_thread

MAP_PIXELS = 200
TABLE_PIXELS = 1000
SMALL = 200
REPEATS = 3


def best_seconds(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Shortest wall time of several runs, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def matmul_rate(threads: int, size: int = 1024) -> float:
    """Float32 operations a second of square matrix products, `threads` of them at a time, as the retrieval works."""
    matrices = [torch.randn(size, size) for _ in range(2 * threads)]

    def multiply() -> None:
        with one_thread():
            list(map_in_order(lambda matrix: matrix @ matrix, matrices * 4, threads))

    return 2.0 * size**3 * len(matrices) * 4 / best_seconds(multiply)


def encoder_rate(ensemble: Ensemble, scene: Scene, threads: int) -> tuple[float, float]:
    """Operations a second of the networks' matrix products in the loop of the retrieval, and pixels a second."""
    arguments = scene.arguments()
    samples = check_samples(
        arguments["hh"], arguments["hv"], arguments["vv"], arguments["incidence_angle"], looks=arguments["looks"]
    )
    applier = Applier(ensemble, torch.device("cpu"))
    starts = list(range(0, samples.size - CPU_CHUNK + 1, CPU_CHUNK))
    features = [applier._features(applier.observations(samples, start)) for start in starts]
    operations = 2.0 * CPU_CHUNK * sum(part.numel() for part in applier.networks.weights)

    def encode() -> None:
        with one_thread():
            for _ in map_in_order(lambda part: applier.networks(part).raw[..., 0].sum(), features, threads):
                pass

    seconds = best_seconds(encode)
    return operations * len(starts) / seconds, CPU_CHUNK * len(starts) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="pixels along one side of the scene")
    parser.add_argument("--members", type=int, default=10)
    options = parser.parse_args()
    threads, size, members = torch.get_num_threads(), options.size, options.members
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{threads} threads; load of the machine before: {load:.1f}; simulated scene of {size} x {size} pixels")

    scene = simulate(STANDARD, 0, size * size)
    arguments = scene.arguments()
    started = time.perf_counter()
    ensemble = ep.calibrate(**arguments, members=members)
    print(f"self-calibration, {size} x {size}:      {time.perf_counter() - started:10.1f} s")
    few = {name: values[:SMALL] if isinstance(values, np.ndarray) else values for name, values in arguments.items()}
    started = time.perf_counter()
    ep.retrieve(**few, members=members)
    print(f"calibration and retrieval, {SMALL} samples: {time.perf_counter() - started:7.1f} s")

    inference = size * size / best_seconds(lambda: ep.retrieve(**arguments, ensemble=ensemble))
    print(f"inference, {len(ensemble.kept)} members:               {inference:10,.0f} pixels/s")
    rate = matmul_rate(threads)
    print(f"float32 matrix products:             {rate / 1e9:10.1f} GFLOP/s")
    reached, encoded = encoder_rate(ensemble, scene, threads)
    operations = 2.0 * len(ensemble.kept) * sum(part[0].numel() for part in ensemble.networks.weights)
    print(f"encoder alone:                       {encoded:10,.0f} pixels/s, {reached / 1e9:.1f} GFLOP/s")
    print(f"  share of the matrix rate, encoder: {reached / rate:10.0%}")
    print(f"  share, whole inference:            {inference * operations / rate:10.0%}")

    power_db = 10 * np.log10(scene.power)
    mapping = MapInversion(FREQUENCY, float(log_power_sd_db(STANDARD.looks)))
    started = time.perf_counter()
    mapping.estimate(power_db[:, :MAP_PIXELS], scene.incidence_angle[:MAP_PIXELS], scene.soil_moisture[:MAP_PIXELS])
    per_pixel = MAP_PIXELS / (time.perf_counter() - started)
    print(f"MAP per pixel (scipy):               {per_pixel:10,.0f} pixels/s")
    lookup = LookupTable(FREQUENCY, np.radians(np.arange(*ANGLES_DEG)))
    started = time.perf_counter()
    lookup(power_db[:, :TABLE_PIXELS], scene.incidence_angle[:TABLE_PIXELS])
    looked_up = TABLE_PIXELS / (time.perf_counter() - started)
    print(f"lookup table:                        {looked_up:10,.0f} pixels/s")
    print(f"inference over MAP per pixel:        {inference / per_pixel:10,.0f} times")
    print(f"inference over lookup table:         {inference / looked_up:10,.0f} times")


if __name__ == "__main__":
    main()
