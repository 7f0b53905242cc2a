"""How exactly a limit of one second ends a call: `python -m benchmarks.timeouts`.

Prints the seconds that each kind of slowness took under `timeout=1`; they should be 1.0 ± 0.25.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import make_tls_files, running_fault_server

import nbhttp

PATHS = (
    "/conn/stall",
    "/conn/dripheaders?ms=50",
    "/file/a/90000?drip=30",
    "/file/a/1000?stall=500",
)


async def measure(urls: list[str]) -> None:
    """Ask each URL over both engines."""
    for engine in ("httpx", "direct"):
        async with nbhttp.AsyncHttpClient(engine=engine, trust_env=False, timeout=1.0) as client:
            for url in urls:
                started = time.perf_counter()
                result = await client.get(url)
                seconds = time.perf_counter() - started
                mark = "" if abs(seconds - 1) <= 0.25 else "  <- off"
                print(f"{engine:7} {seconds:6.3f} s  {result.error}{mark}")


def main() -> None:
    """Start the fault server and measure."""
    with tempfile.TemporaryDirectory() as folder:
        tls = make_tls_files(Path(folder))
        with running_fault_server(tls) as server:
            asyncio.run(measure([*(server.url + path for path in PATHS), server.blackhole_url]))


if __name__ == "__main__":
    main()
