"""Sample scenes as a STAC catalogue: simulated rasters and the items that describe them.

`write_simulated` makes a collection of scenes over a place of the caller's; `build_sample_catalogue` makes the
catalogue that comes with the software, always the same. All of it is invented and says so: in titles, descriptions and
the property `escape:simulated`.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import asin, degrees, radians, sin
from pathlib import Path
from typing import Any

from escape_process.catalogue.collection import LICENSE_FILE, LICENSE_TEXT, results_collection
from escape_process.catalogue.sources import (
    Declaration,
    SourceItem,
    write_catalogue,
    write_collection,
    write_root,
)
from escape_process.errors import InvalidInputError, StorageError
from escape_process.make_items import make_item
from escape_process.physics.radiometry import CALIBRATION_FACTOR_DB
from escape_process.records import Grid
from escape_process.settings import Settings
from escape_process.simulate import (
    MASK_CLASSES,
    Sensor,
    SimulatedScene,
    simulate_season,
    utm_grid,
    write_scene,
    write_truth,
)
from escape_process.simulate.season import POLARIZATIONS

CREATED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""Creation time in the metadata of all simulated items: fixed, so that the same seed gives the same files."""

NOT_AN_OBSERVATION = (
    "Simulated by a forward model (Oh 2004 bare soil under a water cloud, gamma speckle): invented fields, not an"
    " observation by any satellite."
)

_EARTH_RADIUS, _ORBIT_HEIGHT = 6371.0, 628.0
"""km; of a sensor like PALSAR-2, for the off-nadir angle."""


@dataclass(frozen=True)
class Pass:
    """What an item says of a simulated pass besides what was simulated."""

    id: str
    place: str
    relative_orbit: int
    mode: str = "HBQ"
    polarizations: tuple[str, ...] = POLARIZATIONS


def _declare(scene: SimulatedScene, described: Pass) -> Declaration:
    sensor = scene.sensor
    centre = sum(sensor.incidence_deg) / 2
    off_nadir = degrees(asin(sin(radians(centre)) * _EARTH_RADIUS / (_EARTH_RADIUS + _ORBIT_HEIGHT)))
    pixel_size = scene.grid.transform.a
    kind = "quad-pol" if len(described.polarizations) == 4 else " and ".join(described.polarizations)
    return Declaration(
        id=described.id,
        datetime=scene.datetime,
        radiometry="sigma0",
        encoding="dn",
        calibration_factor_db=CALIBRATION_FACTOR_DB,
        looks=sensor.looks,
        noise_floor_db=sensor.noise_floor_db,
        frequency=sensor.frequency,
        platform="simulated",
        instrument_mode=described.mode,
        title=f"Simulated {kind} L-band scene, {described.place}, {scene.datetime:%Y-%m-%d}",
        description=NOT_AN_OBSERVATION,
        mask_classes=MASK_CLASSES,
        created=CREATED,
        properties={
            "escape:simulated": True,
            "instruments": ["palsar-2-like"],
            "license": "CC0-1.0",
            "product:type": "GTC",
            "sar:observation_direction": "right",
            "sar:pixel_spacing_azimuth": pixel_size,
            "sar:pixel_spacing_range": pixel_size,
            "sar:resolution_azimuth": pixel_size,
            "sar:resolution_range": pixel_size,
            "sat:orbit_state": "ascending" if sensor.ascending else "descending",
            "sat:relative_orbit": described.relative_orbit,
            "view:azimuth": sensor.look_azimuth_deg % 360,
            "view:incidence_angle": centre,
            "view:off_nadir": round(off_nadir, 2),
        },
    )


def _write_pass(scene: SimulatedScene, described: Pass, folder: Path, truth_folder: Path | None) -> SourceItem:
    """Write one scene's rasters, and its truth apart; return its item."""
    write_scene(scene, folder / described.id, described.polarizations)
    if truth_folder is not None:
        write_truth(scene, truth_folder, described.id)
    return make_item(folder / described.id, _declare(scene, described))


def _nothing(share: float, message: str) -> None:
    """Report no progress."""


def write_simulated(
    folder: Path,
    grid: Grid,
    dates: Sequence[dt.datetime],
    *,
    name: str = "simulated",
    place: str = "an invented place",
    relative_orbit: int = 1,
    seed: int = 0,
    wetness: Sequence[float] | None = None,
    sensor: Sensor | None = None,
    polarizations: Sequence[str] = POLARIZATIONS,
    truth_folder: Path | None = None,
    progress: Callable[[float, str], None] = _nothing,
) -> Path:
    """Simulate a season over one place and write it as a static STAC collection.

    Parameters
    ----------
    folder
        Gets collection.json and a folder for each scene, named by item id: NAME-YYYYMMDD, with the time of day where
        a date occurs twice.
    grid, dates, seed, wetness, sensor
        As of `escape_process.simulate.simulate_season`.
    place
        What titles call the place.
    truth_folder
        Where the truth goes (never among the items); None: it is not written.
    progress
        Called with the share done and a sentence.

    Returns
    -------
    Path of collection.json, a catalogue that a request can name.

    Raises
    ------
    InvalidInputError, StorageError
        with the sentence for the user.
    """
    days = [f"{date:%Y%m%d}" for date in dates]
    ids = [
        f"{name}-{day}" if days.count(day) == 1 else f"{name}-{date:%Y%m%dT%H%M%S}"
        for day, date in zip(days, dates, strict=True)
    ]
    if truth_folder is not None and truth_folder.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError("The truth must lie apart from the scenes: give a folder outside theirs.")
    scenes = simulate_season(grid, dates, seed=seed, wetness=wetness, sensor=sensor)
    kept = tuple(polarization for polarization in POLARIZATIONS if polarization in polarizations)
    items = []
    for number, (scene, item_id) in enumerate(zip(scenes, ids, strict=True), start=1):
        items.append(_write_pass(scene, Pass(item_id, place, relative_orbit, "HBQ", kept), folder, truth_folder))
        progress(number / len(ids), f"simulated {item_id}")
    return write_catalogue(
        items,
        folder,
        collection_id=name,
        title=f"Simulated L-band scenes, {place}",
        description=NOT_AN_OBSERVATION,
        licence="CC0-1.0",
        fields=_COLLECTION_FIELDS,
    )


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path.name} cannot be written: {error.strerror}.") from error


