"""A scene's rasters agree, or the sentence names the one that does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from scenes import CRS, ORIGIN, MakeScene, quad, write

from escape_process.errors import EscapeError, SceneError, UpstreamError
from escape_process.readers import open_scene
from escape_process.settings import Settings

SETTINGS = Settings()


def test_an_opened_scene_knows_its_grid(make_scene: MakeScene) -> None:
    opened = open_scene(make_scene(quad((40, 60))), SETTINGS)
    assert (opened.grid.crs, opened.grid.shape) == ("EPSG:32630", (40, 60))
    assert opened.grid.bounds == (600000, 4600000 - 40 * 25, 600000 + 60 * 25, 4600000)
    assert not opened.encoding_assumed
    assert opened.warnings == ()


def test_a_swapped_shape_in_the_item_does_no_harm(make_scene: MakeScene) -> None:
    item = {"properties": {"proj:shape": [60, 40], "proj:epsg": 32601, "proj:transform": [1, 0, 0, 0, 1, 0]}}
    opened = open_scene(make_scene(quad((40, 60)), item=item), SETTINGS)
    assert (opened.grid.shape, opened.grid.crs, opened.grid.transform) == ((40, 60), CRS, ORIGIN)


def test_an_undeclared_encoding_is_inferred_and_told(make_scene: MakeScene) -> None:
    rasters = {name: 10 * np.log10(values) for name, values in quad((40, 60)).items()}
    opened = open_scene(make_scene(rasters, band={"encoding": None}), SETTINGS)
    assert {band.encoding for band in opened.bands.values()} == {"db"}
    assert opened.encoding_assumed
    assert "encoding of HH, HV, VH, VV is not declared; read as db" in opened.warnings[0]


def test_unstated_looks_are_measured_and_told(make_scene: MakeScene) -> None:
    rng = np.random.default_rng(1)
    rasters = {name: rng.gamma(9, values / 9).astype(np.float32) for name, values in quad((400, 400)).items()}
    opened = open_scene(make_scene(rasters, looks=None), SETTINGS)
    assert opened.looks == pytest.approx(9, rel=0.15)
    assert "measured" in opened.warnings[0]


def spoiled(make_scene: MakeScene, **replaced: object) -> EscapeError:
    """Return the error for a scene whose VV raster was written anew in another way."""
    scene = make_scene(quad((40, 60)))
    shape = replaced.pop("shape", (40, 60))
    write(Path(scene.bands["VV"].href), np.full(shape, 0.1, dtype=np.float32), **replaced)  # type: ignore[arg-type]
    with pytest.raises(SceneError) as caught:
        open_scene(scene, SETTINGS)
    return caught.value


def test_another_shape_is_named(make_scene: MakeScene) -> None:
    text = str(spoiled(make_scene, shape=(41, 60)))
    assert "VV of scene has 41 x 60 pixels, but HH has 40 x 60" in text


def test_another_grid_is_named(make_scene: MakeScene) -> None:
    text = str(spoiled(make_scene, transform=ORIGIN @ Affine.translation(1, 0)))
    assert "VV of scene lies on another grid" in text
    assert "600025" in text


def test_another_crs_is_named(make_scene: MakeScene) -> None:
    assert "EPSG:32631" in str(spoiled(make_scene, crs="EPSG:32631"))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_missing_crs_is_named(make_scene: MakeScene) -> None:
    assert "VV of scene has no CRS" in str(spoiled(make_scene, crs=None))


def test_a_rotated_grid_is_named(make_scene: MakeScene) -> None:
    assert "rotated" in str(spoiled(make_scene, transform=ORIGIN @ Affine.rotation(10)))


def test_a_missing_raster_is_named(make_scene: MakeScene) -> None:
    scene = make_scene(quad((40, 60)))
    Path(scene.bands["VV"].href).unlink()
    with pytest.raises(UpstreamError, match=r"VV\.tif"):
        open_scene(scene, SETTINGS)


def test_a_truncated_raster_is_named(make_scene: MakeScene) -> None:
    scene = make_scene(quad((400, 600)))
    path = Path(scene.bands["VV"].href)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SceneError, match=r"VV\.tif"):
        open_scene(scene, SETTINGS)


def test_complex_rasters_are_refused_and_not_halved(make_scene: MakeScene) -> None:
    rasters = {name: values.astype(np.complex64) for name, values in quad((40, 60)).items()}
    with pytest.raises(SceneError, match=r"Asset HH of scene holds complex numbers \(complex64\)"):
        open_scene(make_scene(rasters, band={"encoding": None}), SETTINGS)
    with pytest.raises(SceneError, match="Asset LIN of scene holds complex numbers"):
        open_scene(make_scene(quad((40, 60)), angle=np.full((40, 60), 30 + 1j, np.complex64)), SETTINGS)


def test_an_angle_in_a_band_that_is_not_there_is_refused(make_scene: MakeScene) -> None:
    scene = make_scene(quad((40, 60)), angle=np.full((40, 60), 30, np.float32))
    scene = replace(scene, angle=replace(scene.angle, index=2))
    with pytest.raises(SceneError, match="Asset LIN of scene has 1 bands, so band 2 cannot be read"):
        open_scene(scene, SETTINGS)
