"""Accuracy of the retrieval: makes `docs/accuracy.md` and its figures anew.

    ./run bench accuracy            the whole, about eight minutes on two cores
    ./run bench accuracy --quick --output page

Seeds are fixed, so that a repeated run of the same code gives the same page.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from accuracy import document, plots, simulated, smapvex12
from accuracy.scenes import A_MEDIAN, B_MEDIAN, SCENARIOS, STANDARD, draw_coefficients, draw_state, expected_power
from accuracy.simulated import DETERMINISTIC, EXACT, VARIATIONAL, Outcome, Sizes

from escape_process.physics.speckle import gamma_speckle, hh_above_vv

ROOT = Path(__file__).parent.parent
QUICK = Sizes(
    scenes=1, other_scenes=1, count=300, exact=128, other_exact=64, map=20, places=30, seasons=1, members=3
)  # fmt: skip
QUICK_SCENARIOS = ("standard", "double bounce")
OTHER_SEEDS = (1, 2)
LOOKS = (30.0, 100.0, 300.0, 1000.0)


@dataclass(frozen=True)
class Task:
    """One call, in a process of its own if there are several."""

    key: tuple[str, str | int, int]
    """Kind; scenario or setting; seed."""
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def tasks_of(sizes: Sizes, names: tuple[str, ...], campaign: smapvex12.Campaign | None, settings: tuple[str, ...],
             seeds: tuple[int, ...]) -> list[Task]:  # fmt: skip
    """List what is to be computed, the longest first."""
    chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
    tasks = [
        Task(("scene", scenario.name, seed), simulated.run_scene, (scenario, seed, sizes))
        for scenario in chosen
        for seed in range(sizes.scenes if scenario is STANDARD else sizes.other_scenes)
    ]
    tasks += [Task(("season", "season", seed), simulated.run_season, (seed, sizes)) for seed in range(sizes.seasons)]
    if campaign is not None:
        runs = [(setting, 0) for setting in settings] + [(smapvex12.DEFAULT, seed) for seed in seeds]
        tasks += [
            Task(("campaign", setting, seed), smapvex12.run_campaign, (campaign, setting, seed, sizes.members))
            for setting, seed in runs
        ]
    return tasks


def _prepare() -> None:
    import torch

    torch.set_num_threads(1)


def compute(tasks: list[Task], workers: int) -> Iterator[tuple[Task, Any]]:
    """Run the tasks, giving each with its result as it comes."""
    if workers < 2:
        for task in tasks:
            yield task, task.function(*task.arguments)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        futures: dict[Future[Any], Task] = {pool.submit(task.function, *task.arguments): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


def share_above(scenes: int = 40, count: int = 1000) -> dict[str, dict[float, float]]:
    """Share of samples of the standard scenario with HH flagged as above VV, by the scene's nature and by looks.

    The forward model holds in all: with equal coefficients and perfect channels; with coefficients drawn for each
    scene, so that a canopy may be brighter in HH; and with its channel offsets too.
    """
    kinds: dict[str, dict[float, float]] = {}
    for kind in ("coefficients at their medians", "random coefficients", "random coefficients and channel offsets"):
        kinds[kind] = {}
        for looks in LOOKS:
            flagged = []
            for seed in range(scenes):
                rng = np.random.default_rng([5, seed])
                state = draw_state(STANDARD, count, rng)
                a, b, offset_db = draw_coefficients(rng)
                if kind.startswith("coefficients"):
                    a, b = A_MEDIAN, B_MEDIAN
                gain = 10 ** (offset_db / 10) if kind.endswith("offsets") else np.ones(3)
                power = gamma_speckle(gain[:, None] * expected_power(state, a, b), looks, rng)
                flagged.append(float(hh_above_vv(power[0], power[2], looks).mean()))
            kinds[kind][looks] = float(np.mean(flagged))
    return kinds


def run(sizes: Sizes, output: Path, *, workers: int, quick: bool = False, data: Path | None = None) -> document.Results:
    """Compute everything, and write the page and its figures into `output`."""
    path = smapvex12.find_campaign(data)
    campaign = smapvex12.load_campaign(path) if path else None
    names = QUICK_SCENARIOS if quick else tuple(scenario.name for scenario in SCENARIOS)
    settings = (smapvex12.DEFAULT, *smapvex12.CHOICES[0].alternatives) if quick else smapvex12.SETTINGS
    tasks = tasks_of(sizes, names, campaign, settings, () if quick else OTHER_SEEDS)
    started = time.monotonic()
    done: dict[tuple[str, str | int, int], Any] = {}
    for task, outcome in compute(tasks, workers):
        done[task.key] = outcome
        kind, name, seed = task.key
        label = f"{kind} {name}" if kind != name else kind
        print(
            f"[{len(done):>3}/{len(tasks)}] {time.monotonic() - started:5.0f} s  {label}, seed {seed}:"
            f" {outcome.seconds:.1f} s",
            flush=True,
        )
    results = document.Results(
        sizes=sizes,
        scenes={name: _by_seed(done, "scene", name) for name in names},
        seasons=_by_seed(done, "season", "season"),
        above=share_above(),
        campaign=_campaign(campaign, done, settings) if campaign is not None else None,
        quick=quick,
    )
    write(results, output)
    print(f"{output / 'accuracy.md'} after {time.monotonic() - started:.0f} s")
    return results


def _by_seed(done: dict[tuple[str, str | int, int], Any], kind: str, name: str) -> list[Outcome]:
    return [done[key] for key in sorted(key for key in done if key[:2] == (kind, name))]


def _campaign(
    campaign: smapvex12.Campaign, done: dict[tuple[str, str | int, int], Any], settings: tuple[str, ...]
) -> document.CampaignResults:
    runs = {setting: done["campaign", setting, 0] for setting in settings}
    choices = [choice for choice in smapvex12.CHOICES if set(choice.alternatives) <= set(settings)]
    return document.CampaignResults(
        campaign=campaign,
        runs=runs,
        seeds={key[2]: run for key, run in sorted(done.items()) if key[0] == "campaign" and key[2]},
        held_out=[smapvex12.hold_out(campaign, runs, choice) for choice in choices],
        regressions={
            "field": smapvex12.regression(campaign, campaign.field),
            "date": smapvex12.regression(campaign, campaign.date),
            "crop": smapvex12.regression(campaign, campaign.crop),
        },
    )


def write(results: document.Results, output: Path) -> None:
    """Write the page and the figures."""
    images = output / "images"
    images.mkdir(parents=True, exist_ok=True)
    standard = results.scenes[STANDARD.name]
    plots.plot_reliability(
        images / "accuracy_reliability.png",
        {name: document.estimates_of(standard, name) for name in (VARIATIONAL, DETERMINISTIC, EXACT)},
    )
    plots.plot_coverage(
        images / "accuracy_coverage.png",
        {
            name: (
                document.summary_of(outcomes, VARIATIONAL),
                document.summary_of(outcomes, VARIATIONAL, unflagged=True),
            )
            for name, outcomes in results.scenes.items()
        },
    )
    if results.campaign is not None:
        found = results.campaign.runs[smapvex12.DEFAULT]
        plots.plot_campaign(
            images / "accuracy_smapvex12.png", {"one date at a time": found.single, "many dates": found.many}
        )
    (output / "accuracy.md").write_text(document.write(results).rstrip() + "\n", encoding="utf-8")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Make docs/accuracy.md anew.")
    parser.add_argument("--quick", action="store_true", help="few pixels and members: to try the benchmark itself")
    parser.add_argument("--scenes", type=int, help="scenes of the standard scenario; half as many of each other")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="where accuracy.md and images/ are written")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="processes")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    if options.scenes:
        sizes = Sizes(scenes=options.scenes, other_scenes=max(1, options.scenes // 2))
    run(sizes, options.output, workers=options.workers, quick=options.quick)


if __name__ == "__main__":
    main()
