"""Results whose files go to object storage: whole or not at all, and nothing stays on the disk."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prov.model import ProvDocument
from s3_server import BUCKET, S3Server
from serving import PROCESS, ROOT, SAMPLE_INPUTS, Server, serve
from stac_servers import Pgstac
from waiting import wait_for

from escape_process.catalogue.publish import find_published
from escape_process.errors import CancelledError, UpstreamError
from escape_process.jobs.files import signed_link
from escape_process.publishing import find_result, keep_result
from escape_process.settings import Settings

from .conftest import PUBLIC, settings_in, write_result

CDN = "https://cdn.example.org/maps"
SMALL_INPUTS = {**SAMPLE_INPUTS, "catalog": "remote", "bbox": [-5.46, 41.24, -5.43, 41.27], "members": 2}


def storing(folder: Path, s3: S3Server, **options: Any) -> Settings:
    storage = s3.bucket(f"s3://{BUCKET}/soil", **options)
    return Settings.model_validate(settings_in(folder).model_dump() | {"object_storage": storage})


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({}, f"s3://{BUCKET}/soil/{PROCESS}/one/"),
        ({"public_url": CDN}, f"{CDN}/{PROCESS}/one/"),
        ({"presign": 60}, f"{PUBLIC}/catalog/{PROCESS}/one/"),
    ],
)
def test_a_published_result(options: dict[str, Any], start: str, tmp_path: Path, s3: S3Server) -> None:
    settings = storing(tmp_path, s3, **options)
    item = write_result("one", tmp_path, settings)
    kept = keep_result(item, settings, published=True)
    for key, asset in kept.item["assets"].items():
        assert asset["href"].startswith(start), key
        content = s3.get(f"soil/{PROCESS}/one/{asset['href'].removeprefix(start)}")
        assert len(content) == asset["file:size"], key
        assert "1220" + hashlib.sha256(content).hexdigest() == item["assets"][key]["file:checksum"], key
    documents = {"catalog.json", f"{PROCESS}/collection.json", f"{PROCESS}/LICENSE.txt", f"{PROCESS}/one/one.json"}
    assert set(files_in(settings.data_dir)) - {"catalog/.lock"} == {f"catalog/{name}" for name in documents}
    assert find_result("one", settings) == kept

    s3.client.delete(f"/{BUCKET}/soil/{PROCESS}/one/flags.tif")
    assert find_published("one", settings) is None


def test_links_are_signed_where_no_server_would(tmp_path: Path, s3: S3Server) -> None:
    settings = storing(tmp_path, s3, presign=60).model_copy(update={"public_url": None})
    kept = keep_result(write_result("one", tmp_path, settings), settings, published=False)
    assert len(s3.stored()) == len(kept.item["assets"]) + 1  # the item
    for key, asset in kept.item["assets"].items():
        content = httpx.get(asset["href"], trust_env=False).raise_for_status().content
        assert "1220" + hashlib.sha256(content).hexdigest() == asset["file:checksum"], key
        assert "X-Amz-Signature" in asset["href"]


def test_unpublished_files_are_signed_for_their_owner_alone(tmp_path: Path, s3: S3Server) -> None:
    settings = storing(tmp_path, s3, presign=60)
    alice, bob = settings.of_owner("alice"), settings.of_owner("bob")
    kept = keep_result(write_result("one", tmp_path, alice), alice, published=False)
    (name,) = {Path(asset["href"]).name for key, asset in kept.item["assets"].items() if key == "flags"}
    assert {key.rpartition("/")[0] for key in s3.stored()} == {f"soil/{alice.unpublished_place}/one"}
    assert signed_link(f"one/{name}", alice, published=False) is not None
    for other in (bob, settings):
        assert signed_link(f"one/{name}", other, published=False) is None


@pytest.mark.parametrize("how", ["dismissed", "dismissed at the end", "failed"])
def test_what_does_not_come_to_its_end_leaves_nothing(
    how: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = storing(tmp_path, s3)
    item = write_result("one", tmp_path, settings)
    asked = iter([False] * (len(item["assets"]) if how.endswith("end") else 3))
    if how == "failed":  # the file changes on its way
        (settings.staging_dir / "one" / "flags.tif").write_bytes(b"")
    cancelled = (lambda: False) if how == "failed" else (lambda: next(asked, True))
    with pytest.raises(UpstreamError if how == "failed" else CancelledError):
        keep_result(item, settings, published=True, cancelled=cancelled)
    assert s3.stored() == []
    assert files_in(settings.data_dir) == []


def test_a_failure_spares_what_was_published_before(tmp_path: Path, s3: S3Server) -> None:
    settings = storing(tmp_path, s3)
    keep_result(write_result("one", tmp_path, settings), settings, published=True)
    published = find_published("one", settings)
    assert published is not None
    asked = iter([False] * 3)
    again = write_result("one", tmp_path, settings)
    with pytest.raises(CancelledError):
        keep_result(again, settings, published=True, cancelled=lambda: next(asked, True))
    assert find_published("one", settings) == published


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, pgstac: Pgstac) -> Iterator[Server]:
    """Serve with scenes and results in object storage and a STAC API to publish to."""
    s3_server.clear()
    pgstac.clear()
    for path in (ROOT / "catalog" / "samples").rglob("*"):
        if path.is_file():
            s3_server.put(f"scenes/{path.relative_to(ROOT / 'catalog').as_posix()}", path.read_bytes())
    options = {
        "catalog_seed": None,
        "publish_to": ["stac_api"],
        "stac_api": {"url": pgstac.url},
        "object_storage": s3_server.bucket(f"s3://{BUCKET}/soil", presign=300),
        "buckets": [s3_server.bucket(f"s3://{BUCKET}/scenes")],
    }
    catalogs = {"remote": f"s3://{BUCKET}/scenes/samples/collection.json"}
    with serve(tmp_path_factory.mktemp("server"), catalogs, **options) as running:
        yield running


@pytest.fixture(scope="module")
def answer(server: Server) -> httpx.Response:
    """Return the answer to a request that reads scenes from object storage and writes its results there."""
    answered = server.execute(SMALL_INPUTS)
    assert answered.status_code == 200, answered.text
    return answered


def test_nothing_is_on_disk_at_the_end(server: Server, answer: httpx.Response, s3_server: S3Server) -> None:
    (item,) = answer.json()["items"]["features"]
    own = {"catalog/catalog.json", f"catalog/{PROCESS}/collection.json", f"catalog/{PROCESS}/LICENSE.txt"}
    own |= {"openapi.json", "server.lock", "outbox/.lock", "catalog/.lock"}

    def left() -> set[str]:
        return {name for name in files_in(server.data) if name not in own and not name.startswith("jobs.sqlite")}

    wait_for(lambda: not left())  # the worker moves the log when the process of the job has ended
    kinds = {key.split("/")[1] for key in s3_server.stored() if key.startswith("soil/")}
    assert kinds == {PROCESS, "jobs", "work"}
    assert answer.json()["report"]["warnings"] == []
    assert item["properties"]["escape:valid_share"] > 0.5


def test_files_are_read_by_signed_links(server: Server, answer: httpx.Response, s3_server: S3Server) -> None:
    (item,) = answer.json()["items"]["features"]
    for key, asset in item["assets"].items():
        assert asset["href"].startswith(f"{server.url}/catalog/{PROCESS}/{item['id']}/"), key
        redirect = server.client.get(asset["href"])
        assert redirect.status_code == 307, key
        assert redirect.headers["Location"].startswith(s3_server.url)
        assert redirect.headers["Access-Control-Allow-Origin"] == "*"
        content = httpx.get(redirect.headers["Location"], trust_env=False).content
        assert len(content) == asset["file:size"], key
        assert "1220" + hashlib.sha256(content).hexdigest() == asset["file:checksum"], key
    for wrong in (f"{item['id']}/other.tif", f"{item['id']}/../x", "jobs/x", "%2e%2e/jobs"):
        assert server.client.get(f"/catalog/{PROCESS}/{wrong}").status_code == 404


def test_the_api_shows_the_result_and_validates(answer: httpx.Response, pgstac: Pgstac, shared_data: Path) -> None:
    (item,) = answer.json()["items"]["features"]
    shown = pgstac.item(PROCESS, item["id"])
    assert {key: asset["href"] for key, asset in shown["assets"].items()} == {
        key: asset["href"] for key, asset in item["assets"].items()
    }
    validator = Path(__file__).parent / "offline_validator.py"
    command = [sys.executable, str(validator), str(shared_data / "stac_schemas"), "--root-url", pgstac.url]
    command += ["--collection", PROCESS, "--geometry", json.dumps(item["geometry"]), "--no-validate-pagination"]
    for conformance in ("core", "item-search", "collections", "features"):
        command += ["--conformance", conformance]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Errors: none" in done.stdout, done.stdout


def test_the_same_request_is_answered_from_the_api(server: Server, answer: httpx.Response) -> None:
    again = server.execute(SMALL_INPUTS).json()
    assert again["report"]["stacks"][0]["reused"]
    (item,), (first,) = again["items"]["features"], answer.json()["items"]["features"]
    assert item["assets"] == first["assets"]
    assert item["properties"] == first["properties"]


def test_the_files_of_a_job_are_in_storage(server: Server, answer: httpx.Response, s3_server: S3Server) -> None:
    job = answer.links["monitor"]["url"] if "monitor" in answer.links else None
    assert job is not None
    job_id = job.rpartition("/")[2]
    assert server.client.get(f"{job}/results").json() == answer.json()
    assert "Done after" in server.client.get(f"{job}/logs").text
    told = server.client.get(f"{job}/prov")
    assert told.headers["Content-Type"].startswith("application/json")
    document = ProvDocument.deserialize(content=told.text, format="json")
    assert len(list(document.get_records())) > 20
    activity = told.json()["activity"]
    assert set(activity) == {f"escape:job/{job_id}"}

    unpublished = server.execute({**SMALL_INPUTS, "publish": False})
    (item,) = unpublished.json()["items"]["features"]
    href = item["assets"]["flags"]["href"]
    assert href.startswith(f"{server.url}/unpublished/")
    assert server.client.get(href).status_code == 307
    other = unpublished.links["monitor"]["url"]
    keys = [key for key in s3_server.stored() if other.rpartition("/")[2] in key]
    assert keys
    assert server.client.delete(other).status_code == 200
    assert [key for key in s3_server.stored() if other.rpartition("/")[2] in key] == []
