"""Images built and containers run without a daemon: buildah and podman with a store of their own under /tmp.

The public base image is not asked for. In its place stands one that is made of Debian's packages, with Debian's Python,
and holds what this machine needs to install: its certificates and, where pip finds wheels in a folder, that folder's
place. Base and layers are kept, so that a second run of the tests builds in seconds.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
WORK = Path(os.environ.get("IMAGE_WORK", Path(tempfile.gettempdir()) / "escape-image"))
BASE = "docker.io/library/python:3.11-slim-bookworm"
STAND_IN = "Debian 12 with its Python 3.11 and pygeoapi 0.21 in place of python:3.12-slim-bookworm"
TOOLS = ("buildah", "podman", "runc", "mmdebstrap", "iptables")
WHEELS = "/mnt/wheels"
"""Where the build sees the folder of wheels."""
SAFE = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--memory", "4g", "--pids-limit", "512"),
)
"""What an operator can take from the container."""
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--health-interval", "disable")
"""What podman needs where its user may not raise limits and no systemd runs health checks."""


def why_not() -> str | None:
    """Return why images cannot be built and run here; None where they can."""
    if os.name != "posix" or os.getuid() != 0:
        return "building and running images takes root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not (os.environ.get("TORCH_INDEX") or _wheels().is_dir()):
        return "no CPU build of torch: set PIP_FIND_LINKS to a folder with its wheel, or TORCH_INDEX to its index"
    return None


def _wheels() -> Path:
    return Path(os.environ.get("PIP_FIND_LINKS", "/nonexistent"))


def _store() -> list[str]:
    driver = "overlay" if "overlay" in Path("/proc/filesystems").read_text(encoding="ascii").split() else "vfs"
    return ["--root", str(WORK / "store"), "--runroot", str(WORK / "run"), "--storage-driver", driver]


def _done(*command: str, seconds: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def buildah(*arguments: str, seconds: float = 60) -> str:
    """Run buildah; return what it prints."""
    return _done("buildah", *_store(), *arguments, seconds=seconds)


def podman_command() -> list[str]:
    """Return the command that speaks to the store."""
    return ["podman", "--runtime", "runc", *_store(), "--events-backend", "file", "--cgroup-manager", "cgroupfs"]


def podman(*arguments: str, seconds: float = 60) -> str:
    """Run podman; return what it prints."""
    return _done(*podman_command(), *arguments, seconds=seconds)


def podman_status(*arguments: str, seconds: float = 60) -> int:
    """Run podman; return its exit code."""
    return subprocess.run([*podman_command(), *arguments], capture_output=True, timeout=seconds, check=False).returncode


@dataclass
class Image:
    """An image that was built from the Dockerfile."""

    name: str
    id: str
    seconds: float
    """That its build took."""
    megabytes: float


def build(name: str) -> Image:
    """Build the Dockerfile for the CPU on the stand-in."""
    with FileLock(f"{WORK}.lock"):
        WORK.mkdir(parents=True, exist_ok=True)
        if not buildah("images", "--quiet", "--filter", f"reference={BASE}"):
            _make_base()
        started = time.monotonic()
        mount = ["--volume", f"{_wheels().resolve()}:{WHEELS}:ro"] if _wheels().is_dir() else []
        options = ["--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--layers"]
        arguments = {"BASE": BASE, "ACCEL": "cpu", "TORCH_INDEX": os.environ.get("TORCH_INDEX", "")}
        given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        buildah("build", *options, *given, *mount, "--tag", name, str(ROOT), seconds=900)
        seconds = time.monotonic() - started
    size, _, identity = podman("image", "inspect", "--format", "{{.Size}} {{.Id}}", name).partition(" ")
    return Image(name, identity, seconds, int(size) / 1e6)


def _make_base() -> None:
    certificates = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    packages = "ca-certificates,python3,python3-venv,python3-pip,python-is-python3"
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        archive = f"{folder}/base.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", archive]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode != 0:
            pytest.skip(f"mmdebstrap made no base image: {made.stderr[-300:]}")
        pip, uv = Path(folder, "pip.conf"), Path(folder, "uv.toml")
        found = _wheels().is_dir()
        pip.write_text("[global]\ncert = /etc/certificates.crt\n" + (f"find-links = {WHEELS}\n" if found else ""))
        uv.write_text(f'find-links = ["{WHEELS}"]\n' if found else "")
        working = buildah("from", "scratch")
        buildah("add", "--quiet", working, archive, "/", seconds=300)
        for source, target in (
            (certificates, "/etc/certificates.crt"),
            (pip, "/etc/pip.conf"),
            (uv, "/etc/uv/uv.toml"),
        ):
            buildah("add", "--quiet", working, str(source), target)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        buildah("config", "--env", f"PATH={path}", "--env", "SSL_CERT_FILE=/etc/certificates.crt", working)
        buildah("commit", "--quiet", "--rm", working, BASE, seconds=300)


@contextmanager
def container(image: str, *options: str, command: tuple[str, ...] = ()) -> Iterator[str]:
    """Run a container in the background; give its name; remove it and its volumes at the end."""
    name = f"escape-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        podman("run", "--detach", "--name", name, *LIMITS, *options, image, *command)
        yield name
    finally:
        podman_status("rm", "--force", "--volumes", "--time", "2", name)


def wait_ready(url: str, *names: str, seconds: float = 120.0) -> float:
    """Wait until a server in containers is ready for jobs; return the seconds that it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            if httpx.get(f"{url}/health/ready", timeout=5, trust_env=False).is_success:
                return time.monotonic() - started
        except httpx.HTTPError:
            pass
        for name in names:
            assert podman("inspect", "--format", "{{.State.Running}}", name) == "true", logs(name)
        time.sleep(0.1)
    raise TimeoutError("\n".join(map(logs, names)))


def logs(name: str) -> str:
    """Return what a container wrote."""
    done = subprocess.run([*podman_command(), "logs", name], capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout + done.stderr)[-4000:]


def compose_wrapper(folder: Path) -> Path:
    """Write a program that is podman with this store and these limits, for podman-compose."""
    path = folder / "podman"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(podman_command())} "$@"\n')
    path.chmod(0o755)
    return path


def compose(folder: Path, files: list[Path], environment: Mapping[str, str], *arguments: str) -> str:
    """Run podman-compose; return what it prints."""
    options = [word for file in files for word in ("--file", str(file))]
    command = [
        sys.executable,
        "-m",
        "podman_compose",
        "--podman-path",
        str(compose_wrapper(folder)),
        *options,
        *arguments,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, env={**os.environ, **environment}, cwd=folder
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
