"""The table of jobs on both databases: moves, fences, the claim, lists."""

import datetime as dt
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pygeoapi.process.base import JobNotFoundError

from escape_process.errors import InvalidInputError, QueueFullError, StorageError
from escape_process.jobs.database import refuse_network_folder
from escape_process.jobs.store import Job, JobFilter, JobStore, now, outputs_by_mode, outputs_of

OLD = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def job(**changes: Any) -> Job:
    """Return an accepted job."""
    values = {
        "id": str(uuid.uuid4()),
        "process_id": "p",
        "inputs": "{}",
        "outputs": "{}",
        "response": "raw",
        "status": "accepted",
        "message": "Accepted.",
        "progress": 0,
        "created": now(),
        "updated": now(),
    }
    return Job(**(values | changes))


def add(store: JobStore, **changes: Any) -> Job:
    one = job(**changes)
    store.add(one)
    return one


def test_a_job_comes_back_as_it_was_added(store: JobStore) -> None:
    one = add(store, owner="me", subscriber='{"successUri": "https://example.com"}', inputs='{"a": "\\u00e4"}')
    assert store.get(one.id) == one
    with pytest.raises(JobNotFoundError):
        store.get("other")


def test_claims_are_in_order_of_arrival_and_by_process(store: JobStore) -> None:
    first, other, second = add(store), add(store, process_id="q"), add(store)
    claimed = [store.claim("runner", ["p"]) for _ in range(3)]
    assert [one and one.id for one in claimed] == [first.id, second.id, None]
    one = store.claim("runner", ["p", "q"])
    assert one is not None
    assert (one.id, one.attempt, one.status, one.runner) == (other.id, 1, "running", "runner")


def test_light_jobs_are_claimed_by_themselves(store: JobStore) -> None:
    heavy, light = add(store), add(store, light=True)
    assert [one and one.id for one in (store.claim("a", ["p"], light=True), store.claim("a", ["p"]))] == [
        light.id,
        heavy.id,
    ]
    assert (store.get(light.id).light, store.get(heavy.id).light) == (True, False)


def test_many_claimers_get_each_job_once(connection: str) -> None:
    stores = [JobStore(connection) for _ in range(4)]
    jobs = {add(stores[0]).id for _ in range(40)}

    def claim_all(store: JobStore) -> list[str]:
        found = []
        while (one := store.claim("runner", ["p"])) is not None:
            found.append(one.id)
        return found

    with ThreadPoolExecutor(4) as pool:
        claimed = [id for found in pool.map(claim_all, stores) for id in found]
    assert sorted(claimed) == sorted(jobs)
    for store in stores:
        store.close()


def test_only_the_attempt_that_counts_moves_a_job(store: JobStore) -> None:
    one = add(store)
    assert store.claim("a", ["p"]) is not None
    assert store.requeue(one.id, 1, "its worker died.", lost=True)
    again = store.claim("b", ["p"])
    assert again is not None
    assert (again.attempt, again.lost) == (2, 1)
    assert not store.report(one.id, 1, 50, "late")
    assert not store.succeed(one.id, 1)
    assert not store.fail(one.id, 1, 500, "x", "late")
    assert not store.requeue(one.id, 1, "late", lost=True)
    assert not store.is_running(one.id, 1)
    assert store.report(one.id, 2, 50, "Half.", "2030-01-01T00:00:00Z")
    assert store.get(one.id).estimated_finish == "2030-01-01T00:00:00Z"
    assert store.succeed(one.id, 2)
    done = store.get(one.id)
    assert (done.status, done.progress, done.runner, done.estimated_finish) == ("successful", 100, None, None)
    assert not store.dismiss(one.id)
    assert not store.fail(one.id, 2, 500, "x", "late")


def test_a_dismissed_job_stays_dismissed(store: JobStore) -> None:
    waiting, running = add(store, process_id="q"), add(store)
    store.claim("a", ["p"])
    for one in (waiting, running):
        assert not store.remove(one.id)  # not while it is unfinished
        assert store.dismiss(one.id)
        assert not store.dismiss(one.id)
    assert store.claim("a", ["p", "q"]) is None
    assert not store.succeed(running.id, 1)
    assert store.remove(running.id)
    assert not store.remove(running.id)


def test_a_stop_counts_as_no_lost_attempt(store: JobStore) -> None:
    one = add(store)
    store.claim("a", ["p"])
    store.requeue(one.id, 1, "the worker was stopped.", lost=False)
    again = store.get(one.id)
    assert (again.status, again.lost, again.started, again.progress) == ("accepted", 0, None, 0)
    assert again.message == "Waits to be run again: the worker was stopped."


def test_beats(store: JobStore) -> None:
    add(store)
    claimed = store.claim("a", ["p"])
    assert claimed is not None
    assert claimed.beat is not None
    store.beat("b")
    assert store.running()[0].beat == claimed.beat
    store.beat("a")
    assert (store.running()[0].beat or 0) >= claimed.beat


def test_the_queue_is_bounded(store: JobStore) -> None:
    for _ in range(2):
        store.add(job(owner="me"), most_waiting=3, most_of_owner=2)
    with pytest.raises(QueueFullError, match="2 unfinished") as caught:
        store.add(job(owner="me"), most_waiting=3, most_of_owner=2)
    assert (caught.value.http_status, caught.value.retry_after) == (429, 30)
    store.add(job(), most_waiting=3, most_of_owner=2)
    with pytest.raises(QueueFullError, match="3 jobs wait"):
        store.add(job(), most_waiting=3, most_of_owner=2)
    assert store.unfinished_of("me") == 2
    assert store.counts() == {"accepted": 3, "running": 0, "successful": 0, "failed": 0, "dismissed": 0}


