"""The demonstration: a real server, a client that knows only HTTP, and the result against the simulated truth."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import rasterio
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from escape_process.errors import EscapeError, UpstreamError
from escape_process.jobs.serve import background
from escape_process.layers import UNUSABLE
from escape_process.process import load_config

INPUTS: Mapping[str, Any] = {
    "catalog": "sample",
    "bbox": [-5.48, 41.23, -5.40, 41.29],
    "datetime": "2024-05-01T00:00:00Z/2024-06-30T23:59:59Z",
}
TRUTH = Path("tests/data/sample_truth")
"""Beside the configuration file; the table leaves its columns out where it is absent."""


class DemoError(EscapeError):
    """The server answered the demonstration with a failure."""


@dataclass(frozen=True)
class Score:
    """A result against the simulated truth, over unflagged pixels."""

    correlation: float
    ubrmsd: float
    """m3 m-3."""
    bias: float
    """m3 m-3, retrieved minus true."""
    constant_ubrmsd: float
    """Of a constant guess: the truth's own standard deviation."""
    coverage_68: float
    """Share of pixels whose error is within one stated sigma."""
    coverage_90: float
    """Share of pixels whose truth lies between the stated 5 % and 95 % quantiles."""


@dataclass(frozen=True)
class Row:
    """One result of the demonstration."""

    scene: str
    valid_share: float
    mean: float
    sd: float
    uncertainty: float
    flagged_share: float
    members_kept: int
    members: int
    score: Score | None


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration shows."""

    rows: tuple[Row, ...]
    folders: tuple[Path, ...]
    refused: tuple[tuple[str, str], ...]
    seconds: float

    def print(self, console: Console) -> None:
        """Print the table, the scenes refused and where the files lie."""
        maps = _table("Soil moisture of simulated scenes, m3 m-3", "valid", "mean", "sd", "sigma", "flagged", "members")
        scores = _table(
            "Against the simulated truth, unflagged pixels (guess: ubRMSD of a constant)",
            *("R", "ubRMSD", "guess", "bias", "in 68 %", "in 90 %"),
        )
        for row in self.rows:
            maps.add_row(
                row.scene,
                f"{row.valid_share:.0%}",
                f"{row.mean:.3f}",
                f"{row.sd:.3f}",
                f"{row.uncertainty:.3f}",
                f"{row.flagged_share:.0%}",
                f"{row.members_kept} of {row.members}",
            )
            if row.score is not None:
                scores.add_row(
                    row.scene,
                    f"{row.score.correlation:.2f}",
                    f"{row.score.ubrmsd:.3f}",
                    f"{row.score.constant_ubrmsd:.3f}",
                    f"{row.score.bias:+.3f}",
                    f"{row.score.coverage_68:.0%}",
                    f"{row.score.coverage_90:.0%}",
                )
        console.print(maps)
        if scores.row_count:
            console.print(scores)
        for name, reason in self.refused:
            console.print(f"refused  {name}: {reason}", soft_wrap=True)
        for folder in self.folders:
            console.print(f"result   {_as_seen_from_here(folder)}", soft_wrap=True, highlight=False)
        console.print(f"done in {self.seconds:.0f} s", highlight=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON."""
        rows = [{**vars(row), "score": None if row.score is None else vars(row.score)} for row in self.rows]
        return {
            "results": rows,
            "folders": [str(folder) for folder in self.folders],
            "refused": [{"id": name, "reason": reason} for name, reason in self.refused],
            "seconds": self.seconds,
        }