_COLLECTION_FIELDS: dict[str, Any] = {
    "keywords": ["simulated", "SAR", "L-band", "quad-pol", "soil moisture"],
    "providers": [{"name": "ESCAPE", "roles": ["producer"], "description": "Simulated with escape-process."}],
    "escape:simulated": True,
}

_SALAMANCA = "farmland north of Salamanca, Spain"
_SALAMANCA_PASSES = (
    (dt.datetime(2024, 5, 4, 23, 28, 31, tzinfo=dt.UTC), 0.55),
    (dt.datetime(2024, 5, 11, 23, 35, 2, tzinfo=dt.UTC), 0.4),
    (dt.datetime(2024, 5, 18, 23, 28, 31, tzinfo=dt.UTC), 0.25),
    (dt.datetime(2024, 6, 1, 23, 28, 31, tzinfo=dt.UTC), 0.68),
)
"""Times and the region's relative wetness: rain, dry-down, rain again. The second is the dual-pol decoy."""
_SALAMANCA_ITEMS = (
    Pass("sim-salamanca-20240504", _SALAMANCA, 41),
    Pass("sim-salamanca-20240511-dualpol", _SALAMANCA, 48, "FBD", ("HH", "HV")),
    Pass("sim-salamanca-20240518", _SALAMANCA, 41),
    Pass("sim-salamanca-20240601", _SALAMANCA, 41),
)
_MARCHFELD = "the Marchfeld, Austria"
_MARCHFELD_PASS = (dt.datetime(2024, 5, 17, 10, 41, 7, tzinfo=dt.UTC), 0.5)
_MARCHFELD_ITEM = Pass("sim-marchfeld-20240517", _MARCHFELD, 22)


def build_sample_catalogue(folder: Path, truth_folder: Path | None = None) -> None:
    """Write the catalogue that comes with the software.

    FOLDER/catalog.json; FOLDER/samples: three dates over one place, one scene elsewhere, and one dual-pol scene that a
    retrieval has to refuse; FOLDER/escape-soil-moisture: the empty collection that results are published in. Built
    again, it is the same.

    Parameters
    ----------
    folder
        Gets the catalogue.
    truth_folder
        Where the truth of the quad-pol scenes goes; None: it is not written.

    Raises
    ------
    StorageError
        where a folder cannot be written.
    """
    samples = folder / "samples"
    (samples / "collection.json").unlink(missing_ok=True)
    salamanca = simulate_season(
        utm_grid(-5.44, 41.26),
        [date for date, _ in _SALAMANCA_PASSES],
        seed=20240504,
        wetness=[wetness for _, wetness in _SALAMANCA_PASSES],
    )
    marchfeld = simulate_season(
        utm_grid(16.72, 48.24),
        [_MARCHFELD_PASS[0]],
        seed=20240517,
        wetness=[_MARCHFELD_PASS[1]],
        sensor=Sensor(incidence_deg=(30.0, 36.0), look_azimuth_deg=280.0),
    )
    items = [
        _write_pass(scene, described, samples, truth_folder if len(described.polarizations) == 4 else None)
        for scenes, passes in ((salamanca, _SALAMANCA_ITEMS), (marchfeld, (_MARCHFELD_ITEM,)))
        for scene, described in zip(scenes, passes, strict=True)
    ]
    write_catalogue(
        items,
        samples,
        collection_id="samples",
        title="Simulated sample scenes",
        description=f"{NOT_AN_OBSERVATION} Three dates over farmland north of Salamanca, one scene of the Marchfeld,"
        " and one dual-pol scene that a full-polarimetric retrieval has to refuse.",
        licence="CC0-1.0",
        fields=_COLLECTION_FIELDS,
        root=folder / "catalog.json",
    )
    settings = Settings()
    results = results_collection(settings)
    place = folder / settings.results_collection
    write_collection(place / "collection.json", results, folder / "catalog.json")
    _write_text(place / LICENSE_FILE, LICENSE_TEXT)
    write_root(
        folder,
        catalogue_id="escape",
        title="ESCAPE: soil moisture from L-band SAR",
        description="Simulated sample scenes, and the collection that results are published in.",
        children={
            "./samples/collection.json": "Simulated sample scenes",
            f"./{settings.results_collection}/collection.json": str(results["title"]),
        },
    )
