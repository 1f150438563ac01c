"""What deploy/ holds: read by the programs that it is for, and run as far as our own image goes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml
from containers import ROOT, Image, compose, podman_status, wait_ready
from kubernetes_validate import validate
from s3_server import KEY_ID, SECRET, S3Server
from serving import PROCESS, SAMPLE_INPUTS
from stac_servers import Pgstac
from waiting import wait_for

from escape_process.jobs.serve import free_port
from escape_process.process import load_config

from .conftest import MEASURED

DEPLOY = ROOT / "deploy"
FILES = [DEPLOY / "compose.yaml", DEPLOY / "compose.gpu.yaml"]
SECRETS = {"ESCAPE_TOKEN": "token-of-the-tests", "DATABASE_PASSWORD": "database", "STORAGE_SECRET": "storage-of-tests"}
SECRET_NAMES = {
    "ESCAPE_URL",
    "ESCAPE_TOKEN",
    "ESCAPE_QUEUE",
    "STAC_API_URL",
    "S3_URL",
    "S3_ENDPOINT",
    "S3_KEY_ID",
    "S3_SECRET",
}
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def _documents() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def _named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in _documents() if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def _read_by_compose(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    if shutil.which("podman") is None:
        pytest.skip("not installed: podman, which podman-compose asks for its version")
    command = [sys.executable, "-m", "podman_compose", *(word for file in FILES for word in ("--file", str(file)))]
    return subprocess.run(
        [*command, "config"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_follow_the_schemas_of_kubernetes(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        validate(document, "1.37", strict=True)


def test_the_kustomization_names_what_there_is() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {DEPLOY / name for name in kustomization["resources"]} == set(MANIFESTS)
    (config,) = kustomization["configMapGenerator"]
    for name in ("escape-server", "escape-worker"):
        pod = _named("Deployment", name)["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["config"]["configMap"]["name"] == config["name"]
        (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "config"]
        assert [mount["subPath"]] == config["files"]
        assert all((DEPLOY / file).is_file() for file in config["files"])
        claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
        assert _named("PersistentVolumeClaim", claim)["spec"]["accessModes"] == ["ReadWriteMany"]
        (image,) = kustomization["images"]
        assert pod["containers"][0]["image"] == image["name"]


def test_pods_take_no_rights_and_the_worker_a_gpu() -> None:
    for name in ("escape-server", "escape-worker"):
        pod = _named("Deployment", name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (name == "escape-worker")
    service = _named("Service", "escape")["spec"]
    server = _named("Deployment", "escape-server")["spec"]["template"]
    assert service["selector"].items() <= server["metadata"]["labels"].items()
    (port,) = server["spec"]["containers"][0]["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]


def test_every_variable_of_the_configuration_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (DEPLOY / "pygeoapi-config.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) | {"ESCAPE_URL"} == SECRET_NAMES
    guide = (ROOT / "docs" / "operators-guide.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--from-literal=(\w+)=", guide)) == SECRET_NAMES
    read = _read_by_compose(SECRETS)
    assert read.returncode == 0, read.stderr
    for name in ("server", "worker"):
        environment = yaml.safe_load(read.stdout)["services"][name]["environment"]
        assert set(environment) == SECRET_NAMES
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    config, settings = load_config(DEPLOY / "pygeoapi-config.yml")
    assert config["server"]["manager"]["connection"] == "postgresql://escape:database@database/escape"
    assert settings.publish_to == ("catalog", "stac_api")
    assert settings.object_storage is not None
    assert settings.auth is not None


@pytest.mark.parametrize("name", SECRETS)
def test_compose_starts_nothing_without_its_secrets(name: str) -> None:
    read = _read_by_compose({key: value for key, value in SECRETS.items() if key != name})
    assert read.returncode != 0
    assert name in read.stderr


@pytest.fixture
def deployed(image: Image, postgresql: str, pgstac: Pgstac, s3: S3Server, tmp_path: Path) -> Iterator[str]:
    """Run server and worker of the compose file beside a database, a STAC API and object storage on loopback."""
    database = sa.make_url(postgresql)
    port = free_port()
    ours = {
        "network_mode": "host",
        "ulimits": {"nofile": 4096, "nproc": 4096},
        "environment": {
            "ESCAPE_URL": f"http://localhost:{port}",
            "ESCAPE_HOST": "127.0.0.1",
            "ESCAPE_PORT": str(port),
            "ESCAPE_QUEUE": f"postgresql://{database.username}@{database.host}:{database.port}/{database.database}",
            "STAC_API_URL": pgstac.url,
            "S3_URL": "s3://maps/deployed",
            "S3_ENDPOINT": s3.url,
            "S3_KEY_ID": KEY_ID,
            "S3_SECRET": SECRET,
        },
    }
    override = tmp_path / "compose.test.yaml"
    override.write_text(json.dumps({"services": {"server": ours, "worker": ours}}))
    files = [DEPLOY / "compose.yaml", override]
    environment = {**SECRETS, "ESCAPE_IMAGE": image.name}
    project = f"escape-test-{os.getpid()}"
    names = [f"{project}_{name}_1" for name in ("server", "worker")]
    pgstac.clear()
    try:
        compose(tmp_path, files, environment, "-p", project, "up", "-d", "--no-deps", "server", "worker")
        url = f"http://localhost:{port}"
        MEASURED.append(f"server and worker of the compose file: ready after {wait_ready(url, *names):.1f} s")
        yield url
    finally:
        podman_status("rm", "--force", "--time", "5", *names)
        podman_status("volume", "rm", "--force", f"{project}_data")


def test_server_and_worker_share_queue_data_and_targets(deployed: str, pgstac: Pgstac, s3: S3Server) -> None:
    headers = {"Prefer": "respond-async", "Authorization": f"Bearer {SECRETS['ESCAPE_TOKEN']}"}
    with httpx.Client(base_url=deployed, timeout=120, trust_env=False) as client:
        body = {"inputs": {**SAMPLE_INPUTS, "members": 2}, "response": "document"}
        assert client.post(f"/processes/{PROCESS}/execution", json=body).status_code == 401
        answer = client.post(f"/processes/{PROCESS}/execution", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        job = answer.headers["Location"]
        ends = ("successful", "failed", "dismissed")
        status = wait_for(lambda: (told := client.get(job, headers=headers).json())["status"] in ends and told, 240)
        assert status["status"] == "successful", status
        (item,) = client.get(f"{job}/results", headers=headers).json()["items"]["features"]
        published = pgstac.item(PROCESS, item["id"])
        assert json.dumps(published["properties"], sort_keys=True) == json.dumps(item["properties"], sort_keys=True)
        found = client.get("/stac-api/search", params={"collections": PROCESS}).json()["features"]
        assert [one["id"] for one in found] == [item["id"]]
        href = item["assets"]["soil_moisture"]["href"]
        assert href.startswith(deployed)
        link = client.get(href).headers["Location"]
        assert link.startswith(f"{s3.url}/maps/deployed/")
        assert len(httpx.get(link, trust_env=False).content) == item["assets"]["soil_moisture"]["file:size"]
