"""The queue and the service: a first page and a claim at many waiting jobs, then clients that do everything at once.

Once on the store itself, once over HTTP against a server of its own with its worker: each answer is held against what
that client sent. Wrong answers and statuses of 500 and above must be none.

./run bench jobs [--jobs 1000] [--seconds 60] [--clients 16] [--connection FILE OR POSTGRESQL ADDRESS]
"""

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from escape_process.jobs.serve import free_port, wait_ready
from escape_process.jobs.store import STATES, UNFINISHED, Job, JobStore, now

ROOT = Path(__file__).parent.parent
ASYNC = {"Prefer": "respond-async"}
POLL = 0.2
"""Seconds between two looks at a job's status."""


def new_job() -> Job:
    """Return a job as a client's request makes it."""
    inputs = '{"bbox": [-5.48, 41.23, -5.40, 41.29], "datetime": "2024-05-01/2024-05-31"}'
    present = now()
    return Job(str(uuid.uuid4()), "p", inputs, "{}", "raw", "accepted", "Accepted.", 0, present, present)


def median_ms(action: Callable[[], object], times: int = 50) -> float:
    """Return the median time of an action, ms."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def share_ms(seconds: list[float], share: float) -> float:
    """Return the time within which a share of the laps was done, ms."""
    return 1000 * sorted(seconds)[int(share * (len(seconds) - 1))]


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Run a function in threads, each with its number."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def mixed(connection: str, clients: int, seconds: float) -> tuple[list[float], int]:
    """Have clients of the store add, list, claim and finish jobs; return the times of their rounds, and failures."""
    end = time.monotonic() + seconds
    laps: list[float] = []
    failures: list[object] = []

    def client(number: int) -> None:
        store = JobStore(connection)
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                store.add(new_job())
                store.page(10)
                job = store.claim(f"client {number}", ["p"])
                if job is not None and not store.succeed(job.id, job.attempt):
                    failures.append("a claimed job was taken by another")
            except Exception as error:  # counted and told
                failures.append(error)
            laps.append(time.perf_counter() - began)
        store.close()

    at_once(clients, client)
    for error in failures[:3]:
        print(f"failure: {error}")
    return laps, len(failures)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run `escape-process serve --echo` with its worker on a data folder; give its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = [sys.executable, "-m", "escape_process.cli", "serve", "--echo", "--port", str(port)]
    variables = {**os.environ, "ESCAPE_URL": url, "ESCAPE_DATA_DIR": str(folder / "data")}
    with (
        (folder / "server.log").open("ab") as log,
        subprocess.Popen(program, env=variables, cwd=ROOT, stdout=log, stderr=log) as server,
    ):
        try:
            wait_ready(url, server, 60)
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


class Tally:
    """What the answers to all clients were."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []
        """Statuses of 500 and above, and requests without an answer."""
        self.wrong: list[str] = []
        """Answers that are not those to the request."""
        self.reads: list[float] = []
        """Seconds of each GET."""
        self.finished = 0
        """Jobs whose results were answered and right."""


