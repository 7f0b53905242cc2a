"""What logging costs a request: `python -m benchmarks.logging`.

Each figure is the best of several rounds, in microseconds on the thread that makes the request.
"""

import tempfile
import timeit
from pathlib import Path

from nbhttp._core.events import EventHub, RequestFinished, RequestStarted, everyone
from nbhttp.logs import LoggerManager

URL = "https://api.example.com/v1/items?page=2&per_page=100"
STARTED = RequestStarted("000001", "client-1", "GET", URL)
FINISHED = RequestFinished(
    request_id="000001",
    client="client-1",
    method="GET",
    url=URL,
    status_code=200,
    success=True,
    error=None,
    elapsed=0.153,
    received=1234,
    attempts=1,
    redirects=0,
    http_version="HTTP/1.1",
    engine="httpx",
    timing=None,
)


def best_us(statement, number=2000, rounds=7):
    """The best round's microseconds a call."""
    times = []
    for _ in range(rounds):
        times.append(timeit.timeit(statement, number=number) / number * 1e6)
        LoggerManager.flush()
    return min(times)


def request():
    """What a request tells those who listen."""
    everyone.emit(STARTED)
    everyone.emit(FINISHED)


def main():
    """Measure and print a table."""
    client_hub = EventHub(parent=everyone)
    rows = [("off: the question whether anybody listens", best_us(lambda: client_hub.is_heard), 1)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requests.jsonl"
        LoggerManager.configure(console=False, file=file)
        rows.append(("JSON file", best_us(request), 60))
        with LoggerManager.context(job="nightly", trace_id="4bf92f3577b34da6a3ce929d0e0e4736"):
            rows.append(("JSON file, two values bound", best_us(request), 60))
        log = LoggerManager.logger(job=1)
        rows.append(("JSON file, a line of the user", best_us(lambda: log.info("page done")), None))
        LoggerManager.configure("WARNING", console=False, file=file)
        rows.append(("JSON file, level WARNING", best_us(request), None))
        LoggerManager.shutdown()
    print(f"{'a request pays':44} {'us':>8} {'bound':>6}")
    for name, value, bound in rows:
        print(f"{name:44} {value:8.2f} {bound or '':>6}")


if __name__ == "__main__":
    main()
