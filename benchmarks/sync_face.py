"""What the sync face costs: `HttpClient.get` over a null transport, and the crossing alone.

    python -m benchmarks.sync_face [--rounds 15] [--calls 400]

Wall time a call; the async client's is measured on an idle loop of the same kind. Floor for the
sync `get`: 250 µs, aim 150.
"""

import argparse
import asyncio
import statistics
import time

import nbhttp
from benchmarks.client_overhead import NullTransport
from nbhttp._core.loopthread import outlet

URL = "http://null.example/items?page=1"


def measure(function, calls):
    started = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - started) / calls * 1e6


async def measure_async(client, calls):
    started = time.perf_counter()
    for _ in range(calls):
        await client.get(URL)
    return (time.perf_counter() - started) / calls * 1e6


async def nothing(_):
    return None


def on_a_loop(main):
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=400)
    options = parser.parse_args()
    client = nbhttp.HttpClient(transport=NullTransport())
    thread = outlet()
    rows = {"sync get": [], "crossing alone": [], "async get": []}
    for number in range(options.rounds + 1):
        row = (
            measure(lambda: client.get(URL), options.calls),
            measure(lambda: thread.call(nothing), options.calls),
            on_a_loop(measure_async(client.aio, options.calls)),
        )
        if number:  # the first one warms up
            for name, value in zip(rows, row, strict=True):
                rows[name].append(value)
    print("what              µs a call (median)   best")
    for name, values in rows.items():
        print(f"{name:<16}  {statistics.median(values):18.1f}  {min(values):5.1f}")


if __name__ == "__main__":
    main()
