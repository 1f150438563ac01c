"""Make the hash-locked requirements of the container image: `./run lock`, after a change of pyproject.toml.

Versions are those of constraints.txt, with which the tests run. For each Python there are two parts that share no
package, so that each becomes a layer of its own: `packages-py*.lock`, and torch with what it alone needs, built for a
GPU or for the CPU. The locks name no address of a registry.

The CPU build of torch lies in PyTorch's own index and not in PyPI. Where torch's version stays, its hashes are kept;
where it moves, set TORCH_INDEX to the address of that index.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
PYTHONS = ("3.11", "3.12")
NOT_IN_THE_IMAGE = ("validation", "xarray")
"""Extras that serve work at a desk."""
CUDA_ONLY = re.compile(r"nvidia-|cuda-|triton==")
_HEADER = "# Made by ./run lock; do not edit.\n"


def image_extras() -> list[str]:
    """Return the extras of the package that the image holds, torch among them."""
    with (FOLDER.parent / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    return sorted(extras.keys() - set(NOT_IN_THE_IMAGE))


def compile_lock(python: str, *arguments: str, requirements: str | None = None) -> dict[str, str]:
    """Return the text of each locked requirement, with its hashes, by name and version."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes"]
    command += ["--python-platform", "linux", "--python-version", python]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", *arguments]
    command += ["-" if requirements is not None else str(FOLDER.parent / "pyproject.toml")]
    # wheels that happen to lie on this machine are nobody else's
    clean = {name: value for name, value in os.environ.items() if name not in ("UV_FIND_LINKS", "UV_INDEX")}
    done = subprocess.run(command, env=clean, input=requirements, text=True, stdout=subprocess.PIPE, check=True)
    return split(done.stdout)


def split(lock: str) -> dict[str, str]:
    """Return the text of each requirement of a lock by its first word, NAME==VERSION."""
    texts = re.findall(r"^\S(?:.*\\\n)*.*\n", "".join(line for line in lock.splitlines(True) if line[0] != "#"), re.M)
    return {text.split()[0]: text for text in texts}


def torch_for_cpu(python: str, version: str, path: Path) -> str:
    """Return the locked requirement of torch's CPU build."""
    wanted = f"{version}+cpu"
    index = os.environ.get("TORCH_INDEX")
    if index:
        return compile_lock(python, "--no-deps", "--index", index, requirements=f"{wanted}\n")[wanted]
    known = split(path.read_text(encoding="utf-8")) if path.exists() else {}
    if wanted not in known:
        sys.exit(f"lock: {path.name} has no hashes of {wanted}: set TORCH_INDEX to PyTorch's index of CPU builds.")
    return known[wanted]


def lock(python: str) -> None:
    """Write the three locks of one Python."""
    tag = f"py{python.replace('.', '')}"
    versions = ("-c", str(FOLDER / "constraints.txt"))
    extras = [word for extra in image_extras() if extra != "torch" for word in ("--extra", extra)]
    packages = compile_lock(python, *versions, *extras)
    everything = compile_lock(python, *versions, *extras, "--extra", "torch")
    torch = {name: text for name, text in everything.items() if name not in packages}
    missing = packages.keys() - everything.keys()
    if missing:
        sys.exit(f"lock: torch changes the versions of other packages: {', '.join(sorted(missing))}.")
    (built,) = [name for name in torch if name.startswith("torch==")]
    cpu_path = FOLDER / f"torch-cpu-{tag}.lock"
    for_cpu = {name: text for name, text in torch.items() if not CUDA_ONLY.match(name)}
    for_cpu[built] = torch_for_cpu(python, built, cpu_path)
    write(FOLDER / f"packages-{tag}.lock", packages)
    write(FOLDER / f"torch-gpu-{tag}.lock", torch)
    write(cpu_path, for_cpu)


def write(path: Path, requirements: dict[str, str]) -> None:
    """Write a lock, sorted by name."""
    path.write_text(_HEADER + "".join(requirements[name] for name in sorted(requirements)), encoding="utf-8")
    print(f"{path.name}: {len(requirements)} packages")


if __name__ == "__main__":
    for one in PYTHONS:
        lock(one)
    build = compile_lock(PYTHONS[0], requirements="setuptools>=77\nuv==0.13.9\n")
    write(FOLDER / "build.lock", build)
