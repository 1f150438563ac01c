"""Simulated scenes: the forward model exactly where noise is off, speckle's statistics, the ground, the files."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate

from escape_process.errors import InvalidInputError, StorageError
from escape_process.physics import oh2004, water_cloud
from escape_process.physics.radiometry import db_from_linear, ks_from_rms_height, power_from_dn
from escape_process.simulate import (
    MASK_CLASSES,
    Sensor,
    SimulatedScene,
    make_ground,
    simulate_scene,
    simulate_season,
    utm_grid,
    write_scene,
    write_truth,
)
from escape_process.simulate.season import WATER_DB, coherent_pair, wetness_of_dates

DATES = [dt.datetime(2024, 5, day, 23, 28, tzinfo=dt.UTC) for day in (4, 18)]
QUIET = Sensor(looks=1e8, noise_floor_db=-120.0, calibration_sd_db=0.0, channel_sd_db=0.0)
NODATA, VALID, LAYOVER, WATER = 0, 1, 2, 4


@pytest.fixture(scope="module")
def season() -> list[SimulatedScene]:
    return list(simulate_season(utm_grid(-5.44, 41.26, 256, 200), DATES, seed=3, wetness=[0.75, 0.3]))


def test_grid_is_utm_near_the_place_and_nests() -> None:
    grid = utm_grid(16.72, 48.24, 100, 80, 30.0)
    assert (grid.crs, grid.shape) == ("EPSG:32633", (80, 100))
    left, bottom, right, top = grid.bounds
    assert (right - left, top - bottom) == (3000, 2400)
    assert left % 120 == 0
    assert top % 120 == 0
    assert utm_grid(151.2, -33.9).crs == "EPSG:32756"
    assert utm_grid(180.0, 10.0).crs == "EPSG:32660"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 89), "latitude"),
        ((0, 0, 8), "width = 8"),
        ((0, 0, 64, 10**6), "height"),
        ((0, 0, 64, 64, 0.1), "pixel_size"),
    ],
)
def test_impossible_grid_is_refused(arguments: tuple[float, ...], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        utm_grid(*arguments)  # type: ignore[arg-type]


def test_without_noise_the_image_is_the_forward_model() -> None:
    scene = simulate_scene(utm_grid(-5.44, 41.26, 128, 128), DATES[0], seed=1, sensor=QUIET)
    truth, theta = scene.truth, scene.incidence_angle
    ks = ks_from_rms_height(truth.rms_height, QUIET.frequency)
    ground = (scene.mask == VALID) & (theta > np.radians(10)) & (theta < np.radians(70))
    for name, soil in zip(("HH", "HV", "VV"), oh2004(truth.soil_moisture, ks, theta), strict=True):
        total = water_cloud(soil, truth.vegetation, theta, truth.scattering[name], truth.attenuation[name])
        difference = db_from_linear(power_from_dn(scene.dn[name]))[ground] - db_from_linear(total)[ground]
        assert np.abs(difference).max() < 0.05
    water = scene.mask == WATER
    assert water.any()
    assert np.abs(db_from_linear(power_from_dn(scene.dn["VV"][water])) - WATER_DB["VV"]).max() < 0.05


def test_calibration_error_shifts_a_channel_by_the_gain_it_states() -> None:
    grid = utm_grid(-5.44, 41.26, 64, 64)
    sensor = Sensor(looks=1e8, noise_floor_db=-120.0)
    biased, exact = (simulate_scene(grid, DATES[0], seed=1, sensor=one) for one in (sensor, QUIET))
    assert any(abs(gain) > 0.05 for gain in biased.truth.gain_db.values())
    for name, gain in biased.truth.gain_db.items():
        shift = db_from_linear(power_from_dn(biased.dn[name])) - db_from_linear(power_from_dn(exact.dn[name]))
        assert np.nanmedian(shift) == pytest.approx(gain, abs=0.01)


def test_speckle_has_the_stated_looks_and_cross_channels_share_it() -> None:
    grid = utm_grid(-5.44, 41.26, 256, 256)
    quiet = Sensor(looks=1e8, calibration_sd_db=0.0, channel_sd_db=0.0)
    noisy = Sensor(looks=20.0, calibration_sd_db=0.0, channel_sd_db=0.0)
    exact, drawn = (simulate_scene(grid, DATES[0], seed=2, sensor=sensor) for sensor in (quiet, noisy))
    good = exact.mask == VALID
    speckle = {
        name: power_from_dn(drawn.dn[name][good]) / power_from_dn(exact.dn[name][good])
        for name in ("HH", "HV", "VH", "VV")
    }
    for name, values in speckle.items():
        assert values.mean() == pytest.approx(1, abs=0.005), name
        assert 1 / values.var() == pytest.approx(20, rel=0.05), name
    assert abs(np.corrcoef(speckle["HH"], speckle["VV"])[0, 1]) < 0.02
    assert abs(np.corrcoef(speckle["HH"], speckle["HV"])[0, 1]) < 0.02
    bright = power_from_dn(exact.dn["HV"][good]) > 10 ** (-2.2)  # 13 dB above the noise floor
    both = (speckle["HV"] + speckle["VH"])[bright] / 2
    assert np.corrcoef(speckle["HV"][bright], speckle["VH"][bright])[0, 1] > 0.85
    assert 1 / both.var() == pytest.approx(20, rel=0.1)  # averaging them adds no looks


@pytest.mark.parametrize("coherence", [0.0, 0.5, 0.9, 1.0])
def test_coherent_pair_has_gamma_margins_and_squared_correlation(coherence: float) -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    first, second = coherent_pair(np.full(100_000, coherence), 6.0, rng)
    for values in (first, second):
        assert values.mean() == pytest.approx(1, abs=0.01)
        assert values.var() == pytest.approx(1 / 6, rel=0.03)
        assert np.mean((values - 1) ** 3) == pytest.approx(2 / 36, rel=0.15)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(coherence**2, abs=0.015)


def test_same_seed_same_scene_and_another_seed_another(season: list[SimulatedScene]) -> None:
    again = list(simulate_season(season[0].grid, DATES, seed=3, wetness=[0.75, 0.3]))
    for one, other in zip(season, again, strict=True):
        assert all(np.array_equal(one.dn[name], other.dn[name]) for name in one.dn)
        assert np.array_equal(one.truth.soil_moisture, other.truth.soil_moisture, equal_nan=True)
    changed = simulate_scene(season[0].grid, DATES[0], seed=4, wetness=0.75)
    assert np.mean(changed.dn["HH"] == season[0].dn["HH"]) < 0.05


def test_season_keeps_roughness_dries_the_soil_and_grows_the_crops(season: list[SimulatedScene]) -> None:
    wet, dry = (scene.truth for scene in season)
    assert np.array_equal(wet.rms_height, dry.rms_height, equal_nan=True)
    growth = (dry.vegetation / wet.vegetation)[np.isfinite(wet.vegetation)]
    assert 1 <= growth.min() <= growth.max() < 1.2
    assert np.nanmean(wet.soil_moisture) - np.nanmean(dry.soil_moisture) > 0.08
    assert np.corrcoef(*(truth.soil_moisture[season[0].mask == VALID] for truth in (wet, dry)))[0, 1] > 0.4
    for name in wet.scattering:
        assert dry.scattering[name] == pytest.approx(wet.scattering[name], rel=0.25)
    assert wet.gain_db != dry.gain_db


def test_truth_spans_a_plausible_range(season: list[SimulatedScene]) -> None:
    truth = season[0].truth
    low, high = np.nanpercentile(truth.soil_moisture, [0.1, 99.9])
    assert 0.03 < low < high < 0.42
    assert 0.04 < np.nanstd(truth.soil_moisture) < 0.09
    assert 0.004 <= np.nanmin(truth.rms_height) < 0.008
    assert 0.02 < np.nanmax(truth.rms_height) <= 0.04
    vegetation = truth.vegetation[np.isfinite(truth.vegetation)]
    assert np.mean(vegetation > 0.15) > 0.7
    assert np.mean(vegetation < 0.1) > 0.05
    assert np.mean(vegetation > 1) > 0.05


def test_fields_are_parcels_of_a_few_hectares(season: list[SimulatedScene]) -> None:
    ground = make_ground(season[0].grid, 3)
    sizes = np.bincount(ground.parcel.ravel()) * 25.0**2
    assert 150**2 < np.median(sizes) < 400**2
    moisture = season[0].truth.soil_moisture
    correlation = [
        np.corrcoef(moisture[:, :-lag][good], moisture[:, lag:][good])[0, 1]
        for lag in (1, 8)
        for good in [np.isfinite(moisture[:, :-lag]) & np.isfinite(moisture[:, lag:])]
    ]
    assert correlation[0] > 0.85
    assert correlation[1] < correlation[0] - 0.2


def test_view_has_lake_layover_swath_edge_and_rising_incidence(season: list[SimulatedScene]) -> None:
    scene = season[0]
    angle = np.degrees(scene.incidence_angle)
    assert set(np.unique(scene.mask)) <= set(MASK_CLASSES)
    for value in (NODATA, LAYOVER, WATER):
        assert 0 < np.mean(scene.mask == value) < 0.05
    for name, values in scene.dn.items():
        assert np.array_equal(values == 0, scene.mask == NODATA), name
    assert np.all(np.isnan(scene.truth.soil_moisture) == (scene.mask != VALID))
    assert 3 < np.median(angle[:, -20:]) - np.median(angle[:, :20]) < 7  # looks east: incidence rises eastward
    assert angle[scene.mask == LAYOVER].max() < np.median(angle)
    west = simulate_scene(scene.grid, DATES[0], seed=3, sensor=Sensor(look_azimuth_deg=280.0))
    assert np.median(west.incidence_angle[:, -20:]) < np.median(west.incidence_angle[:, :20])


def test_wetness_is_drawn_within_bounds_where_not_given() -> None:
    dates = [DATES[0] + dt.timedelta(days=7 * week) for week in range(30)]
    values = wetness_of_dates(dates, 5)
    assert all(0.1 < value <= 0.9 for value in values)
    assert np.std(values) > 0.05


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dates": []}, "at least one"),
        ({"dates": [dt.datetime(2024, 5, 4)]}, "time zone"),
        ({"dates": DATES[::-1]}, "rise"),
        ({"wetness": [0.5]}, "1 values for 2 dates"),
        ({"wetness": [0.5, 1.5]}, "1.5"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_wrong_season_is_refused(change: dict[str, object], named: str) -> None:
    arguments = {"dates": DATES, "seed": 0, **change}
    dates = arguments.pop("dates")
    with pytest.raises(InvalidInputError, match=named):
        simulate_season(utm_grid(0, 0, 32, 32), dates, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"looks": 0.5}, "looks"), ({"frequency": 5.4e9}, "L-band"), ({"incidence_deg": (34.0, 28.0)}, "incidence_deg")],
)
def test_wrong_sensor_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Sensor(**change)  # type: ignore[arg-type]


def test_scene_is_written_as_analysts_receive_it(season: list[SimulatedScene], tmp_path: Path) -> None:
    scene = season[0]
    paths = write_scene(scene, tmp_path / "scene")
    names = ["HH.tif", "HV.tif", "VH.tif", "VV.tif", "local_incidence_angle.tif", "mask.tif"]
    assert [path.name for path in paths] == names
    for path in paths:
        valid, errors, warnings = cog_validate(path, quiet=True)
        assert (valid, errors, warnings) == (True, [], []), path.name
        with rasterio.open(path) as raster:
            assert (raster.crs.to_string(), raster.transform, raster.shape) == (
                scene.grid.crs,
                scene.grid.transform,
                scene.grid.shape,
            )
            assert raster.nodata == 0
            assert "Simulated" in raster.tags()["TIFFTAG_IMAGEDESCRIPTION"]
            values = raster.read(1)
            if path.stem in scene.dn:
                assert raster.dtypes == ("uint16",)
                assert np.array_equal(values, scene.dn[path.stem])
            elif path.stem == "mask":
                assert np.array_equal(values, scene.mask)
            else:
                assert (raster.scales, raster.units) == ((0.01,), ("deg",))
                good = scene.mask != NODATA
                assert np.abs(values[good] * 0.01 - np.degrees(scene.incidence_angle[good])).max() <= 0.0051
    dual = write_scene(scene, tmp_path / "dual", ("HV", "HH"))
    assert [path.name for path in dual][:2] == ["HH.tif", "HV.tif"]
    assert len(dual) == 4


def test_truth_is_averaged_and_empty_where_no_soil_is_seen(season: list[SimulatedScene], tmp_path: Path) -> None:
    scene = season[0]
    paths = write_truth(scene, tmp_path, "one", factor=2)
    assert [path.name for path in paths] == [
        "one_soil_moisture.tif",
        "one_rms_height.tif",
        "one_vegetation.tif",
        "one.json",
    ]
    for path, tolerance in zip(paths[:3], (6e-5, 6e-7, 6e-5), strict=True):
        layer = path.stem.removeprefix("one_")
        fine = getattr(scene.truth, layer)
        with rasterio.open(path) as raster:
            assert raster.bounds == scene.grid.bounds
            stored = raster.read(1, masked=True) * raster.scales[0]
        mean = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4
        assert np.array_equal(stored.mask, np.isnan(mean))
        assert np.abs(stored.compressed() - mean[np.isfinite(mean)]).max() < tolerance
    drawn = json.loads(paths[3].read_text())
    assert drawn["simulated"] is True
    assert set(drawn["gain_db"]) == {"HH", "HV", "VH", "VV"}


def test_writing_fails_with_a_sentence(season: list[SimulatedScene], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be made"):
        write_scene(season[0], tmp_path / "file")
    with pytest.raises(InvalidInputError, match="'RH'"):
        write_scene(season[0], tmp_path / "ok", ("RH", "HH"))
    assert not (tmp_path / "ok").exists()
