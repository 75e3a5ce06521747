"""What the plugin costs a pytest run that has nothing to do with networks.

Runs an empty test in fresh processes with and without the plugin, in turns and without any other plugin, and
compares the fastest runs: what else goes on in a machine only ever adds time. At most 100 ms are allowed.

    python benchmarks/startup.py [RUNS]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 0.100  # seconds


def seconds(folder: Path, *args: str) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args, "test_unrelated.py"]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed plugin is compiled
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environ)
    return time.perf_counter() - began


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_unrelated.py").write_text("def test_nothing():\n    pass\n")
        seconds(folder, "-p", "netprops.plugin")  # compiles what is not yet compiled
        pairs = [(seconds(folder), seconds(folder, "-p", "netprops.plugin")) for _ in range(runs)]
    without, with_plugin = (min(column) for column in zip(*pairs, strict=True))
    cost = with_plugin - without
    print(f"fastest of {runs}: {1000 * without:.0f} ms without the plugin, {1000 * with_plugin:.0f} with it")
    print(f"cost {1000 * cost:.0f} ms, limit {1000 * LIMIT:.0f} ms")
    return 0 if cost <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
