"""Results as rasters: real small COGs with STAC items, sampled at sites."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

pytest.importorskip("pytesmo", reason="the extra `validation` is not installed")

from escape_process.errors import InvalidInputError, SceneError, UpstreamError
from escape_process.layers import FLAG, FLOAT_NODATA
from escape_process.validation import validate

CRS = "EPSG:32630"
TRANSFORM = Affine(50, 0, 300_000, 0, -50, 4_570_000)
SHAPE = (20, 30)
LAYERS = ("soil_moisture", "soil_moisture_uncertainty", "soil_moisture_p05", "soil_moisture_p95", "flags")
SITES = {"a": (2, 3), "b": (10, 20), "c": (19, 29)}
"""Row and column of the pixel that holds a site."""


def place(row: float, column: float) -> tuple[float, float]:
    """Return longitude and latitude of a pixel's centre."""
    east, north = TRANSFORM @ (column + 0.5, row + 0.5)
    longitude, latitude = Transformer.from_crs(CRS, "OGC:CRS84", always_xy=True).transform(east, north)
    return longitude, latitude


def layers(day: int = 1) -> dict[str, NDArray[Any]]:
    rows, columns = np.indices(SHAPE)
    moisture = (0.05 + 0.01 * rows + 0.005 * columns + 0.01 * day).astype(np.float32)
    half = np.full(SHAPE, 0.04, dtype=np.float32)
    values = (moisture, half, moisture - half, moisture + half, np.zeros(SHAPE, dtype=np.uint16))
    return dict(zip(LAYERS, values, strict=True))


def write_item(folder: Path, day: int, values: dict[str, NDArray[Any]] | None = None, name: str = "r") -> Path:
    """Write COGs and their item, hrefs relative to it."""
    item_id = f"{name}-{day}"
    place_of = folder / item_id
    place_of.mkdir(parents=True)
    for layer, array in (values or layers(day)).items():
        height, width = array.shape
        profile = {"driver": "COG", "crs": CRS, "transform": TRANSFORM, "width": width, "height": height, "count": 1}
        if layer != "flags":
            profile["nodata"] = FLOAT_NODATA
        with rasterio.open(place_of / f"{layer}.tif", "w", dtype=array.dtype, **profile) as raster:
            raster.write(array, 1)
    west, north = place(-0.5, -0.5)
    east, south = place(SHAPE[0] - 0.5, SHAPE[1] - 0.5)[0], place(SHAPE[0] - 0.5, -0.5)[1]
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": f"2024-05-{day:02}T05:30:00Z", "created": f"2024-06-01T00:00:0{len(name)}Z"},
        "links": [],
        "assets": {layer: {"href": f"./{layer}.tif"} for layer in (values or LAYERS)},
    }
    path = place_of / f"{item_id}.json"
    path.write_text(json.dumps(item), encoding="utf-8")
    return path


def write_catalogue(folder: Path, items: list[Path]) -> Path:
    links = [{"rel": "item", "href": f"./{path.relative_to(folder)}"} for path in items]
    document = {"type": "Catalog", "stac_version": "1.1.0", "id": "c", "description": "d", "links": links}
    path = folder / "catalog.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def write_truth(folder: Path, days: int = 3, offset: float = 0.0) -> Path:
    lines = ["site,latitude,longitude,datetime,soil_moisture"]
    for site, (row, column) in SITES.items():
        longitude, latitude = place(row, column)
        for day in range(1, days + 1):
            value = float(layers(day)["soil_moisture"][row, column]) + offset
            lines.append(f"{site},{latitude:.8f},{longitude:.8f},2024-05-{day:02}T06:00:00Z,{value:.6f}")
    path = folder / "truth.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["folder", "catalogue", "item collection"])
def test_the_pixel_that_holds_the_site(tmp_path: Path, kind: str) -> None:
    items = [write_item(tmp_path / "out", day) for day in (1, 2, 3)]
    source = tmp_path / "out"
    if kind == "catalogue":
        source = write_catalogue(tmp_path / "out", items)
    elif kind == "item collection":
        features = [json.loads(path.read_text()) for path in items]
        for feature in features:
            for asset in feature["assets"].values():
                asset["href"] = asset["href"].replace("./", f"./{feature['id']}/")
        source = source / "items.geojson"
        source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    validation = validate(source, write_truth(tmp_path, offset=0.03), bootstrap=0)
    scores = validation.scores["unflagged"]
    assert (scores.n, scores.sites, scores.dates) == (9, 3, 3)
    assert scores.pooled.figures["bias"].value == pytest.approx(-0.03, abs=1e-6)
    assert scores.pooled.figures["ubrmsd"].value == pytest.approx(0, abs=1e-6)
    assert scores.mean_sigma.value == pytest.approx(0.04)
    assert scores.within_sigma.value == 1.0
    assert validation.kept_share == 1.0


def test_one_item_and_layers_that_are_absent(tmp_path: Path) -> None:
    item = write_item(tmp_path, 1, {"soil_moisture": layers(1)["soil_moisture"]})
    validation = validate(item, write_truth(tmp_path), bootstrap=0)
    assert list(validation.scores) == ["all"]
    assert validation.scores["all"].within_sigma.why == "Undefined: fewer than 3 samples have it."
    assert "The estimates have no flags: all samples are scored alike." in validation.notes


