"""The image as an operator runs it: without root, with a root that cannot be written, through its published port."""

import json
import os
import re
import shlex
import time
from pathlib import Path

import numpy as np
from containers import LIMITS, ROOT, SAFE, Image, build, container, logs, podman, podman_status
from result_checks import check_result
from serving import PROCESS, SAMPLE_INPUTS
from waiting import wait_for

from escape_process import __version__

from .conftest import MEASURED, Running

KILLED = 137


def serves(name: str) -> bool:
    """Tell whether a container's server says that it listens."""
    return "Serving at" in logs(name)


def test_a_sample_job_gives_a_result(running: Running, tmp_path: Path) -> None:
    body = {"inputs": {**SAMPLE_INPUTS, "members": 4}, "response": "document"}
    answer = running.client.post(f"/processes/{PROCESS}/execution", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 201, answer.text
    job = answer.headers["Location"]
    assert job.startswith(f"{running.url}/jobs/")
    ends = ("successful", "failed", "dismissed")
    status = wait_for(lambda: (told := running.client.get(job).json())["status"] in ends and told, 240)
    assert status["status"] == "successful", status
    (item,) = running.client.get(f"{job}/results").json()["items"]["features"]
    layers = check_result(running.client, item, tmp_path)
    assert 0.05 < np.nanmean(layers["soil_moisture"]) < 0.45
    found = running.client.get("/stac-api/search", params={"collections": PROCESS}).json()["features"]
    assert [one["id"] for one in found] == [item["id"]]


def test_it_is_nobody_who_may_write_data_alone(running: Running) -> None:
    assert podman("exec", running.name, "id", "-u") == "10001"
    script = "for place in /data /tmp /app /opt/venv /etc /; do touch $place/x 2>/dev/null && echo $place; done; true"
    assert podman("exec", running.name, "sh", "-c", script).split() == ["/data", "/tmp"]
    assert int(podman("exec", running.name, "sh", "-c", "grep CapEff /proc/1/status").split()[1], 16) == 0


def test_its_own_health_check_says_whether_jobs_would_run(running: Running, image: Image) -> None:
    assert podman_status("healthcheck", "run", running.name) == 0
    with container(image.name, *SAFE, command=("serve", "--no-worker")) as name:
        wait_for(lambda: serves(name), 120)
        assert podman_status("healthcheck", "run", name) != 0


def test_sigterm_ends_a_server(image: Image) -> None:
    with container(image.name, *SAFE) as name:
        wait_for(lambda: serves(name), 120)
        started = time.monotonic()
        podman("stop", "--time", "10", name)
        MEASURED.append(f"stopped by SIGTERM after {time.monotonic() - started:.1f} s")
        assert podman("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def test_sigterm_ends_it_before_it_serves(image: Image) -> None:
    with container(image.name, *SAFE) as name:
        podman("stop", "--time", "10", name)
        assert podman("inspect", "--format", "{{.State.ExitCode}}", name) != str(KILLED)


def test_its_labels_say_what_it_is(image: Image) -> None:
    labels = json.loads(podman("image", "inspect", "--format", "{{json .Config.Labels}}", image.name))
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_it_holds_its_interface(running: Running) -> None:
    held = json.loads(podman("exec", running.name, "cat", "/app/openapi.json"))
    served = running.client.get("/openapi").json()
    assert held.pop("servers") == [{"url": "http://localhost:5000"}]
    assert served.pop("servers") == [{"url": running.url}]
    assert held == served


def test_other_commands_run_by_argument(image: Image) -> None:
    words = ["run", "--bbox", "-5.48,41.23,-5.40,41.29", "--dry-run", "--json"]
    told = json.loads(podman("run", "--rm", *LIMITS, *SAFE, "--network", "none", image.name, *words, seconds=120))
    assert "sim-salamanca-20240518" in json.dumps(told)


def test_the_guides_commands_bring_data_back(image: Image, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "operators-guide.md").read_text(encoding="utf-8")
    backup, restore = (
        shlex.split(line) for line in re.findall(r"^docker (run .*/backup/data\.tgz.*)$", guide, re.MULTILINE)
    )
    volumes = [f"escape-test-{os.getpid()}-{name}" for name in ("old", "new")]

    def run(words: list[str], volume: str) -> None:
        given = {"escape": image.name, "escape-data:/data": f"{volume}:/data", "$PWD:/backup": f"{tmp_path}:/backup"}
        podman(words[0], *LIMITS, *(given.get(word, word) for word in words[1:]))

    def shell(script: str, volume: str) -> str:
        return podman("run", "--rm", *LIMITS, "-v", f"{volume}:/data", "--entrypoint", "sh", image.name, "-c", script)

    try:
        shell("mkdir /data/catalog && echo kept >/data/catalog/item", volumes[0])
        run(backup, volumes[0])
        run(restore, volumes[1])
        assert shell("cat /data/catalog/item && echo more >>/data/catalog/item", volumes[1]) == "kept"
    finally:
        podman_status("volume", "rm", "--force", *volumes)


def test_a_second_build_makes_nothing_anew(image: Image) -> None:
    again = build(image.name)
    MEASURED.append(f"built again in {again.seconds:.0f} s")
    assert again.id == image.id
