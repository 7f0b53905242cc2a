"""`map` over real servers: both faces, both engines, and nothing sent twice."""

import asyncio
import threading

import httpx
import pytest

import nbhttp

pytestmark = pytest.mark.anyio


def paths(fault):
    return [entry["path"] for entry in fault.log()]


async def test_results_are_in_order_and_failures_are_among_them(fault, client):
    """A dead host and a bad status are results in their place."""
    urls = [f"{fault.url}/echo?n={n}" for n in range(40)]
    urls[7] = f"{fault.url}/status/503"
    urls[9] = fault.refuse_url
    results = await client.map(urls, concurrency=8)
    assert len(results) == 40
    assert [i for i, r in enumerate(results) if not r] == [7, 9]
    assert results[7].status_code == 503
    assert results[9].status_code is None
    assert results[9].hint
    assert results[39].url.endswith("n=39")


async def test_requests_may_be_urls_tuples_or_mappings(fault, client):
    """Each form says what to send."""
    results = await client.map(
        [
            f"{fault.url}/echo",
            httpx.URL(f"{fault.url}/echo?b=1"),
            ("DELETE", f"{fault.url}/echo"),
            ("POST", f"{fault.url}/echo", {"json": {"a": 1}}),
            {"url": f"{fault.url}/echo", "method": "PUT", "content": b"x", "params": {"c": 2}},
        ]
    )
    assert [r.json()["method"] for r in results] == ["GET", "GET", "DELETE", "POST", "PUT"]
    assert results[4].url.endswith("/echo?c=2")


async def test_each_request_is_sent_once(fault, client):
    """Redirects, challenges and cookies continue from the answer that came."""
    auth = httpx.DigestAuth("u", "p")
    await client.map(
        [
            f"{fault.url}/redirect/2",
            {"url": f"{fault.url}/auth/basic/u/p", "auth": ("u", "p")},
            {"url": f"{fault.url}/cookies?set=a%3D1"},
            {"url": f"{fault.url}/echo?digest", "auth": auth},
        ],
        concurrency=1,
    )
    seen = paths(fault)
    assert len(seen) == len(set(seen)), seen


async def test_hooks_and_iterables_run_on_the_callers_loop(fault, make_client):
    """The work is done elsewhere; the user's code is not."""
    here = threading.get_ident()
    seen = set()

    async def hook(_):
        seen.add(threading.get_ident())
        assert asyncio.get_running_loop()

    def urls():
        for n in range(20):
            seen.add(threading.get_ident())
            yield f"{fault.url}/echo?n={n}"

    client = make_client(event_hooks={"request": [hook], "response": [hook]})
    results = await client.map(urls(), concurrency=4)
    assert len(results.ok) == 20
    assert seen == {here}


async def test_the_loop_that_waits_stays_free(counting, client):
    """Other tasks of the caller's loop go on meanwhile: one of them lets the answers come."""
    mapping = asyncio.create_task(client.map([f"{counting.url}/held"] * 2, concurrency=2))
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 2)
    counting.release()
    assert len((await mapping).ok) == 2


async def test_no_more_than_max_connections_at_once(fault, make_client):
    """The client's own bound holds whatever the concurrency."""
    client = make_client(max_connections=3)
    results = await client.map([f"{fault.url}/limit/3?ms=20"] * 30, concurrency=30)
    assert len(results.ok) == 30


async def test_a_list_is_checked_before_anything_is_sent(fault, client):
    """One bad URL among many is refused at once, and named."""
    urls = [f"{fault.url}/echo"] * 20 + ["htp://typo"]
    with pytest.raises(nbhttp.ConfigError, match="htp") as caught:
        await client.map(urls)
    assert caught.value.__notes__ == ["it is requests[20], of 21; nothing was sent"]
    assert paths(fault) == []


