"""Physics must not load torch: readers import it."""

import subprocess
import sys


def test_physics_does_not_import_torch():
    code = (
        "import sys, escape_process.physics, escape_process.physics.radiometry as r; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
