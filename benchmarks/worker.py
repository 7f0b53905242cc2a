"""One measurement in a process of its own: `python -m benchmarks.worker PEER JOB`."""

import asyncio
import json
import resource
import sys
import time
from types import SimpleNamespace

from benchmarks.peers import PEERS


def cpu_s():
    """Seconds of CPU that this process has used, in user and kernel mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def figures(job, started, cpu):
    """What one measured run took."""
    return {
        "wall_us": (time.perf_counter() - started) / job.requests * 1e6,
        "cpu_us": (cpu_s() - cpu) / job.requests * 1e6,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def measure_async(function, job):
    """Warm up, then measure."""
    async with function(job) as run:
        await run(job.warm_up)
        started, cpu = time.perf_counter(), cpu_s()
        await run(job.requests)
        return figures(job, started, cpu)


def measure_sync(function, job):
    """Warm up, then measure."""
    with function(job) as run:
        run(job.warm_up)
        started, cpu = time.perf_counter(), cpu_s()
        run(job.requests)
        return figures(job, started, cpu)


def main():
    """Measure the peer named on the command line and print the figures as JSON."""
    function, loop = PEERS[sys.argv[1]]
    job = SimpleNamespace(**json.loads(sys.argv[2]))
    if loop is None:
        result = measure_sync(function, job)
    elif loop == "uvloop":
        import uvloop

        result = uvloop.run(measure_async(function, job))
    else:
        result = asyncio.run(measure_async(function, job))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
