"""What `import nbhttp` may load and do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nbhttp

HEAVY = [
    "asyncio", "httpx", "httpcore", "anyio", "trio", "orjson", "loguru", "tqdm", "ipywidgets",
    "IPython", "httptools", "uvloop", "ssl", "logging", "nest_asyncio2", "pandas", "numpy",
    "starlette", "uvicorn", "filelock", "brotli", "zstandard", "truststore",
]  # fmt: skip


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", HEAVY)
def test_import_loads_nothing_heavy(module: str):
    """The import stays light: what a feature needs loads when it is first used."""
    code = f"import sys; before = set(sys.modules); import nbhttp; print({module!r} in set(sys.modules) - before)"
    assert run(code) == "False"


def test_import_patches_and_starts_nothing():
    """No thread, no handler, no patched loop, no file read by the package itself."""
    code = (
        "import asyncio, logging, threading; run = asyncio.run; handlers = list(logging.root.handlers)\n"
        "import nbhttp\n"
        "print(asyncio.run is run, threading.active_count(), logging.root.handlers == handlers)"
    )
    assert run(code) == "True 1 True"


def test_getting_the_client_patches_nothing():
    """Neither does a client: nest-asyncio2 is applied by `nbhttp.run` in a notebook alone."""
    code = (
        "import asyncio, sys; run = asyncio.run\n"
        "import nbhttp\n"
        "nbhttp.get('http://127.0.0.1:1/')\n"
        "print(asyncio.run is run, 'nest_asyncio2' in sys.modules)"
    )
    assert run(code) == "True False"


def test_the_wheel_is_what_is_tested():
    """In the full run the tests see the installed wheel, not the source tree."""
    if not os.environ.get("NBHTTP_TEST_WHEEL"):
        pytest.skip("run by `python3 noxfile.py`, which installs the wheel")
    assert "site-packages" in Path(nbhttp.__file__).parts
    assert (Path(nbhttp.__file__).parent / "py.typed").exists()
