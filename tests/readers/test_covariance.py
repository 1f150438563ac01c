"""C3 and T3 matrices: the same powers from both, by window, and each wrong folder refused by what is wrong with it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from described_items import item_of, scene_of
from matrix_files import SHAPE, UTM, matrices, write_envi
from rasterio.windows import Window

from escape_process.errors import EscapeError, SceneError
from escape_process.readers import covariance, open_scene
from escape_process.records import Description, Source
from escape_process.settings import Settings

SETTINGS = Settings()


def hrefs_of(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.iterdir())]


def describe(folder: Path) -> Description:
    return covariance.describe(hrefs_of(folder), SETTINGS)


def read(described: Description, layer: str, window: Window | None = None) -> np.ndarray:
    files = {key: asset["href"] for key, asset in described.assets.items()}
    with covariance.open_layer(Source("covariance", layer, files), SETTINGS) as raster:
        assert (raster.height, raster.width) == described.grid.shape
        values: np.ndarray = raster.read(1, window=window or Window(0, 0, raster.width, raster.height))
    return values


@pytest.mark.parametrize("order", [0, 1], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("matrix", ["C3", "T3"])
def test_powers_are_those_of_the_scattering_vectors(tmp_path: Path, matrix: str, order: int) -> None:
    powers, c3, t3 = matrices()
    names = {"suffix": ".img", "header": ".hdr"} if order else {}
    folder = write_envi(tmp_path / matrix, c3 if matrix == "C3" else t3, order=order, **names)  # type: ignore[arg-type]
    described = describe(folder)
    assert described.grid.crs == "EPSG:32630"
    assert described.grid.transform == Affine(25, 0, 600000, 0, -25, 4600000)
    for layer, power in powers.items():
        values = read(described, layer)
        assert values.dtype == np.float32
        assert values == pytest.approx(power, rel=2e-6)
        part = read(described, layer, Window(5, 7, 11, 13))
        assert (part == values[7:20, 5:16]).all()


@pytest.mark.parametrize("named", [True, False], ids=["bands named", "bands in order"])
@pytest.mark.parametrize("matrix", ["C3", "T3"])
def test_geotiffs_of_many_bands_and_of_one_give_the_same(tmp_path: Path, matrix: str, named: bool) -> None:
    powers, c3, t3 = matrices(1)
    letter = matrix[0]
    order = ("11", "12_real", "12_imag", "13_real", "13_imag", "22", "23_real", "23_imag", "33")
    values = c3 if matrix == "C3" else t3
    profile: dict[str, Any] = {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "dtype": "float32"}
    profile |= {"crs": "EPSG:32630", "transform": Affine(25, 0, 600000, 0, -25, 4600000)}
    many = tmp_path / "many" / f"scene_{matrix}.tif"
    many.parent.mkdir()
    with rasterio.open(many, "w", count=9, **profile) as raster:
        shuffled = order[::-1] if named else order
        for index, place in enumerate(shuffled, start=1):
            raster.write(values[f"{letter}{place}"].astype(np.float32), index)
            if named:
                raster.set_band_description(index, f"{letter}{place}")
    for name, array in values.items():
        (tmp_path / "one").mkdir(exist_ok=True)
        with rasterio.open(tmp_path / "one" / f"{name}.tif", "w", count=1, **profile) as raster:
            raster.write(array.astype(np.float32), 1)
    for folder in ("many", "one"):
        assert covariance.recognises([path.name for path in (tmp_path / folder).iterdir()])
        described = describe(tmp_path / folder)
        assert described.grid.crs == "EPSG:32630"
        for layer, power in powers.items():
            assert read(described, layer) == pytest.approx(power, rel=2e-6)
    assert any("taken as" in warning for warning in describe(tmp_path / "many").warnings) is not named


def test_the_real_c3_and_t3_of_manitoba_give_the_same_powers(shared_data: Path) -> None:
    folder = shared_data / "polsartools_manitoba_fullpol"
    c3, t3 = describe(folder / "C3"), describe(folder / "T3")
    assert c3.grid == t3.grid
    assert c3.grid.transform.c == pytest.approx(-98.1456)
    assert c3.grid.transform.f == pytest.approx(49.7552)
    assert (c3.grid.crs, c3.grid.shape) == ("EPSG:4326", (201, 101))
    for layer, db in (("HH", -14.4), ("HV", -23.7), ("VV", -14.9)):
        one, other = read(c3, layer), read(t3, layer)
        assert one == pytest.approx(other, rel=1e-5)
        assert 10 * np.log10(one.mean()) == pytest.approx(db, abs=0.05)
    assert (read(c3, "mask") == 1).all()


def test_the_item_of_manitoba_is_a_scene(shared_data: Path) -> None:
    described = describe(shared_data / "polsartools_manitoba_fullpol" / "T3")
    item = item_of(described, "sigma0", **{"view:incidence_angle": 30.0, "sar:center_frequency": 1.2575})
    opened = open_scene(scene_of(item), SETTINGS)
    assert set(opened.bands) == {"HH", "HV", "VV"}
    assert opened.grid == described.grid
    assert not opened.encoding_assumed
    assert opened.mask is not None
    assert opened.mask.invalid == {0}
    assert opened.mask.source is not None


def test_a_placeholder_for_a_place_is_none(tmp_path: Path) -> None:
    powers, c3, _ = matrices()
    folder = write_envi(tmp_path / "C3", c3, place="map info = {UTM,1,1,0.0,0.0,1.0,1.0,30,North}\n")
    with pytest.raises(SceneError, match=r"Nothing tells where the C3 matrix lies: geocode it"):
        describe(folder)
    (folder / "config.txt").write_text(
        f"Nrow\n{SHAPE[0]}\n---------\nNcol\n{SHAPE[1]}\n---------\nPolarCase\nmonostatic\n---------\nPolarType\nfull\n"
        "---------\nMapInfo\nmap info = {UTM,1,1,600000.0,4600000.0,25.0,25.0,30,North}\n"
    )
    described = describe(folder)
    assert described.grid.crs == "EPSG:32630"
    assert any("datum" in warning for warning in described.warnings)
    assert read(described, "HV") == pytest.approx(powers["HV"], rel=2e-6)


def test_the_reference_pixel_counts_from_one_at_the_outer_corner(tmp_path: Path) -> None:
    place = "map info = {UTM, 1.5, 1.5, 600012.5, 4599987.5, 25.0, 25.0, 30, South, WGS-84, units=Meters}\n"
    described = describe(write_envi(tmp_path / "C3", matrices()[1], place=place))
    assert described.grid.crs == "EPSG:32730"
    assert described.grid.transform == Affine(25, 0, 600000, 0, -25, 4600000)


def test_other_systems_come_from_the_coordinate_system_string(tmp_path: Path) -> None:
    wkt = pyproj.CRS.from_epsg(3979).to_wkt("WKT1_ESRI")
    place = (
        "map info = {Lambert Conformal Conic, 1, 1, -1000.0, 2000.0, 30.0, 30.0, North America 1983}\n"
        f"coordinate system string = {{{wkt}}}\n"
    )
    assert describe(write_envi(tmp_path / "C3", matrices()[1], place=place)).grid.crs == "EPSG:3979"


def test_without_headers_the_size_is_that_of_config(tmp_path: Path) -> None:
    powers, c3, _ = matrices()
    folder = write_envi(tmp_path / "C3", c3)
    for path in folder.glob("*.hdr"):
        if path.name != "C12_real.bin.hdr":
            path.unlink()
    (folder / "config.txt").write_text(f"Nrow\n{SHAPE[0]}\n---\nNcol\n{SHAPE[1]}\n---\nMapInfo\n{UTM}")
    assert read(describe(folder), "VV") == pytest.approx(powers["VV"], rel=2e-6)


def test_doubles_behind_other_bytes_are_read(tmp_path: Path) -> None:
    powers, c3, _ = matrices()
    described = describe(write_envi(tmp_path / "C3", c3, dtype="f8", offset=17, order=1))
    assert read(described, "HH", Window(40, 30, 7, 1)) == pytest.approx(powers["HH"][30:, 40:], rel=1e-6)


def test_what_is_not_finite_is_missing(tmp_path: Path) -> None:
    c3 = matrices()[1]
    c3["C22"][3, 4], c3["C22"][5, 6] = np.nan, np.inf
    values = read(describe(write_envi(tmp_path / "C3", c3)), "HV")
    assert np.isnan(values).sum() == 2
    assert np.isnan(values[3, 4])


def _spoil(folder: Path, how: str) -> None:  # noqa: PLR0912
    first, header = folder / "C11.bin", folder / "C11.bin.hdr"
    said = header.read_text()
    match how:
        case "cut short":
            first.write_bytes(first.read_bytes()[:-7])
        case "too long":
            first.write_bytes(first.read_bytes() + b"\0")
        case "empty":
            first.write_bytes(b"")
        case "missing":
            (folder / "C33.bin").unlink()
        case "other size":
            write_envi(folder, {"C22": np.zeros((30, 47))})
        case "mixed":
            write_envi(folder, {"T11": np.zeros(SHAPE)})
        case "C4":
            write_envi(folder, {"C44": np.zeros(SHAPE)})
        case "twice":
            shutil.copy(first, folder / "C11.img")
        case "header empty":
            header.write_text("")
        case "header is no header":
            header.write_bytes(bytes(range(256)))
        case "absurd":
            header.write_text(said.replace("samples = 47", "samples = 999999999").replace("= 31", "= 999999999"))
        case "negative":
            header.write_text(said.replace("samples = 47", "samples = -47"))
        case "complex":
            header.write_text(said.replace("data type = 4", "data type = 6"))
        case "integers":
            header.write_text(said.replace("data type = 4", "data type = 2"))
        case "rotated":
            header.write_text(said.replace("units=Meters", "units=Meters, rotation=12.0"))
        case "elsewhere":
            header.write_text(said.replace("600000.000", "600100.000"))
        case "zone 77":
            header.write_text(said.replace("25.0, 30, North", "25.0, 77, North"))
        case "config of another":
            (folder / "config.txt").write_text("Nrow\n99\n---\nNcol\n47\n")
        case "dual-pol":
            (folder / "config.txt").write_text("PolarCase\nmonostatic\n---\nPolarType\npp1\n")
        case "bistatic":
            (folder / "config.txt").write_text("PolarCase\nbistatic\n")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut short", r"C11\.bin is cut short: 31 lines of 47 samples need 5828 bytes, it has 5821"),
        ("too long", r"C11\.bin is longer than it should be"),
        ("empty", r"C11\.bin is cut short: .* it has 0"),
        ("missing", r"has no C33\. It is a dual-pol matrix"),
        ("other size", r"C22 has 30 x 47 pixels, but C11 has 31 x 47"),
        ("mixed", "C3 and T3 are mixed"),
        ("C4", "4 x 4 matrix"),
        ("twice", r"Element C11 is there twice, as C11\.bin and C11\.img"),
        ("header empty", "no ENVI header"),
        ("header is no header", "no ENVI header"),
        ("absurd", "999999999 x 999999999 pixels"),
        ("negative", r"samples = '-47': it is a count"),
        ("complex", "data type = 6"),
        ("integers", "holds integers"),
        ("rotated", "rotated grid"),
        ("elsewhere", "C22 lies elsewhere than C11"),
        ("zone 77", "UTM zone '77'"),
        ("config of another", r"says 31 lines and 47 samples, but config\.txt Nrow 99"),
        ("dual-pol", "PolarType 'pp1': only full"),
        ("bistatic", "PolarCase 'bistatic'"),
    ],
)
def test_a_wrong_folder_is_refused_by_what_is_wrong(tmp_path: Path, how: str, words: str) -> None:
    folder = write_envi(tmp_path / "C3", matrices()[1])
    _spoil(folder, how)
    with pytest.raises(SceneError, match=words) as caught:
        describe(folder)
    assert str(tmp_path) not in str(caught.value)


def test_geotiffs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    profile: dict[str, Any] = {"driver": "GTiff", "height": 8, "width": 8, "crs": "EPSG:32630"}
    profile["transform"] = Affine(25, 0, 600000, 0, -25, 4600000)

    def tif(name: str, count: int = 9, dtype: str = "float32", **more: Any) -> Path:
        with rasterio.open(tmp_path / name, "w", count=count, dtype=dtype, **{**profile, **more}) as raster:
            raster.write(np.ones((count, more.get("height", 8), 8), dtype=dtype))
        return tmp_path / name

    def refused(words: str, *paths: Path) -> None:
        with pytest.raises(EscapeError, match=words):
            covariance.describe([str(path) for path in paths], SETTINGS)

    refused("no band C11 and no band C22", tif("a_C3.tif", count=4))
    refused("More than one matrix", tif("b_C3.tif"), tif("b_T3.tif"))
    mislabelled = tif("c_C3.tif")
    with rasterio.open(mislabelled, "r+") as raster:
        raster.set_band_description(1, "T11")
    refused("named as C3, but its bands are T11", mislabelled)
    refused("stored as int16", tif("d_T3.tif", dtype="int16"))
    refused("no reference system", tif("e_T3.tif", crs=None))
    cut = tif("f_C3.tif")
    cut.write_bytes(cut.read_bytes()[:100])
    refused("not a GeoTIFF or its header is damaged|truncated", cut)
    (tmp_path / "g_C3.tif").write_bytes(b"")
    refused("not a GeoTIFF", tmp_path / "g_C3.tif")
    whole = [tif(f"C{place}.tif", count=1) for place in ("11", "22")]
    refused("C33 has 7 x 8 pixels, but C11 has 8 x 8", *whole, tif("C33.tif", count=1, height=7))


def test_names_are_recognised() -> None:
    for names in (["T11.bin"], ["C22.img"], ["c12_REAL.bin"], ["x_T3.tif"], ["C3.tiff"], ["C33.tif"]):
        assert covariance.recognises(names), names
    for names in ([], ["HH.tif"], ["config.txt"], ["C3PO.tif"], ["T3"], ["IMG-HH-ALOS2.tif"], ["AC3X.tif"]):
        assert not covariance.recognises(names), names


def test_no_such_layer(tmp_path: Path) -> None:
    described = describe(write_envi(tmp_path / "C3", matrices()[1]))
    for layer in ("VH", "mask", "local_incidence_angle"):
        with pytest.raises(SceneError, match=f"no layer {layer}"):
            read(described, layer)
