"""Downloads against curl, aria2c and plain httpx, from one nginx on loopback.

    python -m benchmarks.downloads [--mib 1024] [--rounds 5] [--dir DIR] [--only large,many,limited]

Every contestant takes its turn in each round. Printed are the medians of wall time and of CPU time
(user and system, of the contestant alone), how often the reference's medians hold them (above 1 is
faster), and the better of the two ratios, which is the one that counts: on a machine with other
load wall time says little, and on one with idle cores CPU time does. nbhttp's figures include the
fsync and the rename that make a file safe; the peers do neither.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

import servers  # noqa: E402
from servers import NGINX_CONF, make_tls_files, running_nginx  # noqa: E402


class Cost(NamedTuple):
    """What one run took: seconds of wall and CPU time, and MiB of memory over its start."""

    wall: float
    cpu: float
    grown: float = 0.0


CHILD = """
import resource, sys, tempfile, time
kind, url, path, option, ca = sys.argv[1:6]
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
import nbhttp, httpx
import nbhttp.sync, nbhttp._core.download, nbhttp.download_batch
if kind == "httpx":
    client = httpx.Client(verify=ca)
else:
    client = nbhttp.HttpClient(engine=kind.removesuffix("-engine"), verify=ca)
client.head(url)  # loop, connection and modules are there, as in a notebook's second cell
if kind != "httpx":
    warm = tempfile.TemporaryDirectory()
    small = url[: url.index("/", 9)] + "/small"
    assert client.download_many([small], warm.name, progress=False).success
    warm.cleanup()
def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
before, used = peak(), cpu()
started = time.perf_counter()
if kind == "httpx" and option == "plain":
    with client.stream("GET", url) as response, open(path, "wb") as file:
        for piece in response.iter_raw():
            file.write(piece)
elif option == "many":
    urls = [(url + f"?{n}", f"f{n}") for n in range(500)]
    result = client.download_many(urls, path, concurrency=16, progress=False)
    assert result.success, result.failed[0].error
else:
    options = {"segments": 1} if option == "one" else {}
    if option.isdigit():
        options = {"segments": int(option)}
    if option.startswith("sha256:"):
        options = {"checksum": option}
    if option == "progress":
        options = {"on_progress": lambda *_: None}
    shown = {"progress": "bar" if option == "bar" else False}
    result = client.download_file(url, path, **shown, **options)
    assert result.success, result.error
seconds = time.perf_counter() - started
print(seconds, cpu() - used, peak() - before)
"""


def child(kind: str, url: str, path: Path, option: str, ca: Path) -> Cost:
    """Run a client in a process of its own; what it takes to start does not count."""
    command = [sys.executable, "-c", CHILD, kind, url, str(path), option, str(ca)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Cost(*map(float, done.stdout.split()))


def program(*command: str) -> Cost:
    """Run a program."""
    started = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{command[0]} ended with status {running.returncode}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


def contest(
    title: str,
    contestants: dict[str, Callable[[Path], Cost]],
    rounds: int,
    reference: str,
    folder: Path,
) -> None:
    """Run all in turns and print a table."""
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            costs[name].append(run(folder / "out"))
    print(f"\n{title}, compared with {reference}")
    print(f"{'':28}{'wall s':>9}{'x':>7}{'CPU s':>9}{'x':>7}{'better':>9}{'+MiB':>8}")
    base = median_cost(costs[reference])
    for name, taken in costs.items():
        wall, cpu, _ = median_cost(taken)
        by_wall, by_cpu = base.wall / wall, base.cpu / cpu
        grown = max(cost.grown for cost in taken)
        print(
            f"{name:28}{wall:9.3f}{by_wall:7.2f}{cpu:9.3f}{by_cpu:7.2f}"
            f"{max(by_wall, by_cpu):9.2f}{grown:8.1f}",
            flush=True,
        )


def median_cost(costs: list[Cost]) -> Cost:
    """Return the median of each column."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--only", default="large,tls,many,limited")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(dir=given.dir))
    (work / "nginx").mkdir()
    work.chmod(0o755)
    try:
        servers.NGINX_CONF = NGINX_CONF.replace(
            "location /slow/",
            "location /limited/ {{ alias {root}/; limit_rate 20m; }}\n        location /slow/",
        )
        tls = make_tls_files(work)
        with running_nginx(servers.find_nginx(), work / "nginx", tls) as nginx:
            measure(given, nginx, work)
    finally:
        shutil.rmtree(work)


