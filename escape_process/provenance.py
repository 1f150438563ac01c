"""What a result was made of and how, as PROV-JSON: W3C submission of 2013, "The PROV-JSON Serialization".

A job is an activity. It used files of scenes and parameters, by software agents that followed a model (a plan), and
generated the files of results.
"""

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from escape_process.catalogue.items import NAMESPACE, software
from escape_process.catalogue.publish import public_href
from escape_process.errors import EscapeError
from escape_process.hrefs import about, file_name, is_remote, without_secrets
from escape_process.records import OpenedScene, Pass, ProductFile, Stack
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

MODEL = (
    "Bare-soil backscatter of Oh (2004) under the water cloud model, inverted by a self-calibrated ensemble without"
    " in-situ data"
)
REFERENCE = "https://doi.org/10.1109/TGRS.2003.821065"

Record = dict[str, Any]


class Provenance:
    """The provenance of one job: grows by one result after another."""

    def __init__(self, request: RetrievalRequest, settings: Settings, job_id: str | None) -> None:
        self._request = request
        self._settings = settings
        self._job = f"escape:job/{job_id or uuid.uuid4()}"
        self._started = _now()
        self._inputs: dict[str, Mapping[str, Record]] = {}
        self._results: list[tuple[str, Pass, Sequence[str], Mapping[str, Any], Mapping[str, ProductFile]]] = []
        self._reused: list[str] = []

    def read(self, stack: Stack) -> None:
        """Note the files of a stack's scenes as they are now: before they are read for the result."""
        for one in stack.passes:
            for scene in one.scenes:
                self._inputs[scene.id] = _files_of(scene, self._settings)

    def add_result(
        self, id: str, one: Pass, stack: Stack, report: Mapping[str, Any], files: Mapping[str, ProductFile]
    ) -> None:
        """Note a result: its pass, the scenes calibrated with it, the report and the files."""
        scenes = [scene.id for each in stack.passes for scene in each.scenes]
        self._results.append((id, one, scenes, report, files))

    def add_reused(self, id: str) -> None:
        """Note a result that was there already: its own provenance tells the rest."""
        self._reused.append(id)

    def of_result(
        self, id: str, one: Pass, stack: Stack, report: Mapping[str, Any], files: Mapping[str, ProductFile]
    ) -> dict[str, Any]:
        """Return the provenance of a single result of the job, as PROV-JSON."""
        alone = Provenance(self._request, self._settings, None)
        alone._job, alone._started, alone._inputs = self._job, self._started, self._inputs
        alone.add_result(id, one, stack, report, files)
        return alone.document()

    def document(self) -> dict[str, Any]:
        """Return all that is known by now as PROV-JSON."""
        made = _Document()
        ended = _now()
        made.add(
            "activity", self._job, {"prov:startTime": self._started, "prov:endTime": ended, "prov:label": "Retrieval"}
        )
        parameters = json.dumps(self._parameters(), sort_keys=True, ensure_ascii=False)
        made.add("entity", "escape:parameters", {"prov:label": "Inputs of the request", "escape:json": parameters})
        made.relate("used", activity=self._job, entity="escape:parameters")
        made.add("entity", "escape:model", self._model())
        for name, version in self._software().items():
            agent = f"escape:software/{name}"
            made.add("agent", agent, {**_typed("prov:SoftwareAgent"), "prov:label": name, "escape:version": version})
            plan = {"plan": "escape:model"} if name == "escape-process" else {}
            made.relate("wasAssociatedWith", activity=self._job, agent=agent, **plan)
        if self._settings.public_url is not None:
            operator = {
                **_typed("prov:Organization"),
                "prov:label": "Operator",
                "prov:location": self._settings.public_url,
            }
            made.add("agent", "escape:operator", operator)
            made.relate("wasAssociatedWith", activity=self._job, agent="escape:operator")
        for id, one, scenes, _, files in self._results:
            for scene_id in scenes:
                self._add_scene(made, scene_id)
            self._add_result(made, id, one, files, ended)
        for id in self._reused:
            made.add("entity", f"escape:result/{id}", {**_typed("prov:Collection"), "prov:label": id})
            made.relate("used", activity=self._job, entity=f"escape:result/{id}")
        return made.content

    def _parameters(self) -> Record:
        catalog = self._request.catalog or self._settings.default_catalog
        named = catalog in self._settings.catalogs
        return {"catalog": catalog if named else _location(catalog, self._settings), **self._request.content()}

    def _model(self) -> Record:
        calibrations = [report["calibration"] for _, _, _, report, _ in self._results if "calibration" in report]
        told = json.dumps(calibrations[0], sort_keys=True) if calibrations else None
        return {
            **_typed("prov:Plan"),
            "prov:label": MODEL,
            "escape:reference": REFERENCE,
            "escape:mode": self._request.mode,
            "escape:members": self._request.members,
            "escape:seed": self._request.seed,
            **({"escape:calibration": told} if told is not None else {}),
        }

    def _software(self) -> dict[str, str]:
        reports = [report for _, _, _, report, _ in self._results]
        return software(reports[0] if reports else {})

    def _add_scene(self, made: "_Document", id: str) -> None:
        name = f"escape:scene/{id}"
        if name in made.content["entity"]:
            return
        made.add("entity", name, {**_typed("prov:Collection"), "prov:label": id})
        for key, record in self._inputs.get(id, {}).items():
            file = f"escape:scene/{id}/{key}"
            made.add("entity", file, record)
            made.relate("hadMember", collection=name, entity=file)
            made.relate("used", activity=self._job, entity=file)

    def _add_result(self, made: "_Document", id: str, one: Pass, files: Mapping[str, ProductFile], ended: str) -> None:
        name = f"escape:result/{id}"
        made.add("entity", name, {**_typed("prov:Collection"), "prov:label": id})
        made.relate("wasGeneratedBy", entity=name, activity=self._job, time=ended)
        for scene in one.scenes:
            made.relate(
                "wasDerivedFrom", generatedEntity=name, usedEntity=f"escape:scene/{scene.id}", activity=self._job
            )
        for key, file in files.items():
            part = f"{name}/{key}"
            about_it = {"prov:label": file.name, "escape:checksum": file.checksum, "escape:size": file.size}
            made.add("entity", part, about_it)
            made.relate("hadMember", collection=name, entity=part)
            made.relate("wasGeneratedBy", entity=part, activity=self._job, time=ended)


