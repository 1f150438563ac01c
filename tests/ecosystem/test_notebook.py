"""The notebook: it runs from top to bottom, shows what it promises, and is committed without outputs."""

import base64
import io

import nbformat
import numpy as np
import pystac
import pytest
from matplotlib import image
from serving import ROOT

NOTEBOOK = ROOT / "docs" / "soil-moisture.ipynb"


def _outputs(notebook: nbformat.NotebookNode, kind: str) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == kind]


def test_it_runs_from_top_to_bottom(executed: nbformat.NotebookNode) -> None:
    assert ["\n".join(error.traceback) for error in _outputs(executed, "error")] == []
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")


def test_it_tells_scenes_progress_and_results(executed: nbformat.NotebookNode, items: list[pystac.Item]) -> None:
    text = "".join(output.text for output in _outputs(executed, "stream") if output.name == "stdout")
    assert "sim-salamanca-20240511-dualpol HH HV\n" in text
    assert "refused: sim-salamanca-20240511-dualpol - It is dual-pol" in text
    shares = [int(line[:3]) for line in text.splitlines() if line[3:5] == " %"]
    assert shares
    assert shares == sorted(shares)
    assert "\nsuccessful\n" in text
    for item in items:
        assert f"\n{item.id}\n" in text


def test_it_draws_a_map_and_a_series(executed: nbformat.NotebookNode) -> None:
    drawn = [output.data["image/png"] for output in _outputs(executed, "display_data") if "image/png" in output.data]
    assert len(drawn) == 2
    for picture in drawn:
        pixels = image.imread(io.BytesIO(base64.b64decode(picture)))
        assert min(pixels.shape[:2]) > 200
        assert len(np.unique(pixels[..., 0])) > 20


def test_it_needs_nothing_of_this_package(executed: nbformat.NotebookNode) -> None:
    source = "\n".join(cell.source for cell in executed.cells if cell.cell_type == "code")
    assert "escape_process" not in source


def test_it_says_that_the_scenes_are_simulated(executed: nbformat.NotebookNode) -> None:
    titles = [line for cell in executed.cells for line in cell.source.splitlines() if "title" in line]
    assert sum("imulated" in line for line in titles) >= 2
    assert "simulated" in executed.cells[0].source


@pytest.mark.parametrize("part", ["outputs", "execution_count"])
def test_it_is_committed_without_outputs(part: str) -> None:
    committed = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(committed)
    assert not any(cell.get(part) for cell in committed.cells)
    assert NOTEBOOK.stat().st_size < 20_000
