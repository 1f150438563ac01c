"""xarray in, xarray out: the same numbers as the arrays give, on the same coordinates."""

import numpy as np
import pytest
import xarray as xr

import escape_process as ep


def season() -> xr.Dataset:
    """Return three dates over 8 x 12 cells of constant roughness."""
    rng = np.random.default_rng(0)
    soil = np.array([0.1, 0.2, 0.3])[:, None, None] + 0.02 * rng.standard_normal((3, 8, 12))
    hh, hv, vv = ep.physics.oh2004(soil, 0.4 + 0.0 * soil, np.full(soil.shape, 0.6))
    speckle = rng.gamma(100, 1 / 100, (3, *soil.shape))
    dimensions = ("time", "y", "x")
    return xr.Dataset(
        {
            "hh": (dimensions, hh * speckle[0]),
            "hv": (dimensions, (hv + 0.003) * speckle[1]),
            "vv": (dimensions, vv * speckle[2]),
            "incidence_angle": (("y", "x"), np.full((8, 12), 0.6)),
        },
        {
            "time": np.array(["2024-05-04", "2024-05-18", "2024-06-01"], dtype="datetime64[ns]"),
            "y": np.arange(8.0),
            "x": np.arange(12.0),
        },
    )


def test_many_dates_equal_the_array_api() -> None:
    data = season()
    ensemble = ep.calibrate(*(data[name].values.ravel() for name in ("hh", "hv", "vv")), 0.6, members=3)
    out = ep.retrieve_dataset(data, ensemble=ensemble)
    place = np.broadcast_to(np.arange(96).reshape(8, 12), (3, 8, 12))
    time = np.broadcast_to(data["time"].values[:, None, None], (3, 8, 12))
    plain = ep.retrieve(
        *(data[name].values for name in ("hh", "hv", "vv")), 0.6, place=place, time=time, ensemble=ensemble
    )
    np.testing.assert_array_equal(out["soil_moisture"].values, plain.soil_moisture)
    np.testing.assert_array_equal(out["flags"].values, plain.flags)
    assert out["soil_moisture"].dims == ("time", "y", "x")
    assert out["soil_moisture"].attrs["units"] == "m3 m-3"
    assert out["rms_height"].attrs["units"] == "m"
    xr.testing.assert_equal(out["time"], data["time"])


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ep.EscapeError, match="'hv'"):
        ep.retrieve_dataset(season().drop_vars("hv"))


def test_dates_without_times_are_refused() -> None:
    with pytest.raises(ep.EscapeError, match="datetime64 coordinate 'time'"):
        ep.retrieve_dataset(season().drop_vars("time"))
