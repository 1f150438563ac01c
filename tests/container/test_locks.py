"""The locks of the image: what pyproject.toml asks for is in them, by hash, and nothing of where it came from."""

import re
import tomllib
from pathlib import Path

import pytest
from containers import ROOT
from packaging.requirements import Requirement

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_IN_THE_IMAGE = {"validation", "xarray"}


def _versions(*paths: Path) -> dict[str, str]:
    found = [re.findall(r"^(\S+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE) for path in paths]
    names = [name for lock in found for name, _ in lock]
    assert len(names) == len(set(names)), "a package is in two layers"
    return {name: version for lock in found for name, version in lock}


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("accelerator", ["gpu", "cpu"])
def test_they_hold_what_the_package_needs(python: str, accelerator: str) -> None:
    tag = f"py{python.replace('.', '')}"
    locked = _versions(*(ROOT / "requirements" / f"{name}-{tag}.lock" for name in (f"torch-{accelerator}", "packages")))
    extras = PROJECT["optional-dependencies"]
    texts = PROJECT["dependencies"] + [one for name in extras.keys() - NOT_IN_THE_IMAGE for one in extras[name]]
    for wanted in map(Requirement, texts):
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        assert name in locked, f"{name} is in no lock: ./run lock"
        assert wanted.specifier.contains(locked[name]), f"{name}=={locked[name]} is not {wanted}: ./run lock"
    with_cuda = {name for name in locked if name.startswith(("nvidia-", "cuda-"))}
    assert bool(with_cuda) is (accelerator == "gpu")
    assert locked["torch"].endswith("+cpu") is (accelerator == "cpu")


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_line_is_a_version_or_a_hash(path: Path) -> None:
    """No option, such as an index, and no requirement without a hash, which installers would refuse."""
    text = path.read_text(encoding="utf-8").partition("\n")[2]
    assert re.fullmatch(r"(\S+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64} \\\n)*    --hash=sha256:[0-9a-f]{64}\n)+", text)
