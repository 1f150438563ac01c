"""Real scenes: a NISAR quad-pol window goes through, dual-pol ALOS-2 products are refused by what they lack."""

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from result_checks import check_result
from serving import Server, serve
from stac_validation import validate_offline

from escape_process.layers import FLAG, UNUSABLE


def make_item(folder: Path, out: Path, *options: str) -> dict[str, object]:
    """Run the command on a folder of rasters; return its JSON."""
    command = [sys.executable, "-m", "escape_process.cli", "make-item", str(folder), "--out", str(out), "--json"]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve catalogues made of the real products."""
    folder = tmp_path_factory.mktemp("real")
    make_item(shared_data / "nisar_quadpol_gcov" / "quad", folder / "nisar", "--radiometry", "gamma0")
    (archive,) = (shared_data / "alos2_mosaic2020_N23W161").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "tile", filter="data")
    make_item(folder / "tile", folder / "mosaic", "--datetime", "2020-09-09", "--radiometry", "gamma0")
    scansar = shared_data / "alos2_l22_scansar_stac" / "ALOS2437590500-220630_WWDR2.2GUA.json"
    catalogs = {
        "nisar": folder / "nisar" / "collection.json",
        "mosaic": folder / "mosaic" / "collection.json",
        "scansar": scansar,
    }
    with serve(folder, catalogs) as server:
        yield server


AREA = {"bbox": [-90.22, 46.43, -90.18, 46.47]}


def test_nisar_quad_pol_goes_through(real: Server, shared_data: Path, tmp_path: Path) -> None:
    response = real.execute({**AREA, "catalog": "nisar", "incidence_angle_deg": 40})
    assert response.status_code == 200, response.text
    answer = response.json()
    (item,) = answer["items"]["features"]
    validate_offline(item, shared_data / "stac_schemas")
    layers = check_result(real.client, item, tmp_path)
    properties = item["properties"]
    assert properties["proj:code"] == "EPSG:32615"
    assert properties["proj:bbox"][0] == pytest.approx(713760.0)
    assert properties["proj:bbox"][3] == pytest.approx(5149140.0)
    assert properties["datetime"].startswith("2025-11-06")
    finite = np.isfinite(layers["soil_moisture"])
    assert finite.mean() > 0.9
    moisture = layers["soil_moisture"][finite]
    assert 0 < moisture.min() < moisture.max() < 0.7
    assert layers["incidence_angle"][finite] == pytest.approx(40, abs=1e-3)
    flags = layers["flags"].astype(int)[finite]
    assert (flags & UNUSABLE != 0).mean() > 0.5, "forest: most of it must be flagged"
    told = any("encoding" in warning for warning in answer["report"]["scenes"][0]["warnings"])
    assert (flags & FLAG["encoding_assumed"].mask != 0).all() == told
    assert (flags & FLAG["encoding_assumed"].mask != 0).any() == told


def test_nisar_without_an_angle_says_which_input_would_help(real: Server) -> None:
    sentence = real.refusal({**AREA, "catalog": "nisar"}, 422)
    assert "incidence_angle_deg" in sentence


@pytest.mark.parametrize(("catalog", "bbox"), [("mosaic", [-161, 21, -159, 24]), ("scansar", [121, 24, 126, 28])])
def test_dual_pol_products_are_refused_by_what_they_lack(real: Server, catalog: str, bbox: list[float]) -> None:
    sentence = real.refusal({"catalog": catalog, "bbox": bbox}, 422)
    assert "VV" in sentence
    assert "HH, HV" in sentence
    real.check_nothing_left()


def test_the_users_guide_shows_this_job() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "users-guide.md").read_text()
    assert "escape-process make-item" in guide
    assert '"incidence_angle_deg"' in guide


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_readme_request_with_curl_alone(tmp_path: Path) -> None:
    """Run the README's curl commands as they stand, sync and async."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    blocks = [part.split("```")[0] for part in readme.split("```bash\n")[1:]]
    (script,) = [block for block in blocks if "curl" in block]
    with serve(tmp_path) as server:
        script = script.replace("http://localhost:5000", server.url)
        done = subprocess.run(["bash", "-euc", script], check=True, capture_output=True, text=True, timeout=240)
    decoder, text, documents = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:].strip()
    assert documents[0]["items"]["features"]
    assert documents[-1]["items"] == documents[0]["items"]
