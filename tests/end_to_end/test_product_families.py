"""Real products of other families, and a GCOV file written after its specification: from item to result item."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from described_items import item_of, write_item
from nisar_files import write_gcov
from stac_validation import validate_offline

from escape_process.layers import FLAG, LAYERS
from escape_process.pipeline import run
from escape_process.readers import covariance, nisar
from escape_process.records import Description
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

QUICK: dict[str, Any] = {"mode": "deterministic", "members": 2}


def retrieve(item: dict[str, Any], folder: Path, **request: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run one item through the pipeline; return the result item, checked, and its layers."""
    path = write_item(item, folder / "item" / "item.json")
    settings = Settings(data_dir=folder / "data", catalogs={"own": str(path)}, default_catalog="own")
    outcome = run(RetrievalRequest(ids=[item["id"]], **{**QUICK, **request}), settings)
    (result,) = outcome.items["features"]
    layers = {}
    for layer in LAYERS:
        with rasterio.open(result["assets"][layer.name]["href"]) as raster:
            layers[layer.name] = raster.read(1)
    finite = layers["soil_moisture"] != -9999
    assert finite.any()
    assert (layers["soil_moisture"][finite] > 0).all()
    assert (layers["soil_moisture"][finite] < 0.7).all()
    return {**result, "_report": outcome.report}, layers


def described(shared_data: Path, name: str) -> Description:
    if name in ("C3", "T3"):
        folder = shared_data / "polsartools_manitoba_fullpol" / name
        return covariance.describe([str(path) for path in sorted(folder.iterdir())], Settings())
    (path,) = (shared_data / "alos1_quadpol_rslc_riobranco").glob("*.h5")
    return nisar.describe([str(path)], Settings())


DECLARED: dict[str, Any] = {
    "sar:center_frequency": 1.2575,
    "sar:frequency_band": "L",
    "view:incidence_angle": 35.0,
    "escape:format_test": True,
}


def test_c3_and_t3_of_manitoba_give_one_result_marked_as_a_format_test(shared_data: Path, tmp_path: Path) -> None:
    layers = {}
    for name in ("C3", "T3"):
        item = item_of(described(shared_data, name), "sigma0", **DECLARED)
        result, layers[name] = retrieve(item, tmp_path / name)
    properties = result["properties"]
    assert properties["escape:format_test"] is True
    assert properties["title"].endswith("(format test)")
    assert "no observation" in properties["description"]
    (told,) = result["_report"]["scenes"]
    assert told["format_test"] is True
    report = json.loads(Path(result["assets"]["report"]["href"]).read_text(encoding="utf-8"))
    assert report["scenes"][0]["format_test"] is True
    del result["_report"]
    validate_offline(result, shared_data / "stac_schemas")
    assert properties["proj:code"] == "EPSG:32614"
    one, other = layers["C3"], layers["T3"]
    both = (one["soil_moisture"] != -9999) & (other["soil_moisture"] != -9999)
    assert both.mean() > 0.5
    assert (one["soil_moisture"] != -9999).sum() == both.sum()
    # Powers agree to 1e-7 and calibration starts alike: what is left is rounding, carried through the training.
    assert one["soil_moisture"][both] == pytest.approx(other["soil_moisture"][both], abs=0.02)


def test_the_palsar_chip_goes_through(shared_data: Path, tmp_path: Path) -> None:
    item = item_of(described(shared_data, "RSLC"), "sigma0", **{"escape:format_test": True})
    result, layers = retrieve(item, tmp_path)
    assert result["properties"]["proj:code"] == "EPSG:32719"
    valid = layers["soil_moisture"] != -9999
    assert layers["incidence_angle"][valid] == pytest.approx(23.2, abs=0.1)
    assert ((layers["flags"][valid] & FLAG["not_terrain_corrected"].mask) != 0).all()


def test_gcov_in_hdf5_gives_what_its_geotiffs_give(shared_data: Path, tmp_path: Path) -> None:
    powers = {}
    folder = shared_data / "nisar_quadpol_gcov" / "quad"
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as raster:
            powers[path.stem], bounds = raster.read(1), raster.bounds
    corner = (bounds.left, bounds.top)
    gcov = write_gcov(tmp_path / "g.h5", powers, upper_left=corner, angles=(39.0, 39.0))
    said = {"sar:looks_equivalent_number": 8.0}
    item = item_of(nisar.describe([str(gcov)], Settings()), **said)
    assets = {
        name: {
            "href": str(folder / f"{name}.tif"),
            "type": "image/tiff; application=geotiff",
            "roles": ["data", "gamma0"],
            "bands": [{"name": name, "data_type": "float32", "unit": "1"}],
        }
        for name in powers
    }
    plain = {**item, "assets": assets, "properties": {**item["properties"], "view:incidence_angle": 39.0}}
    result, one = retrieve(item, tmp_path / "h5")
    _, other = retrieve(plain, tmp_path / "tif")
    assert result["properties"]["platform"] == "nisar"
    assert "escape:format_test" not in result["properties"]
    assert one["incidence_angle"] == pytest.approx(39.0, abs=1e-3)
    for name in ("soil_moisture", "soil_moisture_uncertainty"):
        assert one[name] == pytest.approx(other[name], abs=2e-3)
