"""What all tests share: where real data lies, and a last line that says how many tests were skipped."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from s3_server import s3, s3_server
from stac_servers import pgstac, postgresql

__all__ = ["pgstac", "postgresql", "s3", "s3_server", "shared_data"]

settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data; skip where it is absent."""
    folder = Path(os.environ.get("ESCAPE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no folder of real data: set ESCAPE_TEST_DATA")
    return folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close with the counts, skipped ones always among them."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.option.collectonly:
        return
    count = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    reporter.write_line(
        f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped"
    )