def _as_seen_from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _table(title: str, *columns: str) -> Table:
    table = Table("scene", title=title, title_justify="left", box=SIMPLE)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def run_demo(config: Path, data_dir: Path | None, progress: Callable[[float, str], None]) -> DemoResult:
    """Start a server, run the process on the sample scenes by HTTP, score the results, stop the server.

    Raises
    ------
    EscapeError
        with the sentence of whatever failed.
    """
    started = time.monotonic()
    environment = {} if data_dir is None else {"ESCAPE_DATA_DIR": str(data_dir.resolve())}
    _, settings = load_config(config)
    folder = settings.data_dir if data_dir is None else data_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    progress(0.0, "Starting the server")
    with (
        (folder / "demo.log").open("wb") as log,
        background(config, environment=environment, log=log) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        answer = _execute(client, progress)
        items = answer["items"]["features"]
        rows = tuple(_row(client, item, config.resolve().parent / TRUTH) for item in items)
    results = folder / settings.catalog_dir.name / settings.results_collection
    refused = tuple((one["id"], one["reason"]) for one in answer["report"]["refused"])
    return DemoResult(rows, tuple(results / item["id"] for item in items), refused, time.monotonic() - started)


def _execute(client: httpx.Client, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """Run the process asynchronously, as any OGC client would."""
    body = {"inputs": dict(INPUTS), "response": "document"}
    posted = client.post("/processes/escape-soil-moisture/execution", json=body, headers={"Prefer": "respond-async"})
    _check(posted)
    job = posted.headers["Location"]
    while True:
        status = _check(client.get(job, params={"f": "json"})).json()
        progress(status.get("progress", 0) / 100, status.get("message") or status["status"])
        if status["status"] not in ("accepted", "running"):
            break
        time.sleep(0.25)
    answer: dict[str, Any] = _check(client.get(f"{job}/results", params={"f": "json"})).json()
    return answer


def _check(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        try:
            said = response.json().get("description", response.text)
        except ValueError:
            raise UpstreamError(f"The server answered {response.status_code} to {response.request.url}.") from None
        raise DemoError(said)
    return response


def _row(client: httpx.Client, item: Mapping[str, Any], truth: Path) -> Row:
    assets = item["assets"]
    report = _check(client.get(assets["report"]["href"])).json()
    moisture = assets["soil_moisture"]["bands"][0]["statistics"]
    calibration = report["calibration"]
    scene = next(link["title"] for link in item["links"] if link["rel"] == "derived_from")
    layers = {name: _download(client, assets[name]["href"]) for name in _LAYERS}
    valid = layers["members_used"][0] > 0
    flagged = (layers["flags"][0] & UNUSABLE) != 0
    return Row(
        scene=scene,
        valid_share=float(valid.mean()),
        mean=moisture["mean"],
        sd=moisture["stddev"],
        uncertainty=assets["soil_moisture_uncertainty"]["bands"][0]["statistics"]["mean"],
        flagged_share=float(flagged[valid].mean()),
        members_kept=calibration["members_kept"],
        members=len(calibration["members"]),
        score=_score(layers, valid & ~flagged, truth / f"{scene}_soil_moisture.tif"),
    )


_LAYERS = (
    "soil_moisture",
    "soil_moisture_uncertainty",
    "soil_moisture_p05",
    "soil_moisture_p95",
    "members_used",
    "flags",
)
_Raster = tuple[NDArray[Any], rasterio.Affine]


def _download(client: httpx.Client, href: str) -> _Raster:
    """Fetch one COG and read it whole: sample results are small."""
    content = _check(client.get(href)).content
    with rasterio.MemoryFile(content) as file, file.open() as raster:
        return raster.read(1), raster.transform


def _score(layers: Mapping[str, _Raster], usable: NDArray[np.bool_], path: Path) -> Score | None:
    """Compare with the truth, which lies on the same pixels of a larger grid; None where there is none."""
    if not path.exists():
        return None
    moisture, transform = layers["soil_moisture"]
    with rasterio.open(path) as raster:
        column, row = (round(value) for value in ~raster.transform @ (transform.c, transform.f))
        if abs(raster.transform.a - transform.a) > 1e-6 * transform.a:
            return None
        height, width = moisture.shape
        stored = raster.read(1, window=((row, row + height), (column, column + width)), masked=True)
        truth = np.ma.filled(stored.astype(np.float64) * raster.scales[0] + raster.offsets[0], np.nan)
    usable = usable & np.isfinite(truth)
    if usable.sum() < 10:
        return None
    values = {name: raster[0][usable].astype(np.float64) for name, raster in layers.items()}
    truth = truth[usable]
    error = values["soil_moisture"] - truth
    inside = (truth >= values["soil_moisture_p05"]) & (truth <= values["soil_moisture_p95"])
    return Score(
        correlation=float(np.corrcoef(values["soil_moisture"], truth)[0, 1]),
        ubrmsd=float(error.std()),
        bias=float(error.mean()),
        constant_ubrmsd=float(truth.std()),
        coverage_68=float((np.abs(error) <= values["soil_moisture_uncertainty"]).mean()),
        coverage_90=float(inside.mean()),
    )
