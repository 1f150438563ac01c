"""The queue: time of a first page and of a claim at many waiting jobs, then clients that write and read at once.

./run bench jobs [--jobs 1000] [--seconds 60] [--clients 16] [--connection FILE OR POSTGRESQL ADDRESS]
"""

import argparse
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from escape_process.jobs.store import Job, JobStore, now


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


def mixed(connection: str, clients: int, seconds: float) -> tuple[int, int, float]:
    """Have clients add, list, claim and finish jobs; return rounds, failures and the 95th percentile of a round, ms."""
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

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failures[:3]:
        print(f"failure: {error}")
    return len(laps), len(failures), 1000 * sorted(laps)[int(0.95 * (len(laps) - 1))]


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
        rounds, failures, late = mixed(connection, options.clients, options.seconds)
        print(f"{options.clients} clients, {options.seconds:g} s: {rounds / options.seconds:.0f} rounds of add, list,")
        print(f"claim and finish a second; 95 % within {late:.0f} ms; {failures} failures")


if __name__ == "__main__":
    main()
