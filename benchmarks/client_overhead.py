"""CPU of `AsyncHttpClient.get` against `httpx.AsyncClient.get` over the same null transport.

    python -m benchmarks.client_overhead [--rounds 15] [--calls 400]

Rounds are interleaved; the median of the ratios of each pair of rounds is printed. Floor: 1.15.
"""

import argparse
import asyncio
import statistics
import time

import httpx

import nbhttp


class NullTransport(httpx.AsyncBaseTransport):
    """Answers at once."""

    async def handle_async_request(self, request):
        return httpx.Response(
            200,
            headers=[(b"Content-Type", b"application/json"), (b"Content-Length", b"2")],
            stream=httpx.ByteStream(b"{}"),
        )


async def measure(get, calls):
    started = time.process_time()
    for _ in range(calls):
        await get("http://null.example/items?page=1")
    return (time.process_time() - started) / calls * 1e6


async def compare(rounds, calls):
    ours = nbhttp.AsyncHttpClient(transport=NullTransport())
    theirs = httpx.AsyncClient(transport=NullTransport())
    pairs = []
    for number in range(rounds + 1):
        pair = await measure(ours.get, calls), await measure(theirs.get, calls)
        if number:  # the first one warms up
            pairs.append(pair)
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=400)
    options = parser.parse_args()
    pairs = asyncio.run(compare(options.rounds, options.calls))
    print("client                  µs CPU a call (median)")
    print(f"nbhttp.AsyncHttpClient  {statistics.median(p[0] for p in pairs):8.1f}")
    print(f"httpx.AsyncClient       {statistics.median(p[1] for p in pairs):8.1f}")
    print(f"ratio                   {statistics.median(a / b for a, b in pairs):8.2f}  (≤ 1.15)")


if __name__ == "__main__":
    main()
