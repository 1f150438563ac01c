"""One picture of a result: the soil moisture and, beside it, how uncertain it is.

Drawn through matplotlib's object API on an Agg canvas: no global state, so that several threads may draw at once.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rasterio.enums import Resampling

from escape_process.layers import LAYER, UNUSABLE, Layer

_DPI = 100
_WIDTH_INCHES = 12.0
_PANEL_INCHES = 4.5
"""Width of one map in the picture."""
_MAP_PIXELS = 640
"""Pixels along a map's longer side, about what is shown; larger rasters are read from their overviews."""
_MISSING = (0.88, 0.88, 0.88)
_VEIL = (0.80, 0.80, 0.80)
_STRIPE = (0.35, 0.35, 0.35)
_STRIPE_PERIOD = 9
"""Pixels of the picture from one stripe over flagged ground to the next."""
_LABELS = {"simulated": "SIMULATED DATA", "format test": "FORMAT TEST"}
"""By what the title says."""
_UNITS = {"m3 m-3": "m³ m⁻³"}
_METRES_PER_DEGREE = 111_320.0


@dataclass(frozen=True)
class Caption:
    """What the picture says besides its maps."""

    title: str
    """Scene and date; a title with "simulated" or "format test" in it puts a label on the map."""
    valid_share: float
    unflagged_share: float
    """Of the valid pixels."""


@dataclass(frozen=True)
class _Axis:
    """How map coordinates are labelled."""

    extent: tuple[float, float, float, float]
    """left, right, bottom, top in the labels' unit."""
    labels: tuple[str, str]
    aspect: float
    """Length of a unit of y over that of a unit of x."""
    kilometres: float
    """Length of a unit of x."""


def draw_quicklook(folder: Path, caption: Caption, path: Path) -> None:
    """Draw the COGs in `folder` as a PNG 1200 pixels wide.

    Flagged pixels keep their colour under a grey veil with stripes; pixels without data are light grey.
    """
    moisture, uncertainty = LAYER["soil_moisture"], LAYER["soil_moisture_uncertainty"]
    with rasterio.open(folder / f"{moisture.name}.tif") as raster:
        axis = _axis_of(raster)
    left, right, bottom, top = axis.extent
    shape = (top - bottom) * axis.aspect / (right - left)
    height = min(max(_PANEL_INCHES * shape, 2.4), 9.0) + 1.9
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.10))
    FigureCanvasAgg(figure)
    flagged = _flagged(folder)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, layer in zip(panels, (moisture, uncertainty), strict=True):
        values = _read_map(folder, layer)
        colours = _draw_map(panel, layer, values, flagged, axis)
        highest = float(np.max(values, initial=-math.inf, where=np.isfinite(values)))
        _draw_colour_bar(figure, panel, layer, colours, highest)
    panels[0].set_ylabel(axis.labels[1])
    _draw_scale(panels[0], axis)
    labels = [label for word, label in _LABELS.items() if word in caption.title.lower()]
    if labels:
        _label(panels[0], "\n".join(labels))
    _annotate(figure, caption)
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})


def _axis_of(raster: Any) -> _Axis:
    left, bottom, right, top = raster.bounds
    crs = pyproj.CRS.from_user_input(raster.crs)
    if crs.is_geographic:
        shrink = math.cos(math.radians((bottom + top) / 2))
        kilometres = _METRES_PER_DEGREE * shrink / 1000
        return _Axis((left, right, bottom, top), ("Longitude (°)", "Latitude (°)"), 1 / shrink, kilometres)
    scale = crs.axis_info[0].unit_conversion_factor / 1000
    name = ":".join(crs.to_authority() or ()) or crs.name
    extent = (left * scale, right * scale, bottom * scale, top * scale)
    return _Axis(extent, (f"Easting (km, {name})", "Northing (km)"), 1.0, 1.0)


def _reduced_shape(raster: Any) -> tuple[int, int]:
    factor = max(1.0, max(raster.height, raster.width) / _MAP_PIXELS)
    return math.ceil(raster.height / factor), math.ceil(raster.width / factor)


def _enlarged(values: NDArray[Any]) -> NDArray[Any]:
    """Repeat the pixels of a small raster, so that stripes have the same width in every picture."""
    factor = max(1, round(_MAP_PIXELS / max(values.shape)))
    return values.repeat(factor, axis=0).repeat(factor, axis=1)


