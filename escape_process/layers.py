"""The product's layers and flags: the single source of each name, unit, type, nodata value and description.

COG, STAC asset, collection `item_assets`, render hints, quicklook and documentation all read these tables, so they
cannot disagree.
"""

from dataclasses import dataclass

FLOAT_NODATA = -9999.0
"""The value that marks missing pixels in float layers. NaN is used only in memory."""


@dataclass(frozen=True)
class Layer:
    """One COG of a result item."""

    name: str
    """Asset key, file stem and band name."""
    title: str
    description: str
    unit: str
    """UDUNITS spelling; "1" where dimensionless."""
    roles: tuple[str, ...]
    dtype: str
    nodata: float | None
    """None: every value is data (`flags`)."""
    scale_from_si: float = 1.0
    """Factor from the array API's unit to the layer's: 100 for a length given in cm."""
    rescale: tuple[float, float] | None = None
    """Range for display, in the layer's unit."""
    colormap: str = "viridis"
    resampling: str = "average"
    """How overviews are made."""


_DATA = ("data",)
_UNCERTAINTY = ("data", "uncertainty")


def _moisture(name: str, title: str, description: str, *, roles: tuple[str, ...], top: float, colormap: str) -> Layer:
    return Layer(
        name, title, description, "m3 m-3", roles, "float32", FLOAT_NODATA, rescale=(0.0, top), colormap=colormap
    )


LAYERS: tuple[Layer, ...] = (
    _moisture(
        "soil_moisture",
        "Soil moisture",
        "Volumetric soil moisture of the top few centimetres: posterior mean of the ensemble.",
        roles=_DATA,
        top=0.5,
        colormap="viridis_r",
    ),
    _moisture(
        "soil_moisture_uncertainty",
        "Soil moisture uncertainty",
        "Total 1-sigma standard uncertainty of soil moisture: root of aleatoric squared plus epistemic squared.",
        roles=_UNCERTAINTY,
        top=0.15,
        colormap="magma",
    ),
    _moisture(
        "soil_moisture_aleatoric",
        "Soil moisture uncertainty, aleatoric",
        "Part of the 1-sigma uncertainty due to speckle, noise and what three powers cannot tell apart.",
        roles=_UNCERTAINTY,
        top=0.15,
        colormap="magma",
    ),
    _moisture(
        "soil_moisture_epistemic",
        "Soil moisture uncertainty, epistemic",
        "Part of the 1-sigma uncertainty due to the members' disagreement and the radiometric calibration; it does"
        " not average down over pixels.",
        roles=_UNCERTAINTY,
        top=0.15,
        colormap="magma",
    ),
    _moisture(
        "soil_moisture_p05",
        "Soil moisture, 5 % quantile",
        "Soil moisture below which the total distribution holds 5 %.",
        roles=_UNCERTAINTY,
        top=0.5,
        colormap="viridis_r",
    ),
    _moisture(
        "soil_moisture_p95",
        "Soil moisture, 95 % quantile",
        "Soil moisture below which the total distribution holds 95 %.",
        roles=_UNCERTAINTY,
        top=0.5,
        colormap="viridis_r",
    ),
    Layer(
        "rms_height",
        "Surface roughness (rms height)",
        "Effective rms height of the soil surface: the value that explains the backscatter in the bare-soil model, not"
        " a profile measurement.",
        "cm",
        _DATA,
        "float32",
        FLOAT_NODATA,
        scale_from_si=100.0,
        rescale=(0.0, 4.0),
        colormap="cividis",
    ),
    Layer(
        "rms_height_uncertainty",
        "Surface roughness uncertainty",
        "Total 1-sigma standard uncertainty of the effective rms height.",
        "cm",
        _UNCERTAINTY,
        "float32",
        FLOAT_NODATA,
        scale_from_si=100.0,
        rescale=(0.0, 2.0),
        colormap="magma",
    ),
    Layer(
        "vegetation",
        "Vegetation",
        "Vegetation descriptor V of the water cloud model, dimensionless, scaled by the pass's own coefficients.",
        "1",
        _DATA,
        "float32",
        FLOAT_NODATA,
        rescale=(0.0, 2.0),
        colormap="greens",
    ),
    Layer(
        "members_used",
        "Members used",
        "Number of kept ensemble members that are finite and unsaturated at the pixel; 0 where there is no data.",
        "1",
        ("metadata",),
        "uint8",
        None,
        rescale=(0, 10),
        resampling="nearest",
    ),
    Layer(
        "flags",
        "Quality flags",
        "Bit field of reasons for caution; a pixel is unflagged where (flags & 0x0FFF) == 0.",
        "1",
        ("metadata", "data-mask", "quality"),
        "uint16",
        None,
        rescale=(0, 16383),
        resampling="mode",
    ),
    Layer(
        "incidence_angle",
        "Local incidence angle",
        "Angle between the radar's line of sight and the normal of the terrain.",
        "deg",
        ("data", "local-incidence-angle"),
        "float32",
        FLOAT_NODATA,
        scale_from_si=57.29577951308232,
        rescale=(15, 50),
        colormap="gray",
    ),
)

LAYER = {layer.name: layer for layer in LAYERS}


@dataclass(frozen=True)
class Flag:
    """One bit of the `flags` layer."""

    bit: int
    name: str
    description: str

    @property
    def mask(self) -> int:
        """The bit's value."""
        return 1 << self.bit


FLAGS: tuple[Flag, ...] = (
    Flag(0, "no_data", "No valid observation: outside the scene, masked, or a power that is not finite and positive."),
    Flag(1, "outside_model", "Incidence, ks or soil moisture lies outside the range on which the model was fitted."),
    Flag(2, "hh_above_vv", "HH exceeds VV by more than speckle explains, which the bare-soil model cannot give."),
    Flag(3, "layover_shadow", "The product's mask marks layover or shadow."),
    Flag(4, "open_water", "Backscatter as low as open water's, or the product's mask marks water."),
    Flag(5, "noise_floor", "A power lies near the sensor's noise floor."),
    Flag(6, "at_bound", "The estimate lies at a bound of the range searched."),
    Flag(7, "poor_fit", "The model does not reproduce the observed powers within their uncertainty."),
    Flag(8, "few_looks", "Fewer than 20 looks: speckle dominates."),
    Flag(9, "few_members", "Fewer than three members of the ensemble are usable."),
    Flag(10, "vegetation_hides_soil", "Vegetation lets so little of the soil's signal through that it says little."),
    Flag(11, "uninformative", "The observation hardly narrowed the prior: posterior sd above .95 prior sd."),
    Flag(12, "encoding_assumed", "Advisory: the encoding of the input (DN, linear, dB) was inferred, not declared."),
    Flag(13, "not_terrain_corrected", "Advisory: the input is not terrain corrected; positions and angles may be off."),
)

FLAG = {flag.name: flag for flag in FLAGS}

UNUSABLE = 0x0FFF
"""Bits that make a pixel flagged; the rest are advisory."""