def measure(given, nginx, work):
    block = os.urandom(1024 * 1024)
    with (nginx.root / "large").open("wb") as file:
        for _ in range(given.mib):
            file.write(block)
    (nginx.root / "limited").write_bytes(block * 256)
    (nginx.root / "small").write_bytes(os.urandom(200_000))
    sum_of = subprocess.run(
        ["sha256sum", str(nginx.root / "large")], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    only = given.only.split(",")
    ca, out = nginx.ca_file, work / "out"
    large, secure = f"{nginx.url}/large", f"{nginx.tls_url}/large"

    def curl(url):
        return lambda path: program(
            "curl", "-s", "-o", str(path), "--cacert", str(ca), "--http1.1", url
        )

    def ours(kind, url, option="auto"):
        return lambda path: child(kind, url, path, option, ca)

    if "large" in only:
        contest(
            f"{given.mib} MiB, one file",
            {
                "curl": curl(large),
                "nbhttp direct": ours("direct", large),
                "nbhttp direct, on_progress": ours("direct", large, "progress"),
                "nbhttp direct, a bar": ours("direct", large, "bar"),
                "nbhttp direct, sha256": ours("direct", large, f"sha256:{sum_of}"),
                "nbhttp direct, 8 segments": ours("direct", large, "8"),
                "nbhttp httpx": ours("httpx-engine", large),
                "plain httpx": ours("httpx", large, "plain"),
            },
            given.rounds,
            "curl",
            out,
        )
    if "tls" in only:
        contest(
            f"{given.mib} MiB over TLS",
            {"curl": curl(secure), "nbhttp direct": ours("direct", secure)},
            given.rounds,
            "curl",
            out,
        )
    if "limited" in only and shutil.which("aria2c"):
        limited = f"{nginx.url}/limited/limited"
        contest(
            "256 MiB, 20 MiB/s for each connection, 8 connections",
            {
                "aria2c -x8": lambda path: program(
                    "aria2c",
                    "-q",
                    "-x8",
                    "-s8",
                    "-k1M",
                    "--file-allocation=none",
                    "-d",
                    str(path.parent),
                    "-o",
                    path.name,
                    limited,
                ),
                "nbhttp segments=8": ours("direct", limited, "8"),
                "nbhttp segments=auto": ours("direct", limited),
            },
            max(1, given.rounds // 2),
            "aria2c -x8",
            out,
        )
    if "many" in only:
        lines = "".join(f"{nginx.url}/small?{n}\n  out=f{n}\n" for n in range(500))
        (work / "list").write_text(lines)
        config = "".join(f'url = "{nginx.url}/small?{n}"\noutput = "f{n}"\n' for n in range(500))
        (work / "config").write_text(config)
        contestants = {}
        if shutil.which("aria2c"):
            contestants["aria2c -j16"] = lambda path: program(
                "aria2c",
                "-q",
                "-j16",
                "--file-allocation=none",
                "-d",
                str(path),
                "-i",
                str(work / "list"),
            )
        contestants |= {
            "curl -Z": lambda path: program(
                "curl",
                "-s",
                "-Z",
                "--parallel-max",
                "16",
                "--create-dirs",
                "--output-dir",
                str(path),
                "-K",
                str(work / "config"),
            ),
            "nbhttp download_many": ours("direct", f"{nginx.url}/small", "many"),
        }
        contest(
            "500 files of 200 KB, 16 at once",
            contestants,
            given.rounds,
            next(iter(contestants)),
            out,
        )


if __name__ == "__main__":
    main()
