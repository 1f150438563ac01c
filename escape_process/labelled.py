"""xarray in, xarray out: the array API on labelled data. xarray is optional; it is imported by the caller's own use."""

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from escape_process.errors import InvalidInputError
from escape_process.layers import LAYERS
from escape_process.retrieval import retrieve

if TYPE_CHECKING:
    import xarray as xr

VARIABLES = ("hh", "hv", "vv", "incidence_angle")


def retrieve_dataset(dataset: "xr.Dataset", *, time: str = "time", **options: Any) -> "xr.Dataset":
    """Retrieve on an xarray Dataset.

    Parameters
    ----------
    dataset
        Variables `hh`, `hv`, `vv` (linear sigma0) and `incidence_angle` (rad, local), any dimensions, broadcast by
        name; optionally `looks`.
    time
        Name of the dimension of dates, a datetime64 coordinate. Where the data has it with more than one date, the
        same ground is told by the other dimensions and roughness is shared over the dates.
    options
        As of `escape_process.retrieve`, other than `place` and `time`.

    Returns
    -------
    Dataset on the same coordinates: soil moisture, its uncertainties and quantiles (m3 m-3), rms height and its
    uncertainty (m), vegetation, flags, members used, each with units and description; the report in `attrs`.

    Raises
    ------
    InvalidInputError
        naming the variable or coordinate that is missing, and as of `retrieve`.
    """
    missing = [name for name in VARIABLES if name not in dataset]
    if missing:
        raise InvalidInputError(
            f"dataset has no variable {missing[0]!r}: it needs {', '.join(VARIABLES)} (linear sigma0, rad)."
        )
    given = [dataset[name] for name in (*VARIABLES, "looks") if name in dataset]
    dimensions = list(dict.fromkeys(name for variable in given for name in variable.dims))
    full = reduce(add, (variable * 0 for variable in given)).transpose(*dimensions)
    arrays = {variable.name: variable.broadcast_like(full).transpose(*dimensions).values for variable in given}
    if "looks" in arrays:
        options.setdefault("looks", arrays["looks"])
    if time in dimensions and full.sizes[time] > 1:
        if time not in dataset.coords or not np.issubdtype(dataset[time].dtype, np.datetime64):
            raise InvalidInputError(f"dataset has no datetime64 coordinate {time!r} for its dimension of dates.")
        axis = dimensions.index(time)
        ground = [size for number, size in enumerate(full.shape) if number != axis]
        place = np.expand_dims(np.arange(int(np.prod(ground, dtype=int))).reshape(ground), axis)
        dates = dataset[time].values.reshape([-1 if number == axis else 1 for number in range(full.ndim)])
        options |= {
            "place": np.broadcast_to(place, full.shape),
            "time": np.broadcast_to(dates, full.shape),
        }
    result = retrieve(arrays["hh"], arrays["hv"], arrays["vv"], arrays["incidence_angle"], **options)
    out = full.to_dataset(name="_").drop_vars("_")
    for layer in LAYERS:
        if layer.name != "incidence_angle":
            attributes = {
                "units": "m" if layer.unit == "cm" else layer.unit,
                "long_name": layer.title,
                "description": layer.description,
            }
            out[layer.name] = (dimensions, getattr(result, layer.name), attributes)
    out.attrs["report"] = result.report
    return out
