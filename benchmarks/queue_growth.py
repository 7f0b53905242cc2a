"""CPU a request when 10,000 wait in the queue, against 100.

    python -m benchmarks.queue_growth [--rounds 5]

Requests go over a null transport, so that what grows is the queue alone. Rounds are interleaved;
medians. Floor: 1.2 times.
"""

import argparse
import asyncio
import gc
import statistics
import time

import nbhttp
from benchmarks.client_overhead import NullTransport


class OneTurn(NullTransport):
    """Answers at the next turn of the loop, so that the others wait."""

    async def handle_async_request(self, request):
        await asyncio.sleep(0)
        return await super().handle_async_request(request)


async def measure(queued, total):
    """Return µs CPU a request of `total`, with `queued` made at once."""
    client = nbhttp.AsyncHttpClient(transport=OneTurn(), max_connections=32)
    gc.collect()
    spent = 0.0
    for _ in range(total // queued):
        started = time.process_time()
        results = await asyncio.gather(
            *(client.get("http://null.example/items?page=1") for _ in range(queued))
        )
        spent += time.process_time() - started
        assert all(results)
        del results
    return spent / total * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pairs = []
    for number in range(options.rounds + 1):
        pair = asyncio.run(measure(100, 10_000)), asyncio.run(measure(10_000, 10_000))
        if number:  # the first one warms up
            pairs.append(pair)
    print("queued   µs CPU a request (median)")
    print(f"   100   {statistics.median(p[0] for p in pairs):8.1f}")
    print(f"10,000   {statistics.median(p[1] for p in pairs):8.1f}")
    print(f"ratio    {statistics.median(b / a for a, b in pairs):8.2f}  (≤ 1.2)")


if __name__ == "__main__":
    main()
