"""What redaction costs: `python -m benchmarks.redaction` prints a table.

Processor time, the best of several rounds. "First" takes a new URL, message and header fields
where they differ between requests (the redactor remembers short texts), "again" the same ones.
"""

import json
import random
import time
from base64 import b64encode
from collections.abc import Callable

from nbhttp.redaction import redact_headers, redact_text, redact_url, register

MIB = 2**20
REQUEST = [
    ("host", "api.example.com"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("connection", "keep-alive"),
    ("user-agent", "nbhttp/0.1"),
    ("authorization", "Bearer abcdefghijklmnop"),
    ("x-request-id", "0b5f8f2e-6f0a-4a4b-9a35-0f7d7f6a9a11"),
]
RESPONSE = [
    ("date", "Mon, 24 Nov 2025 04:10:00 GMT"),
    ("content-type", "application/json; charset=utf-8"),
    ("cache-control", "private, max-age=60"),
    ("x-ratelimit-remaining", "4999"),
    ("server", "nginx"),
    ("vary", "Accept-Encoding"),
    ("set-cookie", "sid=abc123; Path=/; HttpOnly"),
]
RECORD = {
    "uuid": "0b5f8f2e-6f0a-4a4b-9a35-0f7d7f6a9a11",
    "name": "Steven Universe",
    "email": "steven@example.com",
    "url": "https://api.example.com/users/1?page=1",
    "created_at": "2025-11-24T04:10:00Z",
    "tags": ["alpha", "beta"],
    "is_admin": False,
    "key": "value",
    "bio": "The quick brown fox jumps over the lazy dog, and so on.",
}


def best_s(action: Callable[[int], object], times: int) -> float:
    best = float("inf")
    for turn in range(7):
        start = time.process_time()
        for i in range(times):
            action(turn * times + i)
        best = min(best, (time.process_time() - start) / times)
    return best


def one_request(i: int) -> None:
    number = f"{i:08}"
    redact_url(f"https://api.example.com/v1/users/{number}/items?page=2&per_page=100&sort=created")
    redact_headers([*REQUEST[:-1], ("x-request-id", number)])
    varying = [("x-request-id", number), ("etag", f'W/"{number}"'), ("content-length", number)]
    redact_headers([*RESPONSE, *varying])
    redact_text(f"GET https://api.example.com/v1/users/{number} failed: connection refused")


def previews() -> dict[str, str]:
    noise = random.Random(1).randbytes(MIB)
    texts = {
        "JSON": json.dumps([{"id": i, **RECORD} for i in range(4000)]),
        "JSON, indented": json.dumps([{"id": i, **RECORD} for i in range(4000)], indent=2),
        "prose": "Lorem ipsum dolor sit amet, consectetur; see https://example.org/a?b=c. " * 20000,
        "HTML": '<div class="item-row" id="x1"><a href="/a/b?c=d&amp;e=f">text</a></div>\n' * 20000,
        "base64": b64encode(noise).decode(),
        "Cyrillic": "Приветствие мир, как дела; " * 50000,
    }
    return {name: text[:MIB] for name, text in texts.items()}


def main() -> None:
    print(f"{'':34}{'no values':>12}{'3 values':>12}")
    rows: dict[str, list[str]] = {}
    for round_ in range(2):
        if round_:
            for value in ("s3cr3t-value-1234567890", "hunter2hunter2+/x", "user:hunter2hunter2"):
                register(value)
        first, again = best_s(one_request, 500), best_s(lambda _: one_request(1), 500)
        rows.setdefault("one request's strings, first", []).append(f"{first * 1e6:.1f} µs")
        rows.setdefault("one request's strings, again", []).append(f"{again * 1e6:.1f} µs")
        for name, text in previews().items():
            taken = best_s(lambda _, text=text: redact_text(text), 1)
            rows.setdefault(f"1 MiB of {name}", []).append(f"{taken * 1e3:.1f} ms")
    for name, cells in rows.items():
        print(f"{name:34}{cells[0]:>12}{cells[1]:>12}")


if __name__ == "__main__":
    main()
