"""How each client does the same work; every function is run in a fresh process.

A function takes the job (url, requests, in_flight, ca_file) and returns a callable that does the
work once; it is called for a warm-up first.
"""

import asyncio
import contextlib
import ssl
from concurrent.futures import ThreadPoolExecutor

PEERS = {}


def peer(name, *, loop=None):
    """Register a client; `loop` is "asyncio" or "uvloop" for an async one."""

    def register(function):
        PEERS[name] = (function, loop)
        return function

    return register


async def spread(work, number, in_flight):
    """Do `work()` `number` times, `in_flight` at once."""
    left = iter(range(number))

    async def worker():
        for _ in left:
            await work()

    await asyncio.gather(*[worker() for _ in range(in_flight)])


@peer("nbhttp map", loop="asyncio")
@contextlib.asynccontextmanager
async def nbhttp_map(job):
    import nbhttp

    verify = job.ca_file or True
    async with nbhttp.AsyncHttpClient(max_connections=job.in_flight, verify=verify) as client:

        async def run(number):
            results = await client.map([job.url] * number, concurrency=job.in_flight)
            assert len(results.ok) == number, results.failed[0]

        yield run


@peer("nbhttp gather", loop="asyncio")
@contextlib.asynccontextmanager
async def nbhttp_gather(job):
    import nbhttp

    async with nbhttp.AsyncHttpClient(max_connections=job.in_flight) as client:

        async def run(number):
            results = await asyncio.gather(*[client.get(job.url) for _ in range(number)])
            assert all(results)

        yield run


def _httpx_like(name, module_name):
    @peer(f"{name} gather", loop="asyncio")
    @contextlib.asynccontextmanager
    async def gather(job):
        import importlib

        module = importlib.import_module(module_name)
        limits = module.Limits(
            max_connections=job.in_flight, max_keepalive_connections=job.in_flight
        )
        async with module.AsyncClient(
            limits=limits, timeout=300, verify=_context(job) or True
        ) as client:

            async def one():
                response = await client.get(job.url)
                assert response.status_code == 200

            async def run(number):
                # As many as may be in flight: the pool's queue is measured apart.
                await spread(one, number, job.in_flight)

            yield run

    @peer(f"{name} all queued", loop="asyncio")
    @contextlib.asynccontextmanager
    async def queued(job):
        import importlib

        module = importlib.import_module(module_name)
        limits = module.Limits(
            max_connections=job.in_flight, max_keepalive_connections=job.in_flight
        )
        async with module.AsyncClient(limits=limits, timeout=300) as client:

            async def run(number):
                responses = await asyncio.gather(*[client.get(job.url) for _ in range(number)])
                assert all(r.status_code == 200 for r in responses)

            yield run


_httpx_like("httpx", "httpx")
_httpx_like("httpx2", "httpx2")


@contextlib.asynccontextmanager
async def _aiohttp(job):
    import aiohttp

    connector = aiohttp.TCPConnector(limit=job.in_flight, ssl=_context(job) or True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one():
            async with session.get(job.url) as response:
                assert response.status == 200
                await response.read()

        async def run(number):
            await spread(one, number, job.in_flight)

        yield run


peer("aiohttp", loop="asyncio")(_aiohttp)
peer("aiohttp + uvloop", loop="uvloop")(_aiohttp)


@peer("pyreqwest + uvloop", loop="uvloop")
@contextlib.asynccontextmanager
async def pyreqwest(job):
    from pathlib import Path

    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().max_connections(job.in_flight)
    if job.ca_file:
        builder = builder.add_root_certificate_pem(Path(job.ca_file).read_bytes())
    async with builder.build() as client:

        async def one():
            response = await client.get(job.url).build().send()
            assert response.status == 200
            await response.bytes()

        async def run(number):
            await spread(one, number, job.in_flight)

        yield run


@peer("niquests", loop="asyncio")
@contextlib.asynccontextmanager
async def niquests(job):
    import niquests

    async with niquests.AsyncSession(
        pool_connections=job.in_flight, pool_maxsize=job.in_flight
    ) as session:

        async def one():
            response = await session.get(job.url)
            assert response.status_code == 200

        async def run(number):
            await spread(one, number, job.in_flight)

        yield run


@peer("requests + threads")
@contextlib.contextmanager
def requests_threads(job):
    import requests

    with requests.Session() as session, ThreadPoolExecutor(job.in_flight) as pool:
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=job.in_flight)
        session.mount("http://", adapter)

        def one(_):
            assert session.get(job.url).status_code == 200

        yield lambda number: list(pool.map(one, range(number)))


@peer("nbhttp sync direct")
@contextlib.contextmanager
def nbhttp_sync_direct(job):
    import nbhttp

    with nbhttp.HttpClient(engine="direct") as client:
        yield lambda number: [_ok(client.get(job.url)) for _ in range(number)]


@peer("nbhttp sync")
@contextlib.contextmanager
def nbhttp_sync(job):
    import nbhttp

    with nbhttp.HttpClient() as client:
        yield lambda number: [_ok(client.get(job.url)) for _ in range(number)]


@peer("requests")
@contextlib.contextmanager
def requests_loop(job):
    import requests

    with requests.Session() as session:
        yield lambda number: [_ok(session.get(job.url)) for _ in range(number)]


@peer("httpx sync")
@contextlib.contextmanager
def httpx_sync(job):
    import httpx

    with httpx.Client() as client:
        yield lambda number: [_ok(client.get(job.url)) for _ in range(number)]


@peer("nbhttp json")
@contextlib.contextmanager
def nbhttp_json(job):
    from nbhttp._engines.base import Head
    from nbhttp.result import RequestResult, RequestSent
    from nbhttp.types import UNSET

    body = _document(job.size)
    sent = RequestSent("GET", "http://h/", [], b"")
    head = Head(200, b"OK", "HTTP/1.1", [(b"Content-Type", b"application/json")])

    result = RequestResult(request=sent, head=head, body=body)

    def run(number):
        for _ in range(number):
            result._json = UNSET  # json() parses once: forget it
            result.json()

    yield run


@peer("httpx json")
@contextlib.contextmanager
def httpx_json(job):
    import httpx

    body = _document(job.size)
    response = httpx.Response(200, headers={"Content-Type": "application/json"}, content=body)

    def run(number):
        for _ in range(number):
            response.json()

    yield run


def _document(size):
    """JSON of about `size` bytes: records as APIs send them."""
    import json

    records = [
        {
            "id": n,
            "name": f"Station {n}",
            "location": {"lat": 54.3 + n / 1e5, "lon": 10.1 - n / 1e5},
            "tags": ["covered", "charging"],
            "online": n % 3 == 0,
            "note": None,
        }
        for n in range(max(size // 145, 1))
    ]
    return json.dumps(records).encode()


def _ok(response):
    assert response.status_code == 200


def _context(job):
    return ssl.create_default_context(cafile=job.ca_file) if job.ca_file else None