class _Document:
    """A PROV-JSON document that grows."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {"prefix": {"escape": NAMESPACE}, "entity": {}, "activity": {}, "agent": {}}

    def add(self, kind: str, name: str, record: Record) -> None:
        self.content[kind][name] = record

    def relate(self, kind: str, **roles: str) -> None:
        relations = self.content.setdefault(kind, {})
        relations[f"_:{kind}{len(relations) + 1}"] = {f"prov:{role}": value for role, value in roles.items()}


def _typed(name: str) -> Record:
    return {"prov:type": {"$": name, "type": "prov:QUALIFIED_NAME"}}


def _files_of(scene: OpenedScene, settings: Settings) -> dict[str, Record]:
    """Return what identifies each file that is read of a scene: its checksum, or else its size and ETag."""
    hrefs = {band.key: band.href for band in scene.bands.values()}
    for band in scene.bands.values():
        hrefs |= {} if band.source is None else band.source.files
    if scene.angle.href is not None:
        hrefs[scene.angle.key] = scene.angle.href
    if scene.mask is not None:
        hrefs[scene.mask.key] = scene.mask.href
    assets = scene.item.get("assets") or {}
    records = {}
    for key, href in sorted(hrefs.items()):
        asset = assets.get(key)
        stated = asset if isinstance(asset, Mapping) else {}
        record: Record = {"prov:label": file_name(href), "prov:location": _location(href, settings)}
        if isinstance(stated.get("file:checksum"), str):
            record["escape:checksum"] = stated["file:checksum"]
            if isinstance(stated.get("file:size"), int):
                record["escape:size"] = stated["file:size"]
        else:
            record |= _measured(href, settings)
        records[key] = record
    return records


def _measured(href: str, settings: Settings) -> Record:
    try:
        size, version = about(href, settings)
    except EscapeError:  # it was read a moment ago; the result does not hang on this
        return {}
    return {"escape:size": size, **({} if version is None else {"escape:version": version})}


def _location(href: str, settings: Settings) -> str:
    """Return an address as others may see it: without a signature, credentials or folders of this host."""
    public = public_href(href, settings)
    return without_secrets(public) if is_remote(public) else file_name(public)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
