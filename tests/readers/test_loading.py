"""Power averaged over full-resolution pixels onto the result's grid, with its looks, flags and dates."""

import datetime as dt
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from scenes import CRS, ORIGIN, MakeScene, quad

from escape_process.errors import InvalidInputError
from escape_process.layers import FLAG
from escape_process.readers import build_stacks, load_observables, open_scene
from escape_process.records import Observables, Scene, Stack, Window
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

SETTINGS = Settings()


def stack_of(*scenes: Scene, **inputs: Any) -> Stack:
    request = RetrievalRequest.from_inputs({"ids": ["any"], **inputs})
    (stack,) = build_stacks([open_scene(scene, SETTINGS) for scene in scenes], request)
    return stack


def load(stack: Stack, window: Window | None = None) -> Observables:
    return load_observables(stack, window or stack.window, SETTINGS)


def textured(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: rng.gamma(4, values / 4).astype(np.float32) for name, values in quad(shape).items()}


def test_default_resolution_is_the_finest_multiple_with_a_hundred_looks(make_scene: MakeScene) -> None:
    stack = stack_of(make_scene(quad((40, 60)), looks=28.0))
    assert (stack.factor, stack.grid.transform.a, stack.grid.shape) == (2, 50, (20, 30))
    assert load(stack).looks == pytest.approx(112)


def test_looks_count_resolution_cells_not_pixels(make_scene: MakeScene) -> None:
    stack = stack_of(make_scene(quad((40, 60)), looks=25.0, resolution_cell=2 * 25.0 * 25.0), resolution=100)
    assert load(stack).looks == pytest.approx(25 * 16 / 2)