def test_a_window_leaves_out_missing_and_flagged_pixels(tmp_path: Path) -> None:
    values = layers(1)
    row, column = SITES["b"]
    values["soil_moisture"][row, column] = FLOAT_NODATA
    values["flags"][row, column] = FLAG["no_data"].mask
    values["soil_moisture"][row, column + 1] = 0.9
    values["flags"][row, column + 1] = FLAG["open_water"].mask
    values["flags"][0:5, 0:6] = FLAG["poor_fit"].mask
    values["flags"][2, 3] = 0
    expected = np.delete(values["soil_moisture"][row - 1 : row + 2, column - 1 : column + 2].ravel(), [4, 5]).mean()
    item = write_item(tmp_path, 1, values)
    samples = validate(item, write_truth(tmp_path), window=3, bootstrap=0).samples.set_index("site")
    assert samples.loc["b", "soil_moisture"] == pytest.approx(expected)
    assert samples["unflagged"].to_dict() == {"a": False, "b": True, "c": True}
    assert samples.loc["a", "flags"] == FLAG["poor_fit"].mask
    assert samples.loc["a", "soil_moisture"] == pytest.approx(values["soil_moisture"][1:4, 2:5].mean())
    assert samples.loc["c", "soil_moisture"] == pytest.approx(values["soil_moisture"][18:, 28:].mean())
    single = validate(item, write_truth(tmp_path), bootstrap=0)
    assert sorted(single.samples["site"]) == ["a", "c"]
    assert "1 samples without data were left out." in single.notes


def test_the_newest_of_two_results_of_one_date_counts(tmp_path: Path) -> None:
    write_item(
        tmp_path / "out", 1, {**layers(1), "soil_moisture": layers(1)["soil_moisture"] + np.float32(0.1)}, "newer"
    )
    write_item(tmp_path / "out", 1, name="r")
    validation = validate(tmp_path / "out", write_truth(tmp_path, days=1), bootstrap=0)
    assert validation.scores["all"].pooled.figures["bias"].value == pytest.approx(0.1, abs=1e-6)
    assert any("3 samples were left out because a newer result" in note for note in validation.notes)


def test_results_of_format_tests_are_not_scored(tmp_path: Path) -> None:
    truth = write_truth(tmp_path, days=2)
    marked = write_item(tmp_path / "out", 1)
    document = json.loads(marked.read_text(encoding="utf-8"))
    document["properties"]["escape:format_test"] = True
    marked.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InvalidInputError, match="results of format tests only"):
        validate(tmp_path / "out", truth, bootstrap=0)
    write_item(tmp_path / "out", 2)
    validation = validate(tmp_path / "out", truth, bootstrap=0)
    assert len(validation.samples) == len(SITES)


def test_refusals(tmp_path: Path) -> None:
    truth = write_truth(tmp_path)

    def refused(source: Path, words: str, reference: Path = truth, kind: type[Exception] = InvalidInputError) -> None:
        with pytest.raises(kind, match=words):
            validate(source, reference, bootstrap=0)

    refused(tmp_path / "absent", "The estimates absent do not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty holds no result: none of its 0 STAC items")
    (tmp_path / "odd.json").write_text("[1]", encoding="utf-8")
    refused(tmp_path / "odd.json", r"odd\.json are neither a \.csv table nor a readable STAC")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    refused(tmp_path / "broken.json", r"broken\.json are neither")

    item = write_item(tmp_path / "far", 1)
    far = tmp_path / "far.csv"
    far.write_text("site,latitude,longitude,datetime,soil_moisture\nq,10,20,2024-05-01T05:00Z,0.2\n")
    refused(item, "None of the 1 sites lies on any of the 1 results: site q is at latitude 10, longitude 20", far)
    far.write_text("site,datetime,soil_moisture\nq,2024-05-01T05:00Z,0.2\n")
    refused(item, r"Site q of far\.csv has no latitude and longitude", far)
    far.write_text(truth.read_text() + "a,41.2,-5.4,2024-05-09T05:00Z,0.2\n")
    refused(item, "Site a of far.csv has several places", far)

    values = layers(1)
    values["soil_moisture"][:] = FLOAT_NODATA
    refused(write_item(tmp_path / "void", 1, values), "All 3 places .* have no data there: try a larger window")
    percent = {**layers(1), "soil_moisture": layers(1)["soil_moisture"] * 100}
    refused(write_item(tmp_path / "percent", 1, percent), "Item r-1 has soil moisture .* in percent")
    shifted = {**layers(1), "flags": np.zeros((5, 5), dtype=np.uint16)}
    refused(write_item(tmp_path / "grid", 1, shifted), "flags of item r-1 does not lie on the grid", kind=SceneError)
    gone = write_item(tmp_path / "gone", 1)
    (gone.parent / "flags.tif").unlink()
    refused(gone, r"The file flags\.tif does not exist", kind=UpstreamError)
