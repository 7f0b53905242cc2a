"""A real JupyterLab and a real Chromium."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    expect,
    sync_playwright,
)

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"
TIMEOUT_MS = 90_000
expect.set_options(timeout=TIMEOUT_MS)  # five seconds are too few on a busy machine
# Debian's Chromium asks for updates, experiments and certificates unless it is told not to.
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
}


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    folder: Path
    settings: Path
    token: str = "nbhttp"

    def page_url(self, notebook: str) -> str:
        """Return the address of a notebook in the lab."""
        return f"{self.url}/lab/tree/{notebook}?token={self.token}&reset"

    def set_theme(self, theme: str) -> None:
        """Choose the theme of pages opened from now on."""
        _write(self.settings, "apputils-extension/themes", {"theme": theme})


def _write(folder: Path, name: str, settings: object) -> None:
    path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose settings, kernels and files are all in a folder of its own."""
    base = tmp_path_factory.mktemp("lab")
    folder, settings = base / "work", base / "settings"
    folder.mkdir()
    for name, content in SETTINGS.items():
        _write(settings, name, content)
    places = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
              "JUPYTERLAB_WORKSPACES_DIR"]  # fmt: skip
    environment = os.environ | {place: str(base / place.lower()) for place in places}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(settings)}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--ServerApp.port=0", f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=nbhttp",
        "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield Lab(_url_of(process), folder, settings)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _url_of(process: subprocess.Popen[str]) -> str:
    """Read the server's log up to its address; the rest is read and dropped, so it never blocks."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        match = re.search(r"http://127\.0\.0\.1:[1-9]\d*", line)
        if match:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return match[0]
    raise AssertionError("JupyterLab did not start:\n" + "".join(seen))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, with all that it should not do written down."""

    page: Page
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def on_dialog(self, dialog: Dialog) -> None:
        """Write a dialog down and close it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def on_console(self, message: ConsoleMessage) -> None:
        """Write an error on the console down."""
        if message.type == "error":
            self.errors.append(message.text)

    def on_request(self, request: Request) -> None:
        """Write down a request that leaves the page's own server."""
        if not request.url.startswith(("data:", "blob:", "about:", "http://127.0.0.1:")):
            self.outside.append(request.url)

    @property
    def trouble(self) -> list[str]:
        """Everything that should not have happened."""
        return self.dialogs + self.errors + self.outside


def watch(page: Page) -> Watched:
    """Watch a page from now on, with patience."""
    watched = Watched(page)
    page.set_default_timeout(TIMEOUT_MS)
    page.on("dialog", watched.on_dialog)
    page.on("console", watched.on_console)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("request", watched.on_request)
    return watched


@pytest.fixture
def artefacts() -> Path:
    """The folder where pictures are kept for a person to look at."""
    ARTEFACTS.mkdir(exist_ok=True)
    return ARTEFACTS