def test_powers_are_averaged_not_decibels(make_scene: MakeScene) -> None:
    rasters = textured((40, 60))
    observed = load(stack_of(make_scene(rasters), resolution=100))
    expected = rasters["HH"].reshape(10, 4, 15, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(observed.sigma0[0, 0], expected, rtol=1e-5)
    cross = (rasters["HV"] + rasters["VH"]).reshape(10, 4, 15, 4).mean(axis=(1, 3)) / 2
    np.testing.assert_allclose(observed.sigma0[0, 1], cross, rtol=1e-5)
    assert observed.incidence_angle == pytest.approx(np.radians(30))


def test_one_cross_polarization_suffices(make_scene: MakeScene) -> None:
    rasters = quad((40, 60))
    del rasters["HV"]
    assert load(stack_of(make_scene(rasters), resolution=50)).sigma0[0, 1] == pytest.approx(0.01)


def test_gamma0_uses_the_local_angle_of_each_pixel(make_scene: MakeScene) -> None:
    angle = np.full((40, 60), 3000, dtype=np.uint16)
    angle[:, 30:] = 6000
    observed = load(stack_of(make_scene(quad((40, 60)), angle=angle, band={"convention": "gamma0"}), resolution=50))
    assert observed.sigma0[0, 0, 0, 0] == pytest.approx(0.1 * np.cos(np.radians(30)), rel=1e-5)
    assert observed.sigma0[0, 0, 0, -1] == pytest.approx(0.1 * np.cos(np.radians(60)), rel=1e-5)
    assert observed.incidence_angle[0, 0, -1] == pytest.approx(np.radians(60))


def test_masked_pixels_do_not_count_and_flag_their_cells(make_scene: MakeScene) -> None:
    rasters, mask = quad((40, 60)), np.ones((40, 60), dtype=np.uint8)
    mask[:2, :4] = 2
    mask[:4, 8:12] = 4
    mask[4:6, 0:2] = 0
    rasters["HH"][mask != 1] = 100.0
    observed = load(stack_of(make_scene(rasters, mask=mask), resolution=100))
    assert observed.sigma0[0, 0, 0, 0] == pytest.approx(0.1)
    assert observed.looks[0, 0, 0] == pytest.approx(25 * 8)
    assert observed.flags[0, 0, 0] == FLAG["layover_shadow"].mask
    assert np.isnan(observed.sigma0[0, :, 0, 2]).all()
    assert observed.flags[0, 0, 2] == FLAG["open_water"].mask
    assert observed.sigma0[0, 0, 1, 0] == pytest.approx(0.1)
    assert observed.flags[0, 1, 0] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_bad_pixels_leave_the_mean_of_the_good(make_scene: MakeScene, bad: float) -> None:
    rasters = quad((40, 60))
    rasters["VV"][0, 0] = bad
    observed = load(stack_of(make_scene(rasters), resolution=50))
    assert np.isfinite(observed.sigma0).all()
    assert observed.sigma0[0, 2, 0, 0] == pytest.approx(0.12)
    assert observed.looks[0, 0, 0] == pytest.approx(25 * 3)


def test_assumptions_become_advisory_flags(make_scene: MakeScene) -> None:
    scene = make_scene(quad((40, 60)), band={"encoding": None}, terrain_corrected=False)
    flags = load(stack_of(scene, resolution=50)).flags
    assert (flags == FLAG["encoding_assumed"].mask | FLAG["not_terrain_corrected"].mask).all()


def test_blocks_read_the_same_as_the_whole(make_scene: MakeScene) -> None:
    stack = stack_of(make_scene(textured((45, 61))), resolution=75)
    whole = load(stack)
    part = load(stack, Window(5, 7, 6, 9))
    np.testing.assert_array_equal(part.sigma0, whole.sigma0[:, :, 5:11, 7:16])
    np.testing.assert_array_equal(part.looks, whole.looks[:, 5:11, 7:16])


def test_another_crs_averages_power_too(make_scene: MakeScene) -> None:
    rasters = quad((80, 80))
    rasters["HH"][:, ::2] = 0.3
    observed = load(stack_of(make_scene(rasters), resolution=200, crs=32629))
    inner = observed.sigma0[0, :, 4:-4, 4:-4]
    finite = np.isfinite(inner).all(axis=0)
    assert finite.mean() > 0.5
    assert inner[0][finite] == pytest.approx(0.2, rel=0.05)
    assert inner[2][finite] == pytest.approx(0.12, rel=1e-4)
    assert np.median(observed.looks[0, 4:-4, 4:-4]) == pytest.approx(25 * 64, rel=0.1)


def test_frames_of_a_pass_merge_and_dates_stack(make_scene: MakeScene) -> None:
    south = {"transform": ORIGIN @ Affine.translation(0, 30)}
    first = make_scene(quad((40, 60), hh=0.1), "north", pass_key="pass 1")
    second = make_scene(quad((40, 60), hh=0.2), "south", pass_key="pass 1", profile=south)
    later = make_scene(
        quad((40, 60), hh=0.3), "later", pass_key="pass 2", datetime=dt.datetime(2024, 5, 15, tzinfo=dt.UTC)
    )
    stack = stack_of(later, first, second, resolution=50)
    assert [len(one.scenes) for one in stack.passes] == [2, 1]
    observed = load(stack)
    assert observed.sigma0.shape == (2, 3, 35, 30)
    hh = observed.sigma0[:, 0, :, 15]
    assert hh[0, :15] == pytest.approx(0.1)
    assert hh[0, 15:20] == pytest.approx([0.11, 0.13, 0.15, 0.17, 0.19])
    assert hh[0, 20:] == pytest.approx(0.2)
    assert hh[1, :20] == pytest.approx(0.3)
    assert np.isnan(hh[1, 20:]).all()


def test_frames_in_two_utm_zones_are_one_pass(make_scene: MakeScene) -> None:
    into_zone = Transformer.from_crs(CRS, "EPSG:32631", always_xy=True)
    left, top = into_zone.transform(*(ORIGIN @ (0, 35)))
    profile = {"crs": "EPSG:32631", "transform": Affine(25, 0, left, 0, -25, top)}
    first = make_scene(quad((40, 60), hh=0.1), "one", pass_key="pass")
    second = make_scene(quad((40, 60), hh=0.1), "two", pass_key="pass", profile=profile)
    stack = stack_of(first, second, resolution=50)
    assert [len(one.scenes) for one in stack.passes] == [2]
    hh = load(stack).sigma0[0, 0]
    assert np.isfinite(hh).mean() > 0.8
    assert hh[np.isfinite(hh)] == pytest.approx(0.1)


def test_frames_far_apart_on_one_pass_are_results_of_their_own(make_scene: MakeScene) -> None:
    far = {"transform": ORIGIN @ Affine.translation(0, 300)}
    other_side = {"crs": "EPSG:32660", "transform": ORIGIN}
    scenes = [
        make_scene(quad((40, 60)), name, pass_key="pass", profile=profile)
        for name, profile in (("a", {}), ("b", far), ("c", other_side))
    ]
    stacks = build_stacks([open_scene(one, SETTINGS) for one in scenes], RetrievalRequest(ids=["any"]))
    assert [[scene.id for scene in one.scenes] for stack in stacks for one in stack.passes] == [["a"], ["b"], ["c"]]


def test_the_grid_does_not_depend_on_the_area_asked(make_scene: MakeScene) -> None:
    scene = make_scene(textured((80, 80)))
    whole = stack_of(scene, resolution=50)
    bbox = {"bbox": [600310, 4598610, 600790, 4599290], "crs": "EPSG:32630"}
    part = stack_of(scene, resolution=50, bbox=bbox, ids=["any"])
    assert part.grid == whole.grid
    window = part.window
    assert (window.row, window.column) == (14, 6)
    np.testing.assert_array_equal(
        load(part).sigma0,
        load(whole).sigma0[:, :, window.row : window.row + window.height, window.column : window.column + window.width],
    )


def test_ground_outside_the_area_gives_no_stack(make_scene: MakeScene) -> None:
    request = RetrievalRequest.from_inputs({"bbox": [10, 10, 11, 11]})
    assert build_stacks([open_scene(make_scene(quad((40, 60))), SETTINGS)], request) == ()


@pytest.mark.parametrize(("resolution", "said"), [(24.0, "finer than the pixels"), (1100.0, "coarser than")])
def test_impossible_resolutions_are_named(make_scene: MakeScene, resolution: float, said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"resolution = {resolution:g}: {said}"):
        stack_of(make_scene(quad((40, 60))), resolution=resolution)