def _read_map(folder: Path, layer: Layer) -> NDArray[Any]:
    """Return a layer as the picture shows it, NaN where missing."""
    with rasterio.open(folder / f"{layer.name}.tif") as raster:
        values = raster.read(1, out_shape=_reduced_shape(raster), resampling=Resampling.average, masked=True)
    return _enlarged(values.astype(np.float32).filled(np.nan))


def _flagged(folder: Path) -> NDArray[np.bool_]:
    with rasterio.open(folder / f"{LAYER['flags'].name}.tif") as raster:
        flags = raster.read(1, out_shape=_reduced_shape(raster), resampling=Resampling.nearest)
    return _enlarged((flags & UNUSABLE) != 0)


def _draw_map(
    panel: Axes, layer: Layer, values: NDArray[Any], flagged: NDArray[np.bool_], axis: _Axis
) -> ScalarMappable:
    """Draw one layer and return its colours."""
    low, high = layer.rescale or (0.0, 1.0)
    colours = ScalarMappable(Normalize(low, high, clip=True), _colormap(layer.colormap))
    picture = colours.to_rgba(np.nan_to_num(values, nan=low))[..., :3]
    veiled = flagged & np.isfinite(values)
    picture[veiled] = 0.6 * picture[veiled] + 0.4 * np.array(_VEIL)
    diagonal = np.add.outer(np.arange(values.shape[0]), np.arange(values.shape[1]))
    striped = veiled & (diagonal % _STRIPE_PERIOD < 2)
    picture[striped] = 0.3 * picture[striped] + 0.7 * np.array(_STRIPE)
    picture[~np.isfinite(values)] = _MISSING
    panel.imshow(picture, extent=axis.extent, interpolation="antialiased", aspect=axis.aspect)
    panel.set_title(layer.title, fontsize=13, loc="left")
    panel.set_xlabel(axis.labels[0])
    panel.ticklabel_format(useOffset=False, style="plain")
    panel.locator_params(nbins=5)
    panel.label_outer()
    return colours


def _draw_colour_bar(figure: Figure, panel: Axes, layer: Layer, colours: ScalarMappable, highest: float) -> None:
    beside = panel.inset_axes((1.03, 0.0, 0.045, 1.0))
    beyond = highest > colours.get_clim()[1]
    bar = figure.colorbar(colours, cax=beside, extend="max" if beyond else "neither")
    bar.set_label(_UNITS.get(layer.unit, layer.unit) + (" (1 sigma)" if "uncertainty" in layer.roles else ""))


def _colormap(name: str) -> Colormap:
    """Return a colour map by the name that tile servers give it, which is in lower case."""
    spelled = {known.lower(): known for known in colormaps}
    return colormaps[spelled[name.lower()]]


def _draw_scale(panel: Axes, axis: _Axis) -> None:
    """Draw a scale bar about a quarter of the map wide."""
    left, right, bottom, top = axis.extent
    width, height = right - left, top - bottom
    wanted = width * axis.kilometres / 4
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(step for step in (1, 2, 5) if step * power <= wanted) * power
    bar = length / axis.kilometres
    text = f"{length:g} km" if length >= 1 else f"{length * 1000:g} m"
    thick = 0.008 * min(height, width * 2)
    scale = AnchoredSizeBar(panel.transData, bar, text, "lower left", size_vertical=thick, pad=0.3, sep=4)
    scale.patch.set(alpha=0.8, linewidth=0)
    panel.add_artist(scale)


def _label(panel: Axes, text: str) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "#b00020", "alpha": 0.92}
    panel.text(0.98, 0.98, text, transform=panel.transAxes, ha="right", va="top", color="#b00020", bbox=box)


def _annotate(figure: Figure, caption: Caption) -> None:
    figure.suptitle(caption.title, fontsize=14, fontweight="bold", x=0.01, ha="left", wrap=True)
    veil = Patch(facecolor=_VEIL, edgecolor=_STRIPE, hatch="////", label="flagged: see the flags layer")
    missing = Patch(facecolor=_MISSING, edgecolor="0.6", label="no data")
    figure.legend(
        handles=[veil, missing],
        loc="outside lower left",
        ncols=2,
        frameon=False,
        fontsize=11,
        title=f"{100 * caption.unflagged_share:.0f} % of the retrieved pixels are unflagged;"
        f" {100 * caption.valid_share:.0f} % of the map has a retrieval.",
        title_fontsize=11,
        alignment="left",
    )
