"""What must hold of every result item that the server gives: metadata, files and bytes agree."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate

from escape_process.layers import FLAG, LAYER, LAYERS


def check_result(client: httpx.Client, item: Mapping[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """Check one item and its files, fetched by href; return the layers."""
    json.dumps(item, allow_nan=False)
    assert set(item["assets"]) == {layer.name for layer in LAYERS} | {"thumbnail", "report", "provenance"}
    assert [link for link in item["links"] if link["rel"] == "derived_from"]
    layers = {}
    for key, asset in item["assets"].items():
        content = client.get(asset["href"]).raise_for_status().content
        assert len(content) == asset["file:size"], key
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest(), key
        path = folder / Path(asset["href"]).name
        path.write_bytes(content)
        if key not in LAYER:
            continue
        valid, errors, warnings = cog_validate(str(path), strict=True)
        assert valid, (key, errors, warnings)
        with rasterio.open(path) as raster:
            assert raster.crs.to_string() == item["properties"]["proj:code"]
            assert list(raster.transform)[:6] == pytest.approx(item["properties"]["proj:transform"][:6])
            assert list(raster.shape) == item["properties"]["proj:shape"]
            assert list(raster.bounds) == pytest.approx(item["properties"]["proj:bbox"])
            assert raster.nodata == LAYER[key].nodata
            assert raster.dtypes[0] == LAYER[key].dtype
            band = raster.read(1, masked=True)
            layers[key] = np.ma.filled(band.astype(float), np.nan)
            statistics = asset["bands"][0]["statistics"]
        if LAYER[key].nodata is not None:
            assert statistics["mean"] == pytest.approx(float(band.mean()), rel=1e-4)
            assert statistics["maximum"] == pytest.approx(float(band.max()), rel=1e-6)
    finite = np.isfinite(layers["soil_moisture"])
    flags = layers["flags"].astype(int)
    assert ((flags & FLAG["no_data"].mask == 0) == finite).all()
    total, aleatoric, epistemic = (
        layers[f"soil_moisture_{name}"][finite] for name in ("uncertainty", "aleatoric", "epistemic")
    )
    assert total**2 == pytest.approx(aleatoric**2 + epistemic**2, rel=1e-3)
    assert (layers["soil_moisture_p05"][finite] <= layers["soil_moisture_p95"][finite]).all()
    return layers
