"""All that a client may ask, checked before the first download."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import shapely
import shapely.errors
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from escape_process.errors import InvalidInputError
from escape_process.fields import (
    bbox_to_crs84,
    check_bbox,
    check_crs,
    check_datetime,
    check_filter,
    check_geometry,
    check_zones,
    parse_interval,
)

BBox = Annotated[list[float], AfterValidator(check_bbox)]
Geometry = Annotated[dict[str, Any], AfterValidator(check_geometry)]


class RetrievalRequest(BaseModel):
    """One request, checked; immutable. The field descriptions are those that clients see."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    bbox: Annotated[
        BBox | None,
        Field(
            title="Bounding box",
            description="[west, south, east, north] in CRS84 degrees, or {bbox, crs}; west > east crosses the"
            " antimeridian. Give one of bbox, geometry and ids at least.",
            examples=[[-5.48, 41.23, -5.40, 41.29]],
        ),
    ] = None
    geometry: Annotated[
        Geometry | None,
        Field(title="Area", description="GeoJSON Polygon or MultiPolygon in CRS84; excludes bbox."),
    ] = None
    ids: Annotated[
        list[str] | None,
        Field(title="Item ids", description="STAC item ids of the scenes to use.", min_length=1, max_length=100),
    ] = None
    datetime: Annotated[
        Annotated[str, AfterValidator(check_datetime)] | None,
        Field(
            title="Dates",
            description="RFC 3339 instant or interval; '..' leaves an end open. Default: all.",
            examples=["2024-05-01T00:00:00Z/2024-06-30T23:59:59Z"],
        ),
    ] = None
    catalog: Annotated[
        str | None,
        Field(
            title="Catalogue",
            description="A name that the operator configured, or the http(s) URL of a STAC API or static catalogue."
            " Default: the operator's.",
            min_length=1,
        ),
    ] = None
    collections: Annotated[
        list[str] | None, Field(title="Collections", description="STAC collection ids to search in.", min_length=1)
    ] = None
    filter: Annotated[
        Annotated[dict[str, Any], AfterValidator(check_filter)] | None,
        Field(title="Filter", description="CQL2-JSON expression on item properties."),
    ] = None
    max_scenes: Annotated[
        int, Field(title="Most scenes", description="The newest ones are used where more are found.", ge=1, le=100)
    ] = 20
    resolution: Annotated[
        float | None,
        Field(
            title="Resolution",
            description="Pixel size of the result in metres. Default: the finest multiple of the scene's pixel that"
            " has at least 100 looks.",
            gt=0,
        ),
    ] = None
    crs: Annotated[
        Annotated[int | str, AfterValidator(check_crs)] | None,
        Field(title="CRS", description="EPSG code of a projected CRS in metres. Default: the scene's."),
    ] = None
    mode: Annotated[
        Literal["variational", "deterministic"],
        Field(
            title="Mode",
            description="variational: the encoder returns a distribution; deterministic: one point a member.",
        ),
    ] = "variational"
    members: Annotated[int, Field(title="Members", description="Size of the ensemble.", ge=1, le=100)] = 10
    seed: Annotated[int, Field(title="Seed", description="Start of the random numbers.", ge=0, lt=2**63)] = 0
    radiometry: Annotated[
        Literal["sigma0", "gamma0", "beta0"] | None,
        Field(title="Radiometry", description="Convention of scenes whose metadata does not state it."),
    ] = None
    incidence_angle_deg: Annotated[
        float | None,
        Field(
            title="Incidence angle",
            description="Local incidence angle in degrees of scenes that come without one.",
            ge=5,
            le=80,
        ),
    ] = None
    looks: Annotated[
        float | None,
        Field(
            title="Looks",
            description="Equivalent number of looks of a pixel of scenes that do not state it. Default: measured.",
            ge=1,
            le=1e6,
        ),
    ] = None
    frequency: Annotated[
        float | None,
        Field(
            title="Frequency",
            description="Centre frequency in Hz of scenes that do not state it.",
            ge=1e9,
            le=2e9,
        ),
    ] = None
    zones: Annotated[
        Annotated[dict[str, Any], AfterValidator(check_zones)] | None,
        Field(
            title="Zones",
            description="GeoJSON FeatureCollection of polygons in CRS84: a table of values per polygon and date"
            " besides the maps.",
        ),
    ] = None
    publish: Annotated[
        bool, Field(title="Publish", description="Publish the result items to the operator's catalogue.")
    ] = True
    reuse: Annotated[
        bool, Field(title="Reuse", description="Answer from the catalogue where the same request was answered before.")
    ] = True
    dry_run: Annotated[
        bool, Field(title="Dry run", description="Only list the scenes that would be used or refused.")
    ] = False

    @field_validator("bbox", mode="before")
    @classmethod
    def _accept_ogc_bbox(cls, value: Any) -> Any:
        return bbox_to_crs84(value)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.bbox is not None and self.geometry is not None:
            raise ValueError("inputs bbox and geometry exclude each other: give one of them")
        if self.bbox is None and self.geometry is None and self.ids is None:
            raise ValueError("needs one of bbox, geometry and ids")
        return self

    @classmethod
    def from_inputs(cls, inputs: Any) -> Self:
        """Check the `inputs` of an execute request; each may come bare or as {"value": ...}.

        Raises
        ------
        InvalidInputError
            one sentence naming the input and its value.
        """
        if not isinstance(inputs, Mapping):
            raise InvalidInputError(f"inputs must be a JSON object, not {_shorten(inputs)}.")
        bare = {name: _unwrap(value) for name, value in inputs.items()}
        unknown = sorted(set(bare) - set(cls.model_fields))
        if unknown:
            raise InvalidInputError(f"Unknown input {unknown[0]!r}; the inputs are {', '.join(cls.model_fields)}.")
        try:
            return cls.model_validate(bare)
        except ValidationError as error:
            raise InvalidInputError(_sentence(error, bare)) from error
        except UnicodeEncodeError as error:  # of a sentence that quotes it
            raise InvalidInputError("inputs hold half a surrogate pair, which is no character.") from error

    @classmethod
    def describe_inputs(cls) -> dict[str, dict[str, Any]]:
        """Return the process description's `inputs`: title, description, JSON Schema and occurrence of each."""
        properties = cls.model_json_schema()["properties"]
        described = {}
        for name, field in cls.model_fields.items():
            schema = dict(properties[name])
            title, description = schema.pop("title"), schema.pop("description")
            options = schema.pop("anyOf", None)
            if options is not None:
                bare = [option for option in options if option != {"type": "null"}]
                schema = {**(bare[0] if len(bare) == 1 else {"oneOf": bare}), **schema}
            if schema.get("default", 0) is None:
                schema.pop("default")
            if name == "bbox":
                corners = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
                pair = {
                    "type": "object",
                    "required": ["bbox"],
                    "properties": {"bbox": corners, "crs": {"type": "string"}},
                    "additionalProperties": False,
                }
                schema = {"oneOf": [corners, pair], "examples": schema["examples"]}
            described[name] = {
                "title": title,
                "description": description,
                "schema": schema,
                "minOccurs": int(field.is_required()),
                "maxOccurs": 1,
            }
        return described

    @property
    def interval(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Start and end asked for, UTC; None where open."""
        return (None, None) if self.datetime is None else parse_interval(self.datetime)

    @property
    def area(self) -> BaseGeometry | None:
        """The area asked for in CRS84, cut at the antimeridian; None where only ids were given."""
        if self.geometry is not None:
            return shapely.geometry.shape(self.geometry)
        if self.bbox is None:
            return None
        west, south, east, north = self.bbox
        if west < east:
            return shapely.box(west, south, east, north)
        return shapely.MultiPolygon([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])

    def content(self) -> dict[str, Any]:
        """Return what of the request changes the pixels or the scenes: the part that a result's id hashes."""
        return self.model_dump(mode="json", exclude={"publish", "reuse", "dry_run", "catalog"}, exclude_none=True)

    def digest(self, *more: str) -> str:
        """Return the SHA-256, in hex, of the request's content and of `more`."""
        text = json.dumps([self.content(), *more], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _unwrap(value: Any) -> Any:
    """Take the value out of a qualified input value."""
    if isinstance(value, Mapping) and "value" in value and set(value) <= {"value", "mediaType", "encoding", "schema"}:
        return value["value"]
    return value


def _shorten(value: Any, most: int = 120) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


_WORDS = {
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "finite_number": "must be finite",
}


def _sentence(error: ValidationError, inputs: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    location = first["loc"]
    said = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    if not location:
        return f"The request {said}." if said.startswith("needs") else f"{said[0].upper()}{said[1:]}."
    name = str(location[0])
    said = said[0].lower() + said[1:] if said.startswith("Input") else said
    if said.startswith("input "):
        said = said.removeprefix("input ")
    return f"Input {name} = {_shorten(inputs.get(name))}: {said}."
