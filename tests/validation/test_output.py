"""What a validation prints, writes and draws."""

import importlib
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from rich.console import Console

pytest.importorskip("pytesmo", reason="the extra `validation` is not installed")

from escape_process.errors import EscapeError, StorageError
from escape_process.validation import Validation, validate


def made(folder: Path, sites: int, bare: bool = False, days: int = 5) -> Validation:
    names = "" if bare else ",soil_moisture_uncertainty,soil_moisture_p05,soil_moisture_p95,flags"
    estimates, truth = [f"site,datetime,soil_moisture{names}"], ["site,datetime,soil_moisture"]
    for site in range(sites):
        for day in range(1, days + 1):
            value = 0.1 + 0.02 * site + 0.01 * day * (-1) ** day
            extra = "" if bare else f",{0.02 + 0.001 * day},{value - 0.04:.3f},{value + 0.04:.3f},{128 * (day == 2)}"
            estimates.append(f"site [{site}],2024-05-{day:02}T05:00Z,{value:.3f}{extra}")
            truth.append(f"site [{site}],2024-05-{day:02}T05:00Z,{0.12 + 0.02 * site + 0.004 * day:.3f}")
    (folder / "mine.csv").write_text("\n".join(estimates), encoding="utf-8")
    (folder / "truth.csv").write_text("\n".join(truth), encoding="utf-8")
    return validate(folder / "mine.csv", folder / "truth.csv", bootstrap=20)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers(one)]
    if isinstance(value, list | tuple):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("bare", [False, True])
def test_json_has_no_nan_and_says_why_a_figure_is_missing(tmp_path: Path, bare: bool) -> None:
    told = made(tmp_path, 3, bare).as_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert all(math.isfinite(number) for number in numbers(told))
    assert told["estimates"] == "mine.csv"
    assert str(tmp_path) not in json.dumps(told)
    scores = told["scores"]["all"]
    assert scores["n"] == 15
    assert told["samples_by_site"] == {"site [0]": 5, "site [1]": 5, "site [2]": 5}
    if bare:
        assert told["kept_share"] is None
        assert scores["within_sigma"] == {
            "value": None,
            "low": None,
            "high": None,
            "why": "Undefined: fewer than 3 samples have it.",
        }
    else:
        assert told["kept_share"] == 0.8
        assert len(scores["bins"]) == 5


def test_the_tables(tmp_path: Path) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    made(tmp_path, 3).print(console)
    text = console.export_text()
    for words in (
        "mine.csv against truth.csv (nearest within 6 h)",
        "The flags keep 80% of 15 samples.",
        "All samples: n = 15, 3 sites, 5 dates",
        "Unflagged samples: n = 12",
        "median of 3 sites",
        "ubRMSD of a constant guess",
        "RMSE / mean sigma (right: 1)",
    ):
        assert words in text, words


@pytest.mark.parametrize("sites", [1, 3, 12])
def test_the_figure(tmp_path: Path, sites: int) -> None:
    path = tmp_path / "figure.png"
    made(tmp_path, sites).draw(path)
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] == 1400
    assert picture.std() > 0.05


def test_a_figure_without_uncertainty_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    validation = made(tmp_path, 2, bare=True)
    validation.draw(tmp_path / "figure.png")
    made(tmp_path, 2, days=1).draw(tmp_path / "figure.png")
    with pytest.raises(StorageError, match=r"The figure figure\.png cannot be written: No such file"):
        validation.draw(tmp_path / "none" / "figure.png")


def test_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("escape_process.validation")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytesmo", None)
    with pytest.raises(EscapeError, match=r"needs the package pytesmo: install it .* 'escape-process\[validation\]'"):
        importlib.import_module("escape_process.validation")