class Mixed:
    """One client: lists, pages, filters, describes, executes both ways, polls, fetches results and dismisses."""

    def __init__(self, http: httpx.Client, number: int, tally: Tally, end: float) -> None:
        self._http = http
        self._number = number
        self._tally = tally
        self._end = end
        self._asked = itertools.count()
        self._actions = [
            self.list_jobs,
            self.execute_synchronously,
            self.turn_pages,
            self.execute_as_a_job,
            self.filter_jobs,
            self.describe,
            self.ask_wrongly,
            self.dismiss_early,
        ]

    def run(self, rounds: int | None = None) -> None:
        """Do one thing after another until the end, or for so many rounds; clients begin at different ones."""
        for turn in itertools.count() if rounds is None else range(rounds):
            if time.monotonic() > self._end:
                return
            try:
                self._actions[(self._number + turn) % len(self._actions)]()
            except httpx.HTTPError as error:
                self._tally.faults.append(f"no answer: {error!r}")
            except (KeyError, IndexError, ValueError) as error:
                self._tally.wrong.append(f"an answer lacks a part: {error!r}")

    def list_jobs(self) -> None:
        """Look at the newest jobs."""
        self._check_page(self._ask("GET", "/jobs", 200, params={"limit": 7}).json(), 7)

    def turn_pages(self) -> None:
        """Follow the links from page to page."""
        following = "/jobs?limit=3"
        for turn in range(1, 4):
            page = self._ask("GET", following, 200).json()
            self._check_page(page, 3)
            links = [link["href"] for link in page["links"] if link["rel"] == "next"]
            self._expect(bool(links) == (3 * turn < page["numberMatched"]), f"links {links} after {3 * turn} jobs")
            if not links:
                return
            following = links[0]

    def filter_jobs(self) -> None:
        """Ask for the jobs of one status after another, and of one process."""
        for status in STATES:
            page = self._ask("GET", "/jobs", 200, params={"status": status, "processID": "echo", "limit": 5}).json()
            self._check_page(page, 5)
            for job in page["jobs"]:
                self._expect((job["status"], job["processID"]) == (status, "echo"), f"not {status}: {job}")
        none = self._ask("GET", "/jobs", 200, params={"processID": "none"}).json()
        self._expect(none["numberMatched"] == 0 == len(none["jobs"]), "jobs of a process that is not there")

    def describe(self) -> None:
        """Read what the service says of itself."""
        listed = self._ask("GET", "/processes", 200).json()["processes"]
        self._expect([one["id"] for one in listed] == ["escape-soil-moisture", "echo"], f"processes {listed}")
        for one in listed:
            described = self._ask("GET", f"/processes/{one['id']}", 200).json()
            self._expect(described["id"] == one["id"], f"a description of {described['id']}, not {one['id']}")
        for path in ("/", "/conformance", "/openapi", "/health/live"):
            self._ask("GET", path, 200)

    def execute_synchronously(self) -> None:
        """Execute, and find the same results at the job."""
        inputs = self._inputs()
        answer = self._execute(inputs, 200)
        self._expect(answer.json() == inputs, f"sent {inputs}, got {answer.text}")
        job = answer.headers["Link"].split(">")[0].lstrip("<")
        self._expect(self._ask("GET", f"{job}/results", 200).json() == inputs, f"other results at {job}")
        self._tally.finished += 1

    def execute_as_a_job(self) -> None:
        """Execute, poll, fetch the results in two forms, remove the job."""
        inputs = self._inputs()
        job = self._execute(inputs, 201, ASYNC).headers["Location"]
        progress = 0
        while (status := self._ask("GET", job, 200).json())["status"] in UNFINISHED:
            self._expect(status["progress"] >= progress, f"progress fell to {status['progress']}")
            progress = status["progress"]
            time.sleep(POLL)
        self._expect(status["status"] == "successful", f"{status}")
        self._expect(self._ask("GET", f"{job}/results", 200).json() == inputs, f"other results at {job}")
        bare = self._ask("GET", f"{job}/results/message", 200)
        self._expect(bare.text == inputs["message"], f"sent {inputs['message']}, got {bare.text}")
        self._tally.finished += 1
        self._ask("DELETE", job, 200)
        self._ask("GET", job, 404)

    def dismiss_early(self) -> None:
        """Dismiss a job that waits or runs."""
        job = self._execute({**self._inputs(), "pause": 30}, 201, ASYNC).headers["Location"]
        told = self._ask("DELETE", job, 200).json()
        self._expect((told["status"], told["jobID"]) == ("dismissed", job.rpartition("/")[2]), f"{told}")
        self._expect(self._ask("GET", job, 200).json()["status"] == "dismissed", f"{job} is not dismissed")
        self._ask("GET", f"{job}/results", 410)

    def ask_wrongly(self) -> None:
        """Ask for what is refused, each with the status that says why."""
        refused = self._execute({"integer": f"client {self._number}"}, 400).json()
        self._expect(f"client {self._number}" in refused["detail"], f"a refusal of another's: {refused}")
        job = f"/jobs/{uuid.uuid4()}"
        self._expect(job.rpartition("/")[2] in self._ask("GET", job, 404).json()["detail"], "a refusal of another's")
        self._ask("GET", "/jobs", 400, params={"limit": 0})

    def _inputs(self) -> dict[str, Any]:
        """Return inputs that no other request has."""
        number = next(self._asked)
        return {
            "message": f"client {self._number} request {number} {uuid.uuid4()}",
            "integer": number,
            "array": [self._number, number],
            "object": {"client": self._number, "of": [number, None, {"text": "é\u2028"}]},
        }

    def _execute(self, inputs: Any, status: int, headers: dict[str, str] | None = None) -> httpx.Response:
        body = {"inputs": inputs, "response": "document"}
        return self._ask("POST", "/processes/echo/execution", status, json=body, headers=headers)

    def _ask(self, method: str, path: str, status: int, **more: Any) -> httpx.Response:
        began = time.perf_counter()
        answer = self._http.request(method, path, **more)
        if method == "GET":
            self._tally.reads.append(time.perf_counter() - began)
        self._tally.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            self._tally.faults.append(f"{answer.status_code} {method} {path}: {answer.text}")
        self._expect(answer.status_code == status, f"{answer.status_code} {method} {path}: {answer.text}")
        return answer

    def _check_page(self, page: dict[str, Any], limit: int) -> None:
        jobs = page["jobs"]
        made = [job["created"] for job in jobs]
        self._expect(made == sorted(made, reverse=True), "not newest first")
        self._expect(len(jobs) == page["numberReturned"] <= min(limit, page["numberMatched"]), f"counts {page}")
        self._expect(len({job["jobID"] for job in jobs}) == len(jobs), "a job twice")

    def _expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self._tally.wrong.append(otherwise)


