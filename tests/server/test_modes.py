"""Processes that may be executed in one way only: what a client prefers is heard where there is a choice."""

from collections.abc import Iterator

import httpx
import pytest
import yaml
from serving import PROCESS
from stand_in_server import write_config

from .conftest import Start, finished

MODES = {"only-jobs": "stand_in.OnlyJobs", "no-jobs": "stand_in.NoJobs"}
PREFER = [None, "respond-async", "respond-async, wait=60", "respond-sync", "wait=60"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, start: Start) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("modes")
    path = write_config(folder)
    config = yaml.safe_load(path.read_text())
    processor = config["resources"][PROCESS]["processor"]
    for name, plugin in MODES.items():
        config["resources"][name] = {"type": "process", "processor": {**processor, "name": plugin}}
    path.write_text(yaml.safe_dump(config))
    with start(folder) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def ask(client: httpx.Client, process: str, prefer: str | None) -> httpx.Response:
    headers = {} if prefer is None else {"Prefer": prefer}
    return client.post(f"/processes/{process}/execution", json={"inputs": {"ids": ["x"]}}, headers=headers)


def test_descriptions_say_what_is_offered(client: httpx.Client) -> None:
    listed = {one["id"]: one["jobControlOptions"] for one in client.get("/processes").json()["processes"]}
    assert listed["only-jobs"] == ["async-execute", "dismiss"]
    assert listed["no-jobs"] == ["sync-execute", "dismiss"]


@pytest.mark.parametrize("prefer", PREFER)
def test_a17_a18_a_process_of_jobs_only_makes_a_job_whatever_is_preferred(
    client: httpx.Client, prefer: str | None
) -> None:
    answer = ask(client, "only-jobs", prefer)
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert finished(client, answer)["status"] == "successful"


@pytest.mark.parametrize("prefer", PREFER)
def test_a17_a_process_without_jobs_answers_at_once_whatever_is_preferred(
    client: httpx.Client, prefer: str | None
) -> None:
    answer = ask(client, "no-jobs", prefer)
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers
