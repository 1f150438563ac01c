"""A Dask cluster on loopback over TLS with a certificate authority of its own, as processes that a test may kill."""

import datetime as dt
import ipaddress
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from waiting import wait_for

from escape_process.computing import DaskCluster

DASK = str(Path(sys.executable).with_name("dask"))
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "67108864"}


def make_certificates(folder: Path) -> Path:
    """Write ca.pem, and cert.pem and key.pem signed by it, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "cert")}
    names = {name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"escape test {name}")]) for name in keys}
    for name, key in keys.items():
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["ca"])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
            )
        )
        certificate = builder.sign(keys["ca"], hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = keys["cert"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    return folder


class Cluster:
    """Processes of one cluster. Without a nanny, so that a killed worker stays dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._certificates = make_certificates(folder / "tls")
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def start_scheduler(self) -> None:
        """Start the scheduler; again on the same port after it was killed."""
        log = self._folder / "scheduler.log"
        log.unlink(missing_ok=True)
        place = ["--host", "tls://127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start(log, ["scheduler", *place], DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
        found = wait_for(lambda: re.search(r"Scheduler at: +tls://127\.0\.0\.1:(\d+)", log.read_text()))
        self.port = int(found[1])

    def start_workers(self, count: int = 1, options: Sequence[str] = (), **environment: str) -> None:
        """Start workers and wait until the scheduler knows them."""
        for _ in range(count):
            log = self._folder / f"worker-{len(self._processes)}.log"
            arguments = ["worker", self.address, "--no-nanny", "--nthreads", "1", "--dashboard-address", ":0", *options]
            place = ["--local-directory", str(self._folder / "dask"), "--host", "127.0.0.1"]
            self.workers.append(self._start(log, [*arguments, *place], **environment))
        for process in self._processes[-count:] if count else ():
            log = self._folder / f"worker-{self._processes.index(process)}.log"
            wait_for(lambda log=log: "Registered to" in log.read_text())

    def _start(self, log: Path, arguments: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
        tls = [
            *("--tls-ca-file", str(self._certificates / "ca.pem")),
            *("--tls-cert", str(self._certificates / "cert.pem")),
            *("--tls-key", str(self._certificates / "key.pem")),
        ]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [DASK, *arguments, *tls],
                env=os.environ | MALLOC | {"OMP_NUM_THREADS": "1"} | environment,
                stdout=file,
                stderr=file,
            )
        self._processes.append(process)
        return process

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return f"tls://127.0.0.1:{self.port}"

    @property
    def members(self) -> dict[str, Any]:
        """Of the setting `dask`."""
        files = {name: str(self._certificates / f"{name}.pem") for name in ("ca", "cert", "key")}
        return {"scheduler": self.address, **files}

    @property
    def settings(self) -> DaskCluster:
        """The setting `dask`."""
        return DaskCluster(**self.members)

    def logs(self) -> str:
        """Return all that its processes wrote."""
        return "".join(path.read_text() for path in self._folder.glob("*.log"))

    def kill_all(self) -> None:
        """Kill the scheduler and the workers."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self.workers.clear()


@contextmanager
def running_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Run a cluster in a folder."""
    cluster = Cluster(folder)
    try:
        cluster.start_scheduler()
        if workers:
            cluster.start_workers(workers)
        yield cluster
    finally:
        cluster.kill_all()
