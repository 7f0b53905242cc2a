"""What showing an answer costs beyond parsing it: `python -m benchmarks.rendering [--rounds N]`.

Prints the median CPU time of making HTML and text, the most memory that was allocated on the way,
and the HTML's size without inlined images. The limits: 60 ms for 50 MB of JSON and no copy of it,
100 ms for what is deep, wide or long, 48 KB of HTML.
"""

import argparse
import gc
import statistics
import time
import tracemalloc

import orjson

from nbhttp._engines.base import Head
from nbhttp.result import RequestResult, RequestSent

RECORD = {"id": 1, "name": "Rope Walk Steps", "place": {"lat": 54.3, "lon": 10.1}, "tags": ["a"]}


def bodies() -> dict[str, tuple[float, bytes]]:
    """Return, by what it is, the limit in milliseconds and a JSON body."""
    record = orjson.dumps(RECORD)
    return {
        "50 MB, a list of records": (
            60,
            b"[%b]" % b",".join([record] * (50_000_000 // len(record))),
        ),
        "50 MB, records in an object": (
            60,
            b'{"total":1,"items":[%b]}' % b",".join([record] * (50_000_000 // len(record))),
        ),
        "1,000,000 keys": (100, orjson.dumps({f"key {n}": n for n in range(1_000_000)})),
        "10,000 deep": (100, b"[" * 10_000 + b"]" * 10_000),
        "10,000 deep objects": (100, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        "a string of 5 MB": (100, orjson.dumps({"text": "word " * 1_000_000})),
        "50 MB of one string": (100, orjson.dumps({"text": "x" * 50_000_000})),
    }


def result_of(body: bytes) -> RequestResult:
    """Return an answer with this body, parsed where it can be."""
    head = Head(200, b"OK", "HTTP/1.1", [(b"Content-Type", b"application/json")])
    result = RequestResult(request=RequestSent("GET", "http://h/", [], b""), head=head, body=body)
    result.json(default=None)
    return result


def main() -> None:
    """Measure each body."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    result_of(b'{"a":1}')._repr_mimebundle_()  # imports and the stylesheet
    print(f"{'':30}{'ms':>8}{'limit':>7}{'MiB more':>10}{'HTML KB':>9}")
    for title, (limit, body) in bodies().items():
        result = result_of(body)
        taken = []
        for _ in range(rounds):
            gc.collect()
            started = time.process_time()
            bundle = result._repr_mimebundle_()
            taken.append((time.process_time() - started) * 1000)
        tracemalloc.start()
        result._repr_mimebundle_()
        most = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        ms, size = statistics.median(taken), len(bundle["text/html"].encode()) / 1000
        mark = "" if ms <= limit and most < 8 and size <= 48 else "  <- over"
        print(f"{title:30}{ms:8.1f}{limit:7}{most:10.2f}{size:9.1f}{mark}", flush=True)


if __name__ == "__main__":
    main()
