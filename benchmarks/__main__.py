"""Side by side, interleaved: `python -m benchmarks [SUBSET …] [--rounds N] [--write]`.

Every figure comes from a fresh process; rounds alternate between the clients, so that what else
the machine does hits all alike. A ratio is the median over the rounds of peer ÷ nbhttp, of wall
and of CPU time; the better of both counts, since a loopback server shares the machine.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.servers import delayed, nginx

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = [
    "nbhttp", "httpx", "httpcore", "httptools", "uvloop", "orjson", "aiohttp", "httpx2",
    "pyreqwest", "niquests", "requests",
]  # fmt: skip


class Row(NamedTuple):
    """One comparison.

    Attributes:
        subset: The word that selects it.
        what: Its name in the table.
        ours: The peer function that is nbhttp.
        theirs: The one it is compared with.
        job: What both do.
        floor: The least ratio that is acceptable; None when nothing was promised.
        aim: The ratio that is hoped for.
    """

    subset: str
    what: str
    ours: str
    theirs: str
    job: dict
    floor: float | None = None
    aim: float | None = None


def rows(server, stack):
    """All comparisons, with their servers running."""
    url = server.url + "/1k.json"
    table = []
    others = ["aiohttp + uvloop", "niquests", "requests + threads"]
    for in_flight in (32, 256):
        job = {"url": url, "in_flight": in_flight, "requests": 6000}
        name = f"map, {in_flight} in flight"
        table += [
            Row("bulk", name, "nbhttp map", "aiohttp", job, 2.0, 3.5),
            Row("bulk", name, "nbhttp map", "pyreqwest + uvloop", job, 0.7, 1.2),
            *(Row("bulk", name, "nbhttp map", other, job) for other in others if in_flight == 32),
        ]
    for in_flight, floor, aim in ((32, 3.0, 3.5), (256, 4.0, 5.5)):
        job = {"url": url, "in_flight": in_flight, "requests": 1500}
        name = f"gather of get, {in_flight} in flight"
        table += [
            Row("gather", name, "nbhttp gather", "httpx all queued", job, floor, aim),
            Row("gather", name, "nbhttp gather", "httpx gather", job),
            Row("gather", name, "nbhttp gather", "httpx2 gather", job),
        ]
    tls = {"url": server.tls_url + "/1k.json", "in_flight": 32, "requests": 4000}
    tls["ca_file"] = server.ca_file
    table.append(Row("tls", "map over TLS, 32 in flight", "nbhttp map", "aiohttp", tls, 1.5, 2.5))
    single = {"url": url, "requests": 1500, "in_flight": 1}
    table += [
        Row(
            "sync", "sync get, engine='direct'", "nbhttp sync direct", "requests", single, 1.3, 2.0
        ),
        Row("sync", "sync get, default engine", "nbhttp sync", "requests", single),
        Row("sync", "sync get, default engine", "nbhttp sync", "httpx sync", single),
    ]
    for size, number, floor, aim in (
        (1_000, 20_000, 2.5, 4.0),
        (1_000_000, 60, 1.8, 2.0),
        (48_000_000, 1, 1.7, 2.0),
    ):
        job = {"size": size, "requests": number, "warm_up": max(number // 10, 1)}
        name = f"JSON, {size:,} bytes"
        table.append(Row("json", name, "nbhttp json", "httpx json", job, floor, aim))
    for delay in (10, 100):
        slow = stack.enter_context(delayed(server.url, delay))
        job = {"url": slow + "/1k.json", "in_flight": 32, "requests": 1500 if delay == 10 else 600}
        name = f"map, 32 in flight, {delay} ms latency"
        table.append(Row("latency", name, "nbhttp map", "aiohttp", job))
    return table


def measure(peer, job):
    """Run one peer in a fresh process."""
    full = {"ca_file": "", "in_flight": 1, "warm_up": min(300, job["requests"]), **job}
    command = [sys.executable, "-m", "benchmarks.worker", peer, json.dumps(full)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(row, rounds):
    """Measure both sides in turns; return the medians and the ratios."""
    ours, theirs = [], []
    for number in range(rounds):
        for side, peer in sorted(
            ((ours, row.ours), (theirs, row.theirs)), key=lambda s: s[1], reverse=number % 2 == 1
        ):
            side.append(measure(peer, row.job))

    def ratio(key):
        return statistics.median(t[key] / o[key] for o, t in zip(ours, theirs, strict=True))

    def middle(side, key):
        return statistics.median(s[key] for s in side)

    return {
        "wall": ratio("wall_us"),
        "cpu": ratio("cpu_us"),
        **{f"ours_{k}": middle(ours, k) for k in ours[0]},
        **{f"theirs_{k}": middle(theirs, k) for k in theirs[0]},
    }


HEAD = (
    "| what | nbhttp against | wall ratio | CPU ratio | floor | aim | nbhttp µs (CPU) | "
    "peer µs (CPU) | peak MiB |\n|---|---|---|---|---|---|---|---|---|"
)


def line(row, f):
    """One row of the table."""
    best = max(f["wall"], f["cpu"])
    verdict = "" if row.floor is None else (" ✓" if best >= row.floor else " ✗")
    floor = "" if row.floor is None else f"{row.floor:g}x{verdict}"
    aim = "" if row.aim is None else f"{row.aim:g}x"
    return (
        f"| {row.what} | {row.theirs} | {f['wall']:.2f}x | {f['cpu']:.2f}x | {floor} | {aim} "
        f"| {f['ours_wall_us']:,.0f} ({f['ours_cpu_us']:,.0f}) "
        f"| {f['theirs_wall_us']:,.0f} ({f['theirs_cpu_us']:,.0f}) "
        f"| {f['ours_peak_mib']:.0f} / {f['theirs_peak_mib']:.0f} |"
    )


def growth(server, rounds):
    """CPU a request with 100 and with 10,000 queued."""
    url = server.url + "/1k.json"
    jobs = {n: {"url": url, "in_flight": 32, "requests": n, "warm_up": 64} for n in (100, 10_000)}
    ratios = []
    for _ in range(rounds):
        few = statistics.median(measure("nbhttp gather", jobs[100])["cpu_us"] for _ in range(3))
        ratios.append(measure("nbhttp gather", jobs[10_000])["cpu_us"] / few)
    ratio = statistics.median(ratios)
    verdict = "✓" if ratio <= 1.15 else "✗"
    return f"CPU a request, 10,000 queued against 100: **{ratio:.2f}x** (at most 1.15x {verdict})"


def imports(rounds):
    """What importing costs over a bare interpreter."""

    def wall_ms(code):
        command = [sys.executable, "-c", f"import time; t=time.perf_counter(); {code}; "
                   "print((time.perf_counter()-t)*1000)"]  # fmt: skip
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    figures = {
        name: statistics.median(wall_ms(f"import {name}") for _ in range(max(rounds, 5)))
        for name in ("nbhttp", "httpx", "aiohttp", "requests")
    }
    return "import: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in figures.items())


def versions():
    """The machine and the packages."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} (source)" if name == "nbhttp" else f"{name} (missing)")
    return (
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        + ", ".join(found)
    )


def main():
    """Run what was asked for and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    subsets = ["bulk", "gather", "tls", "sync", "json", "latency", "growth", "import"]
    parser.add_argument("subset", nargs="*", help=f"any of {', '.join(subsets)}; all when none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    options = parser.parse_args()
    wanted = options.subset or subsets
    if unknown := set(wanted) - set(subsets):
        parser.error(f"no such subset: {', '.join(sorted(unknown))}")
    text = [versions(), "", f"Medians of {options.rounds} interleaved rounds.", "", HEAD]
    print("\n".join(text), flush=True)
    with ExitStack() as stack:
        server = stack.enter_context(nginx())
        for row in rows(server, stack):
            if row.subset in wanted:
                text.append(line(row, compare(row, options.rounds)))
                print(text[-1], flush=True)
        notes = []
        if "growth" in wanted:
            notes.append(growth(server, options.rounds))
        if "import" in wanted:
            notes.append(imports(options.rounds))
        for note in notes:
            text += ["", note]
            print("\n" + note, flush=True)
    if options.write:
        RESULTS.write_text("# Results of `python -m benchmarks`\n\n" + "\n".join(text) + "\n")
        print(f"\nwrote {RESULTS}")


if __name__ == "__main__":
    main()