def mixed_clients(url: str, clients: int, seconds: float = 3600, rounds: int | None = None) -> Tally:
    """Have clients do everything at once, for a time or a number of rounds each; then nothing of theirs may wait."""
    tally = Tally()
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
            Mixed(http, number, tally, end).run(rounds)

    at_once(clients, client)
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
        left = http.get("/jobs", params={"status": ",".join(UNFINISHED)}).json()
    if left["numberMatched"]:
        tally.wrong.append(f"{left['numberMatched']} jobs are left unfinished")
    return tally


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="The queue of jobs.")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--connection")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        connection = options.connection or str(Path(folder) / "jobs.sqlite")
        store = JobStore(connection)
        for _ in range(options.jobs):
            store.add(new_job())
        print(f"{options.jobs} jobs wait")
        print(f"first page  {median_ms(lambda: store.page(10)):7.2f} ms")
        print(f"claim       {median_ms(lambda: store.claim('bench', ['p'])):7.2f} ms")
        store.close()
        laps, failures = mixed(connection, options.clients, options.seconds)
        print(
            f"{options.clients} clients of the store, {options.seconds:g} s: {len(laps) / options.seconds:.0f} rounds"
        )
        print(
            f"of add, list, claim and finish a second; 95 % within {share_ms(laps, 0.95):.0f} ms; {failures} failures"
        )
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url:
        began = time.monotonic()
        tally = mixed_clients(url, options.clients, options.seconds)
        passed = time.monotonic() - began
    total = sum(tally.statuses.values())
    print(f"{options.clients} clients over HTTP, {passed:.0f} s: {total} requests, {total / passed:.0f} a second")
    for kind, count in sorted(Counter(status // 100 for status in tally.statuses.elements()).items()):
        print(f"{kind}xx  {count:6d}  {count / total:6.1%}")
    print(f"reads: half within {share_ms(tally.reads, 0.5):.0f} ms, 95 % within {share_ms(tally.reads, 0.95):.0f} ms")
    print(f"jobs executed: {tally.finished}, {tally.finished / passed:.1f} a second")
    print(f"wrong answers: {len(tally.wrong)}; statuses of 500 and above or no answer: {len(tally.faults)}")
    for text in (*tally.wrong[:5], *tally.faults[:5]):
        print(f"  {text[:300]}")
    if tally.wrong or tally.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
