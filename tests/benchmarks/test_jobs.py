"""The mixed clients of the benchmark of jobs, a few rounds of them: every answer is right, none is a fault."""

from pathlib import Path

import jobs


def test_mixed_clients_get_their_own_answers(tmp_path: Path) -> None:
    with jobs.served(tmp_path) as url:
        tally = jobs.mixed_clients(url, clients=4, rounds=8)
    assert tally.wrong == []
    assert tally.faults == []
    assert tally.finished == 8  # each client executes in both ways
    assert {status // 100 for status in tally.statuses} == {2, 4}
