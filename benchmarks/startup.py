"""What the plugin costs a pytest run that has nothing to do with networks.

Runs an empty test in a fresh process with and without the plugin, in turns, and compares the fastest runs: what
else goes on in a machine only ever adds time. The plugin may cost at most 100 ms.

    python benchmarks/startup.py [RUNS]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 0.100  # seconds


def seconds(folder: Path, *args: str) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args, "test_unrelated.py"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_unrelated.py").write_text("def test_nothing():\n    pass\n")
        seconds(folder)  # compiles what is not yet compiled
        pairs = [(seconds(folder, "-p", "no:netprops"), seconds(folder)) for _ in range(runs)]
    without, with_plugin = (min(column) for column in zip(*pairs, strict=True))
    cost = with_plugin - without
    print(f"fastest of {runs}: without the plugin {1000 * without:.0f} ms, with it {1000 * with_plugin:.0f} ms")
    print(f"cost {1000 * cost:.0f} ms, limit {1000 * LIMIT:.0f} ms")
    return 0 if cost <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
