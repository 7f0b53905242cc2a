"""Streams against httpx and bare orjson: `python -m benchmarks.streams [--rounds N] [--gib N]`.

A server in a process of its own sends as fast as a socket takes it. Rounds alternate between the
readers; the table gives medians, and ratios within each round. Memory is how far the peak of
a fresh process that streams many gibibytes is above what it had after the first 64 MiB (Linux).
"""

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import orjson

import nbhttp

SIZE = 256 << 20
CHUNK = 65536
RECORDS = 300_000
MOST_GROWTH = 8 << 20


def record(index):
    return {"id": index, "name": f"user{index}", "score": index / 7, "ok": True}


def ndjson_body():
    return b"".join(orjson.dumps(record(i)) + b"\n" for i in range(RECORDS))


def serve():
    """Answer /N with N bytes, and /ndjson with records."""
    records = ndjson_body()
    block = bytes(1 << 20)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def answer(connection):
        with contextlib.suppress(OSError), connection:
            while head := connection.recv(65536):
                path = head.split(b" ", 2)[1][1:].decode()
                size = len(records) if path == "ndjson" else int(path)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                if path == "ndjson":
                    connection.sendall(records)
                    continue
                for _ in range(size >> 20):
                    connection.sendall(block)

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


async def _httpx(url):
    async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
        return sum([len(piece) async for piece in response.aiter_bytes(CHUNK)])


async def _nbhttp(url, engine):
    async with nbhttp.AsyncHttpClient(engine=engine) as client:
        return sum([len(piece) async for piece in client.stream_request("GET", url, CHUNK)])


async def _ndjson(url):
    count = 0
    async with nbhttp.AsyncHttpClient() as client:
        async for _ in client.ndjson(url):
            count += 1
    return count


def httpx_async(url):
    """httpx.AsyncClient, aiter_bytes(65536)"""
    return asyncio.run(_httpx(url))


def httpx_sync(url):
    """httpx.stream, iter_bytes(65536)"""
    with httpx.stream("GET", url) as response:
        return sum(map(len, response.iter_bytes(CHUNK)))


def ours_async(url):
    """nbhttp stream_request, 64 KiB"""
    return asyncio.run(_nbhttp(url, "auto"))


def ours_over_httpx(url):
    """nbhttp stream_request, engine='httpx'"""
    return asyncio.run(_nbhttp(url, "httpx"))


def ours_sync(url):
    """nbhttp sync stream_request, 64 KiB"""
    with nbhttp.HttpClient() as client:
        return sum(map(len, client.stream_request("GET", url, CHUNK)))


def ours_sync_over_httpx(url):
    """nbhttp sync stream_request, engine='httpx'"""
    with nbhttp.HttpClient(engine="httpx") as client:
        return sum(map(len, client.stream_request("GET", url, CHUNK)))


READERS = [
    httpx_async, httpx_sync, ours_async, ours_over_httpx, ours_sync, ours_sync_over_httpx,
]  # fmt: skip


def timed(function, *arguments):
    started = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - started, value


def compare_bytes(url, rounds):
    took = {reader: [] for reader in READERS}
    for _ in range(rounds):
        for reader in READERS:
            seconds, size = timed(reader, f"{url}/{SIZE}")
            assert size == SIZE
            took[reader].append(seconds)
    print("\n| 256 MiB in chunks of 64 KiB | MB/s | x httpx async |\n|---|---|---|")
    for reader in READERS:
        pairs = zip(took[httpx_async], took[reader], strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        rate = SIZE / statistics.median(took[reader]) / 1e6
        print(f"| {reader.__doc__} | {rate:,.0f} | {ratio:.2f} |")


def compare_records(url, rounds):
    body = ndjson_body()

    def bare():
        count = 0
        for line in body.split(b"\n"):
            if line:
                orjson.loads(line)
                count += 1
        return count

    def over_async():
        return asyncio.run(_ndjson(url + "/ndjson"))

    def over_sync():
        with nbhttp.HttpClient() as client:
            return sum(1 for _ in client.ndjson(url + "/ndjson"))

    works = {
        "bare orjson.loads per line, from memory": bare,
        "nbhttp ndjson": over_async,
        "nbhttp sync ndjson": over_sync,
    }
    took = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds, count = timed(work)
            assert count == RECORDS
            took[name].append(seconds)
    print(f"\n| {RECORDS:,} small records | records/s | x bare |\n|---|---|---|")
    first = took["bare orjson.loads per line, from memory"]
    for name, seconds in took.items():
        pairs = zip(first, seconds, strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        print(f"| {name} | {RECORDS / statistics.median(seconds):,.0f} | {ratio:.2f} |")


def peak_memory(*, restart=False):
    """Return this process's peak in bytes (Linux); from now on, with `restart`."""
    if restart:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def measure_memory(url, face, gib):
    """Print the growth of this process's peak, in bytes."""
    size = gib << 30
    with nbhttp.HttpClient() as client:
        assert sum(map(len, client.stream_request("GET", f"{url}/{64 << 20}"))) == 64 << 20
        if face == "async":
            asyncio.run(_nbhttp(f"{url}/{64 << 20}", "auto"))
        before = peak_memory(restart=True)
        if face == "async":
            assert asyncio.run(_count(f"{url}/{size}")) == size
        else:
            assert sum(map(len, client.stream_request("GET", f"{url}/{size}"))) == size
    print(json.dumps(peak_memory() - before))


async def _count(url):
    total = 0
    async with nbhttp.AsyncHttpClient() as client:
        async for piece in client.stream_request("GET", url):
            total += len(piece)
    return total


def compare_memory(url, gib):
    print(f"\n| peak memory over {gib} GiB, above that of 64 MiB | MiB |\n|---|---|")
    for face in ("async", "sync"):
        command = [sys.executable, "-m", "benchmarks.streams", "--child", url, face, str(gib)]
        growth = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        print(f"| {face} | {growth / (1 << 20):.1f} |")
        assert growth <= MOST_GROWTH, f"{face}: {growth:,} bytes"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    if options.child:
        url, face, gib = options.child
        measure_memory(url, face, int(gib))
        return
    command = [sys.executable, "-m", "benchmarks.streams", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            compare_bytes(url, options.rounds)
            compare_records(url, options.rounds)
            if options.gib:
                compare_memory(url, options.gib)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
