"""Time limits: the whole attempt, its phases, the queue."""

import anyio
import anyio.lowlevel
import httpx
import pytest
from servers import FaultServer
from servers.counting import CountingServer

import nbhttp

pytestmark = pytest.mark.anyio

LIMIT_S = 0.5
SLOW = [
    ("/conn/stall", "waiting for the first byte"),
    ("/conn/dripheaders?ms=30&pad=900", "receiving the answer"),
    ("/file/a/90000?drip=30", "receiving the answer"),
    ("/file/a/1000?stall=500", "receiving the answer"),
    ("/echo?delay=30000", "waiting for the first byte"),
    ("/redirect/to?url=/conn/stall", "waiting for the first byte"),
    ("/redirect/loop?delay=100", ""),
]


@pytest.mark.parametrize(("path", "phase"), SLOW, ids=[row[0] for row in SLOW])
async def test_the_total_ends_every_kind_of_slowness(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, path: str, phase: str
) -> None:
    """Seconds are a limit for the attempt, however steadily bytes drip in."""
    assert (await client.get(fault.url + "/echo")).success  # to connect takes its time, too
    r = await client.get(fault.url + path, timeout=LIMIT_S)
    assert type(r.exception) is nbhttp.TimeoutError
    assert isinstance(r.exception, TimeoutError)
    assert f"the limit of {LIMIT_S:g} s passed while {phase}" in (r.error or "")
    assert r.hint
    assert r.elapsed >= LIMIT_S * 0.5
    assert r.timing.total <= r.elapsed * 1.05
    assert (await client.get(fault.url + "/echo")).success


async def test_a_black_hole_ends(client: nbhttp.AsyncHttpClient, fault: FaultServer) -> None:
    """A server that accepts and never says a word, plain or where TLS is expected."""
    assert not await client.get(fault.tls_url)  # to load the authorities takes its time, too
    for url, phase in (
        (fault.blackhole_url, "waiting for the first byte"),
        (fault.blackhole_url.replace("http", "https"), "in the TLS handshake"),
    ):
        r = await client.get(url, timeout=LIMIT_S)
        assert type(r.exception) is nbhttp.TimeoutError
        assert f"the limit of {LIMIT_S:g} s passed while {phase}" in (r.error or "")


async def test_a_slow_body_upload_ends(client: nbhttp.AsyncHttpClient, fault: FaultServer) -> None:
    """The total also ends a request that cannot be sent."""

    async def endless():
        while True:
            yield b"x" * 65536

    r = await client.post(fault.blackhole_url, content=endless(), timeout=LIMIT_S)
    assert type(r.exception) is nbhttp.TimeoutError
    assert "sending the request" in (r.error or "")


async def test_httpx_timeouts_limit_the_phases(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """An httpx.Timeout has no total: a dripping body passes, a stall does not."""
    r = await client.get(fault.url + "/file/a/192?drip=100", timeout=httpx.Timeout(30, read=1))
    assert r.success, r.error
    assert r.elapsed > 1
    limits = httpx.Timeout(30, read=LIMIT_S)
    r = await client.get(fault.url + "/conn/stall", timeout=limits)
    assert type(r.exception) is nbhttp.TimeoutError
    assert f"the limit of {LIMIT_S:g} s passed while waiting" in (r.error or "")
    r = await client.get(fault.url + "/file/a/1000?stall=500", timeout=limits)
    assert f"the limit of {LIMIT_S:g} s passed while receiving" in (r.error or "")
    r = await client.get(fault.url + "/conn/stall", timeout=(None, LIMIT_S, None, None))
    assert type(r.exception) is nbhttp.TimeoutError


async def test_no_limit_waits(client: nbhttp.AsyncHttpClient, fault: FaultServer) -> None:
    """None and infinity are no limit."""
    for timeout in (None, float("inf"), httpx.Timeout(None)):
        assert (await client.get(fault.url + "/echo?delay=50", timeout=timeout)).success


async def test_the_queue_has_its_own_limit(make_client, counting: CountingServer) -> None:
    """Waiting for one of `max_connections` does not count, but `pool` bounds it."""
    client = make_client(counting.url, max_connections=1)
    results: dict[str, nbhttp.RequestResult] = {}

    async def ask(path: str, **options) -> None:
        results[path] = await client.get(path, **options)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "/held")
        await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.in_flight == 1)
        group.start_soon(lambda: ask("/ok?queued", timeout=LIMIT_S))
        while not client._state.gate.queued:
            await anyio.lowlevel.checkpoint()
        # The queued one came before and so waits longer than its limit.
        await ask("/ok?bounded", timeout=httpx.Timeout(30, pool=LIMIT_S * 1.2))
        counting.release()
    assert results["/ok?queued"].success
    assert results["/ok?queued"].timing.queue > LIMIT_S
    bounded = results["/ok?bounded"]
    assert type(bounded.exception) is nbhttp.TimeoutError
    assert "the limit of 0.6 s passed while waiting for a free connection" in (bounded.error or "")
    assert "max_connections" in (bounded.hint or "")
    assert counting.requests == ["/held", "/ok?queued"]
    assert client._state.gate.held == 0


async def test_timing_says_where_the_time_went(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """Each phase in seconds; they add up to no more than the whole."""
    first = await client.get(fault.url + "/echo?delay=200")
    again = await client.get(fault.url + "/echo?delay=200")
    for r in (first, again):
        assert all(isinstance(seconds, float) for seconds in r.timing)
        assert r.timing.wait > 0.1
        assert r.timing.tls == 0.0
        assert 0.1 < r.timing.total <= r.elapsed * 1.05
        assert isinstance(r.elapsed, float)
    assert first.timing.connect > 0
    assert again.timing.connect == 0.0
    drip = await client.get(fault.url + "/file/a/160?drip=60")
    assert drip.timing.receive > 0.1


async def test_tls_is_timed(make_client, fault: FaultServer) -> None:
    """The handshake has its own phase."""
    client = make_client(verify=str(fault.ca_file))
    r = await client.get(fault.tls_url + "/echo")
    assert r.timing.tls > 0
    assert (await client.get(fault.tls_url + "/echo")).timing.tls == 0.0


async def test_cancelling_closes_the_connection(make_client, fault: FaultServer) -> None:
    """A cancelled call raises nothing of ours, gives its slot back and leaves no connection."""
    client = make_client(max_connections=1)
    for path in ("/conn/stall", "/file/a/1000?stall=500", "/conn/dripheaders?ms=50"):
        with anyio.move_on_after(0.1) as scope:
            await client.get(fault.url + path)
        assert scope.cancelled_caught
        assert client._state.gate.held == 0
        with anyio.fail_after(30):
            while client._state.engines.connections:
                await anyio.lowlevel.checkpoint()  # the transport closes a moment later
    assert (await client.get(fault.url + "/echo")).success