@pytest.mark.parametrize(
    ("requests", "concurrency", "error"),
    [
        ("http://one", 32, TypeError),
        (17, 32, TypeError),
        ([17], 32, TypeError),
        ([{"method": "GET"}], 32, TypeError),
        ([("GET",)], 32, TypeError),
        ([], 0, nbhttp.ConfigError),
        ([], "many", TypeError),
    ],
)
async def test_misuse_is_refused(client, requests, concurrency, error):
    """What is no list of requests, or no number, is refused with its value."""
    with pytest.raises(error):
        await client.map(requests, concurrency=concurrency)


async def test_a_bad_item_of_a_generator_keeps_what_had_come(fault, client):
    """Nothing that had finished is lost."""

    def urls():
        for n in range(10):
            yield f"{fault.url}/echo?n={n}"
        yield "no-scheme"

    with pytest.raises(nbhttp.ConfigError) as caught:
        await client.map(urls(), concurrency=1)
    assert len(caught.value.results.ok) == 10


@pytest.mark.parametrize("end", ["an error", "cancellation"])
async def test_an_async_generator_is_closed_when_a_map_ends_early(fault, client, end):
    """What it holds is given back on the loop that it runs on, and before the map returns."""
    closed_on = []
    loop = asyncio.get_running_loop()

    async def urls():
        try:
            yield ("GET",) if end == "an error" else f"{fault.url}/conn/stall?s=30"
            yield f"{fault.url}/echo"
        finally:
            await asyncio.sleep(0)
            closed_on.append(asyncio.get_running_loop())

    task = asyncio.create_task(client.map(urls(), concurrency=1))
    if end == "cancellation":
        while not paths(fault):
            await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(TypeError if end == "an error" else asyncio.CancelledError):
        await task
    assert closed_on == [loop]


async def test_cancelling_crosses_over_and_leaves_nothing(fault, client):
    """The requests end on the server too, and the client stays usable."""
    running = asyncio.create_task(client.map([f"{fault.url}/conn/stall?s=30"] * 8, concurrency=8))
    while (
        fault.stats()["main"]["requests"] < 8 if "main" in fault.stats() else len(paths(fault)) < 8
    ):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await running
    assert len(caught.value.results) == 0
    assert client._state.gate.held == 0
    assert (await client.get(f"{fault.url}/echo")).success


async def test_cancel_all_ends_a_map(fault, client):
    """From any thread."""
    running = asyncio.create_task(client.map([f"{fault.url}/conn/stall?s=30"] * 4))
    while len(paths(fault)) < 4:
        await asyncio.sleep(0.01)
    threading.Thread(target=client.cancel_all).start()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_the_sync_face_maps(fault, engine):
    """The same from sync code, generators in the calling thread."""
    here = threading.get_ident()

    def urls():
        for n in range(30):
            assert threading.get_ident() == here
            yield f"/echo?n={n}"

    with nbhttp.HttpClient(fault.url, engine=engine) as client:
        results = client.map(urls(), concurrency=5)
    assert [r.json()["method"] for r in results] == ["GET"] * 30


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_maps(fault):
    """Awaited from trio, it runs on nbhttp's own loop."""
    async with nbhttp.AsyncHttpClient(fault.url) as client:
        results = await client.map([f"/echo?n={n}" for n in range(10)])
        assert len(results.ok) == 10
        assert {r.engine for r in results} == {"direct"}
        assert {r.engine_reason for r in results} == {"a bulk goes over the direct engine"}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_custom_transport_serves_on_the_callers_loop(anyio_backend):
    """The user's transport is never moved to another loop."""
    here = threading.get_ident()
    threads = set()

    def handle(request):
        threads.add(threading.get_ident())
        return httpx.Response(200, json={"path": request.url.path})

    async with nbhttp.AsyncHttpClient("http://h", transport=httpx.MockTransport(handle)) as client:
        results = await client.map([f"/{n}" for n in range(5)])
    assert [r.json()["path"] for r in results] == [f"/{n}" for n in range(5)]
    assert threads == {here}