def test_a_job_whose_host_failed_waits_until_it_is_due(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = add(store), add(store)
    assert store.claim("a", ["p"]) is not None
    assert store.retry(one.id, 1, "Waits.", 60)
    assert not store.retry(one.id, 1, "Waits.", 60)
    waiting = store.get(one.id)
    assert (waiting.status, waiting.message, waiting.retries, waiting.runner) == ("accepted", "Waits.", 1, None)
    assert store.unfinished() == {one.id, other.id}
    claimed = [store.claim("a", ["p"]) for _ in range(2)]
    assert [found and found.id for found in claimed] == [other.id, None]
    later = time.time() + 61
    monkeypatch.setattr("escape_process.jobs.store.time.time", lambda: later)
    again = store.claim("a", ["p"])
    assert again is not None
    assert (again.id, again.attempt, again.retries, again.lost) == (one.id, 2, 1, 0)


def test_a_table_of_an_earlier_version_gets_its_new_columns(connection: str) -> None:
    store = JobStore(connection)
    one = add(store)
    store.close()
    url = connection.replace("://", "+pg8000://") if "://" in connection else f"sqlite:///{connection}"
    engine = sa.create_engine(url)
    with engine.begin() as database:
        for name in ("retries", "due", "light"):
            database.execute(sa.text(f"ALTER TABLE escape_jobs DROP COLUMN {name}"))
    engine.dispose()
    later = JobStore(connection)
    assert later.get(one.id) == one
    assert later.claim("a", ["p"]) is not None
    later.close()


def test_pages(store: JobStore) -> None:
    ids = [add(store).id for _ in range(5)]
    assert [one.id for one in store.page(2)[0]] == ids[:2:-1]
    assert [one.id for one in store.page(2, 4)[0]] == ids[:1]
    assert store.page(1)[1] == 5


def test_lists_leave_out_inputs(store: JobStore) -> None:
    one = add(store, inputs='{"zones": "a megabyte of them"}')
    ((listed,), _) = store.page(1)
    assert (listed.id, listed.inputs) == (one.id, "")
    assert store.get(one.id).inputs == one.inputs


def test_text_that_no_database_holds(store: JobStore) -> None:
    add(store)
    one = store.claim("a", ["p"])
    assert one is not None
    assert store.report(one.id, one.attempt, 10, "Reads \ud800.")
    assert store.get(one.id).message == "Reads ?."
    assert store.fail(one.id, one.attempt, 422, "NoApplicableScene", "No scene \ud800 and no \0.")
    assert store.get(one.id).message == "No scene ? and no ?."
    with pytest.raises(JobNotFoundError):
        store.get("\0")


def test_filters(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old = add(store, created="2020-05-01T00:00:00.000000Z", owner="me")
    other = add(store, process_id="q")
    claimed = store.claim("a", ["q"])
    assert claimed is not None
    soon = time.time() + 1
    monkeypatch.setattr("escape_process.jobs.store.time.time", lambda: soon)

    def ids(**conditions: Any) -> set[str]:
        jobs, count = store.page(10, 0, JobFilter(**conditions))
        assert count == len(jobs)
        return {one.id for one in jobs}

    both = {old.id, other.id}
    assert ids() == both
    assert ids(status="running") == ids(status=["running", "failed"]) == {other.id}
    assert ids(process_ids=["p"]) == {old.id}
    assert ids(process_ids=[]) == set()
    assert ids(owner="me") == {old.id}
    assert ids(datetime=(OLD, None)) == both
    assert ids(datetime=(OLD, dt.datetime(2021, 1, 1, tzinfo=dt.UTC))) == {old.id}
    assert ids(datetime=(None, OLD)) == set()
    assert ids(min_duration=0.01) == ids(max_duration=60) == {other.id}
    assert ids(min_duration=60) == ids(max_duration=0.01) == set()
    store.succeed(other.id, 1)
    assert ids(max_duration=60) == {other.id}


def test_old_jobs_are_found(store: JobStore) -> None:
    one = add(store)
    add(store)
    store.dismiss(one.id)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    assert store.finished_before(later) == [one.id]
    assert store.finished_before(OLD) == []


def test_outputs() -> None:
    one = job(outputs='{"a": {"transmissionMode": "value"}, "b": {"transmissionMode": "reference"}}')
    assert outputs_of(one) == ["a", "b"]
    assert outputs_by_mode(one) == {"a": "value", "b": "reference"}
    assert outputs_by_mode(job()) == {}


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "9p", "lustre", "ceph", "fuse.sshfs"])
def test_network_folders_are_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    shared = tmp_path / "a share"
    (shared / "jobs").mkdir(parents=True)
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nhost:/x {str(shared).replace(' ', chr(92) + '040')} {kind} rw 0 0\n")
    with pytest.raises(InvalidInputError, match=kind):
        refuse_network_folder(shared / "jobs", mounts)
    refuse_network_folder(tmp_path, mounts)


@pytest.mark.parametrize(
    ("connection", "error", "word"),
    [
        ("mysql://host/name", InvalidInputError, "mysql"),
        ("://", InvalidInputError, "neither a file nor an address"),
        ("postgresql://user:secret@127.0.0.1:1/name", StorageError, "cannot be read or written"),
        ("/proc/none/jobs.sqlite", StorageError, "cannot be read or written"),
    ],
)
def test_a_connection_that_cannot_be_used(connection: str, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word) as caught:
        JobStore(connection).counts()
    assert "secret" not in str(caught.value)
