"""Every check of nbhttp. `python3 noxfile.py` sets up everything from nothing and runs them all.

It makes `.nox/bootstrap` with nox in it and hands over; with nox at hand, `nox -s lint` and the
like run one session. On Debian it installs Chromium and nginx where they are missing (as root);
elsewhere it says which tests are skipped without them.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

try:
    import nox
except ImportError:
    nox = None  # type: ignore[assignment]

ROOT = Path(__file__).parent
SYSTEM_PACKAGES = {"chromium": "chromium", "nginx": "nginx-light"}

# httpbin pins greenlet below 3 on Python 3.11, which a current Playwright cannot use; it does not
# import it unless gevent serves it. So it comes without its dependencies, which the extra has.
HTTPBIN = "httpbin>=0.10.4"


def main() -> int:
    """Make an environment with nox in it and run all sessions there."""
    home = ROOT / ".nox" / "bootstrap"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(home, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "nox>=2024.10"], check=True)
    command = [python, "-m", "nox", "--noxfile", __file__, *sys.argv[1:]]
    return subprocess.run(command, check=False).returncode


if nox is not None:
    nox.options.sessions = ["system", "lint", "types", "tests"]
    nox.options.reuse_existing_virtualenvs = True

    @nox.session(venv_backend="none")
    def system(session: nox.Session) -> None:
        """Install what the tests need from Debian, or fail; elsewhere say what is missing."""
        missing = [p for command, p in SYSTEM_PACKAGES.items() if not _find(command)]
        if not missing:
            return
        can_install = shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0
        if can_install:
            env = {"DEBIAN_FRONTEND": "noninteractive"}
            session.run("apt-get", "update", "-qq", external=True, silent=True)
            session.run(
                "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing,
                external=True, silent=True, env=env,
            )  # fmt: skip
        for command in SYSTEM_PACKAGES:
            if not _find(command):
                tell = session.error if can_install else session.warn
                tell(f"{command} is missing: the tests that need it would be skipped")

    @nox.session
    def lint(session: nox.Session) -> None:
        """Style."""
        session.install("ruff==0.17.*")
        session.run("ruff", "check")
        session.run("ruff", "format", "--check")

    @nox.session
    def types(session: nox.Session) -> None:
        """Types, by mypy and pyright."""
        _install(session, "-e", ".[dev]")
        session.run("mypy")
        session.run("pyright")

    @nox.session
    def tests(session: nox.Session) -> None:
        """Build the wheel, install it, and run the tests against it as users have it."""
        dist = Path(session.create_tmp()) / "dist"
        shutil.rmtree(dist, ignore_errors=True)
        session.install("build>=1.2")
        session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), silent=True)
        (wheel,) = dist.glob("*.whl")
        session.run("python", "-m", "pip", "uninstall", "-q", "-y", "nbhttp", silent=True)
        _install(session, f"{wheel}[dev]")
        env = {"NBHTTP_TEST_WHEEL": "1"}
        if session.posargs:
            session.run("pytest", *session.posargs, env=env)
            return
        # Once more, for what a busy machine delays too long; a secret that leaks now and then leaks.
        again = ("--reruns", "1", "--rerun-except", "leaks:")
        # Apart: while Playwright is open its event loop runs in the test's own thread.
        session.run("pytest", "-n", "2", *again, "--ignore=tests/browser", env=env)
        session.run("pytest", *again, "tests/browser", env=env)


def _install(session: "nox.Session", *what: str) -> None:
    session.install(*what)
    session.install("--no-deps", HTTPBIN)


def _find(command: str) -> str | None:
    return shutil.which(command) or shutil.which(command, path="/usr/sbin")


if __name__ == "__main__":
    sys.exit(main())
