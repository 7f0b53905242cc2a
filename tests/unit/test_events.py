"""Events: frozen, redacted, in order, and harmless."""

import dataclasses
import logging

import httpx
import pytest

import nbhttp
from nbhttp._core import events
from nbhttp._core.events import EventHub, RequestFinished, RequestStarted, everyone


def test_subscribers_are_told_in_order_until_they_leave() -> None:
    """The same function may subscribe twice; leaving twice does nothing."""
    hub, seen = EventHub(), []
    leave = [hub.subscribe(lambda event, i=i: seen.append((i, event))) for i in range(3)]
    hub.emit("a")
    leave[1]()
    leave[1]()
    hub.emit("b")
    assert seen == [(0, "a"), (1, "a"), (2, "a"), (0, "b"), (2, "b")]
    assert hub.is_heard
    leave[0]()
    leave[2]()
    assert not hub.is_heard


def test_a_failing_subscriber_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """The others hear on; the log has one line without a secret."""
    hub, seen = EventHub(), []

    def broken(event: object) -> None:
        raise LookupError("password=hunter2-hunter2")

    hub.subscribe(broken)
    hub.subscribe(seen.append)
    with caplog.at_level(logging.ERROR, "nbhttp"):
        hub.emit(1)
        hub.emit(2)
    assert seen == [1, 2]
    assert len(caplog.records) == 1
    assert "broken" in caplog.text
    assert "hunter2" not in caplog.text
    with pytest.raises(TypeError, match="a function of one event"):
        hub.subscribe(3)  # type: ignore[arg-type]


def test_each_failing_subscription_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes where another was in memory."""
    said: list[str] = []  # a log that is captured keeps what it is about from being freed
    monkeypatch.setattr(events._log, "error", lambda text, *args: said.append(text % args))
    hub = EventHub()

    def broken(event: object) -> None:
        raise LookupError

    for _ in range(20):
        leave = hub.subscribe(broken)
        hub.emit(1)
        leave()
        del leave
    assert len(said) == 20


@pytest.mark.anyio
async def test_each_call_starts_and_finishes_once() -> None:
    """Success, failure, cancellation and a bug in a mock: one end for each beginning."""

    def app(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/fail":
            raise httpx.ConnectError("no", request=request)
        if request.url.path == "/bug":
            raise LookupError("bug")
        return httpx.Response(404 if request.url.path == "/404" else 200, text="ok")

    seen: list = []
    heard_by_all: list = []
    leave = everyone.subscribe(heard_by_all.append)
    async with nbhttp.AsyncHttpClient(transport=httpx.MockTransport(app), name="mine") as client:
        client.subscribe(seen.append)
        for path in ("/ok?token=abcdefgh", "/404", "/fail"):
            await client.get("http://h" + path)
        with pytest.raises(LookupError):
            await client.get("http://h/bug")
    leave()
    assert heard_by_all == seen
    starts = [e for e in seen if isinstance(e, RequestStarted)]
    ends = [e for e in seen if isinstance(e, RequestFinished)]
    assert [e.request_id for e in starts] == [e.request_id for e in ends]
    assert len({e.request_id for e in starts}) == 4
    assert [e.status_code for e in ends] == [200, 404, None, None]
    assert [e.success for e in ends] == [True, False, False, False]
    assert "abcdefgh" not in repr(starts)
    assert ends[3].error == "LookupError: bug"
    assert all(e.client == "mine" and e.elapsed >= 0 for e in ends)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ends[0].url = "x"
