"""The fuzzer itself: valid input is accepted, damage is repeatable, and each kind of fault is found."""

import json
import random
import time
from pathlib import Path

import pytest

from fuzz import mutations
from fuzz.parsers import PARSERS
from fuzz.watch import fuzz

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is watched by Linux's /proc")


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_a_parser_accepts_its_own_seeds_which_are_always_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seeds").mkdir()
    seeds = PARSERS[name].seeds(tmp_path / "seeds")
    assert seeds
    for seed in seeds:
        assert len(seed) <= mutations.LONGEST
        PARSERS[name].parse(seed, tmp_path)

    later = time.time() + 400 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    (tmp_path / "later").mkdir()
    assert PARSERS[name].seeds(tmp_path / "later") == seeds


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("raises", "crash", "KeyError"),
        ("sleeps", "hang", "longer than 1 s"),
        ("reserves", "allocation", "1024 MiB"),
        ("dies", "died", "exit code"),
    ],
)
def test_a_planted_fault_is_found_and_kept(name: str, kind: str, words: str, tmp_path: Path) -> None:
    outcome = fuzz(name, 1.0, 7, module="fuzz.planted", hang=1.0 if name == "sleeps" else 60.0)
    assert outcome.failures
    failure = outcome.failures[0]
    assert failure.kind == kind
    assert words in failure.what
    kept = failure.save(name, tmp_path)
    assert kept.read_bytes() == failure.data != b"a valid input of some length"


def test_a_parser_that_refuses_passes() -> None:
    outcome = fuzz("refuses", 1.0, 7, module="fuzz.planted")
    assert outcome.failures == []
    assert outcome.cases > 100


def test_the_same_seed_does_the_same_damage() -> None:
    seeds = [b"II*\0" + bytes(range(200)), b'{"a": [1, {"b": "c"}]}']
    first, second = ([mutations.mutate(seeds[0], seeds, random.Random(number)) for number in range(50)] for _ in "ab")
    assert first == second
    assert len(set(first)) > 25


def test_a_number_of_inputs_are_the_same_ones_each_time() -> None:
    first, second, other = (fuzz("refuses", 60.0, seed, inputs=300, module="fuzz.planted") for seed in (7, 7, 8))
    assert first.cases == second.cases == 301  # with the valid one
    assert first.digest == second.digest != other.digest
    cut_short = fuzz("refuses", 0.5, 7, inputs=10**9, module="fuzz.planted")
    assert 0 < cut_short.cases < 10**9
    assert not cut_short.digest


def test_damaged_json_is_mostly_json() -> None:
    seeds = PARSERS["request"].seeds(Path())
    readable = 0
    for number in range(200):
        try:
            json.loads(mutations.mutate(seeds[number % len(seeds)], seeds, random.Random(number)))
        except (ValueError, RecursionError):
            continue
        readable += 1
    assert readable > 120
