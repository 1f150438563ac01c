"""A scene whose rasters break off while they are read is left out; the other dates are answered for."""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from escape_process.catalogue.sources import Declaration
from escape_process.errors import SceneError
from escape_process.make_items import make_item
from escape_process.pipeline import Outcome, run
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings
from escape_process.simulate import MASK_CLASSES, simulate_scene, utm_grid, write_scene

COLUMNS, ROWS = 128, 768
"""In tiles of 128: opening a scene, which looks at 512 rows in its middle, reads nothing of the last tile."""
DAYS = ("20240504", "20240518", "20240601")


@dataclass(frozen=True)
class _Season:
    """Three dates over the same ground, of which the second breaks off since they were calibrated together."""

    folder: Path
    ids: tuple[str, str, str]
    expected: list[str]
    """Checksums of the soil moisture of the first and the last date, retrieved without the second."""

    def run(
        self,
        ids: Sequence[str] = (),
        progress: Callable[[float, str], None] = lambda share, message: None,
    ) -> Outcome:
        settings = Settings(
            catalogs={"here": str(self.folder / "items.json")}, default_catalog="here", data_dir=self.folder / "data"
        )
        inputs = {"ids": list(ids) or list(self.ids), "members": 2, "resolution": 100.0, "reuse": False}
        return run(RetrievalRequest(**inputs), settings, progress)


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> _Season:
    folder = tmp_path_factory.mktemp("season")
    items = []
    for seed, day in enumerate(DAYS):
        time = dt.datetime.strptime(f"{day}T2300+0000", "%Y%m%dT%H%M%z")
        scene = simulate_scene(utm_grid(-5.5, 41.3, COLUMNS, ROWS), time, seed=seed)
        write_scene(scene, folder / day)
        declared = Declaration(
            datetime=time,
            radiometry="sigma0",
            encoding="dn",
            calibration_factor_db=-83.0,
            looks=scene.sensor.looks,
            frequency=scene.sensor.frequency,
            platform="simulated",
            mask_classes=MASK_CLASSES,
        )
        items.append(dict(make_item(folder / day, declared).item))
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    first, broken, last = (item["id"] for item in items)
    season = _Season(folder, (first, broken, last), [])
    assert len(_checksums(season.run())) == 3
    expected = _checksums(season.run([first, last]))
    (path,) = (folder / DAYS[1]).glob("*VV*.tif")
    path.write_bytes(path.read_bytes()[:-1000])
    return replace(season, expected=expected)


def _checksums(outcome: Outcome) -> list[str]:
    return [item["assets"]["soil_moisture"]["file:checksum"] for item in outcome.items["features"]]


def test_a_date_that_breaks_off_leaves_the_others(season: _Season) -> None:
    told: list[tuple[float, str]] = []
    outcome = season.run(progress=lambda share, message: told.append((share, message)))

    first, broken, last = season.ids
    assert _checksums(outcome) == season.expected
    assert [scene["id"] for scene in outcome.report["scenes"]] == [first, last]
    (refused,) = outcome.report["refused"]
    assert refused["id"] == broken
    assert refused["reason"].endswith("cannot be read to its end: the file is damaged or cut short.")
    shares, messages = zip(*told, strict=True)
    assert refused["reason"] in messages
    assert list(shares) == sorted(shares)
    assert f"escape:scene/{broken}" not in outcome.provenance["entity"]


def test_a_scene_that_breaks_off_alone_is_an_error(season: _Season) -> None:
    with pytest.raises(SceneError, match="cannot be read to its end"):
        season.run([season.ids[1]])
