import os
from pathlib import Path

import pytest


@pytest.fixture
def real() -> Path:
    """The folder with real data sets; tests that want it are skipped where there is none."""
    root = os.environ.get("NETPROPS_DATA")
    if not root:
        pytest.skip("NETPROPS_DATA is not set: no real data to read")
    return Path(root)
