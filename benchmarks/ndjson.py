"""NDJSON decoding against a bare `orjson.loads` per line: `python -m benchmarks.ndjson [rounds]`.

All read the same bytes: the bare loop in one piece, the decoders in chunks of 64 KiB that were
cut beforehand, as a network would hand them over. Rounds alternate; medians are compared.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable

import orjson

from nbhttp.streaming import LineDecoder, NdjsonDecoder

RECORDS = 200_000
CHUNK = 64 * 1024

Work = Callable[[bytes, list[bytes]], int]


def _small(index: int, rng: random.Random) -> object:
    return {"id": index, "name": f"user{index}", "at_ns": 1_732_421_890_123_456_789 + index,
            "score": rng.random(), "ok": True}  # fmt: skip


def _nested(index: int, rng: random.Random) -> object:
    return {"id": index, "tags": ["a", "b"], "user": {"name": f"user{index}", "at": [rng.random()] * 8},
            "text": "lorem ipsum é dolor " * 12}  # fmt: skip


def _chunks(data: bytes) -> list[bytes]:
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def bare(data: bytes, _: list[bytes]) -> int:
    """Split and parse, with nothing else: no bound, no error handling, wrong for huge integers."""
    count = 0
    for line in data.split(b"\n"):
        if line:
            orjson.loads(line)
            count += 1
    return count


def decoder(_: bytes, chunks: list[bytes]) -> int:
    """Feed 64 KiB chunks to the decoder."""
    ndjson = NdjsonDecoder()
    return sum(len(ndjson.feed(chunk)) for chunk in chunks) + len(ndjson.close())


def lines(_: bytes, chunks: list[bytes]) -> int:
    """Feed 64 KiB chunks to the line decoder."""
    reader = LineDecoder()
    return sum(len(reader.feed(chunk)) for chunk in chunks) + len(reader.close())


def _seconds(work: Work, data: bytes, chunks: list[bytes], expected: int) -> float:
    start = time.perf_counter()
    count = work(data, chunks)
    took = time.perf_counter() - start
    if count != expected:
        raise SystemExit(f"{work.__name__} gave {count:,} of {expected:,} records")
    return took


def main(rounds: int = 7) -> None:
    """Print records/s, MB/s and the ratio to the bare loop for each kind of record."""
    rng = random.Random(1)
    print(
        f"{'records':<9}{'bytes each':>11}  {'what':<9}{'records/s':>11}{'MB/s':>7}{'vs bare':>9}"
    )
    for make, count in ((_small, RECORDS), (_nested, RECORDS // 4)):
        data = b"".join(orjson.dumps(make(index, rng)) + b"\n" for index in range(count))
        chunks = _chunks(data)
        times: dict[str, list[float]] = {work.__name__: [] for work in (bare, decoder, lines)}
        for _ in range(rounds):
            for work in (bare, decoder, lines):
                times[work.__name__].append(_seconds(work, data, chunks, count))
        ratios = {
            name: statistics.median(b / t for b, t in zip(times["bare"], taken, strict=True))
            for name, taken in times.items()
        }
        for name, taken in times.items():
            median = statistics.median(taken)
            print(
                f"{make.__name__[1:]:<9}{len(data) // count:>11}  {name:<9}"
                f"{count / median:>11,.0f}{len(data) / median / 1e6:>7.0f}{ratios[name]:>8.2f}x"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
