"""A run that has nothing to do with networks pays next to nothing for the plugin."""

import subprocess
import sys

HEAVY = ("torch", "numpy", "pydantic", "scipy", "matplotlib", "sklearn", "jinja2", "tqdm", "netprops.zoo")


def test_an_unrelated_run_imports_nothing_heavy(tmp_path):
    (tmp_path / "test_unrelated.py").write_text(f"""
import sys

def test_nothing():
    pass

def teardown_module():
    found = sorted(set(sys.modules) & set({HEAVY!r}))
    assert "netprops.plugin" in sys.modules
    assert not found, found
""")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    command.append("test_unrelated.py")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "error" not in done.stdout


def test_importing_netprops_imports_nothing_heavy():
    code = f"import sys, netprops, netprops.cli; print(set(sys.modules) & set({HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
