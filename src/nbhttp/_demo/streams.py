"""Streams to watch: Server-Sent Events, tokens of an assistant, a log."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nbhttp._demo.data import START, iso
from nbhttp._demo.replies import integer, number
from nbhttp._demo.table import Group

__all__ = ["group"]

group = Group("Streams", "Answers that go on for a while.")

ANSWER = (
    "Most trips start before nine in the morning, and the shortest way to a free bike is rarely "
    "the nearest station. Try Lantern Street: it has thirty-two docks, a roof, and **eleven "
    "bikes** right now. Have a good ride!"
)
LOG_LINES = (
    "INFO dock 4 at Herring Quay Steps released bike {bike}",
    "INFO bike {bike} returned at Mill Road Square",
    "WARNING bike {bike} reports battery below 15 %",
    "INFO van 2 moved 6 bikes to University",
    "ERROR dock 11 at Ferry Road Stop does not answer",
)


def event(data: object, *, event_id: int | None = None, kind: str | None = None) -> bytes:
    """Return one event in the format of the HTML standard, section 9.2.6."""
    head = ("" if event_id is None else f"id: {event_id}\n") + (f"event: {kind}\n" if kind else "")
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    return f"{head}data: {text}\n\n".encode()


def event_stream(events: AsyncIterator[bytes]) -> Response:
    """Answer with events."""
    return StreamingResponse(
        events, headers={"Cache-Control": "no-store"}, media_type="text/event-stream"
    )


def departure(count: int) -> dict[str, object]:
    """Return the n-th event of the ticker: what happened at which station."""
    chance = random.Random(count)  # noqa: S311 - the same event every time
    return {
        "station_id": chance.randint(1, 240),
        "bike_id": chance.randint(1, 450),
        "kind": chance.choice(("hired", "returned")),
        "at": iso(START + timedelta(seconds=13 * count)),
    }


@group.answers(
    "GET /streams/ticker",
    "Server-Sent Events with ids; resumes after Last-Event-ID, 204 at the end.",
    sample="/streams/ticker?events=3&interval=0",
    events="the last event's number; 10 when left out",
    interval="seconds between events; 0.1 when left out",
    drop="ends each connection after so many events; never when left out",
)
async def ticker(request: Request) -> Response:
    """Stream events; 204 tells a client not to come back."""
    last = integer(request, "events", 10)
    interval_s = number(request, "interval", 0.1)
    drop = integer(request, "drop", last)
    seen = request.headers.get("last-event-id", "")
    first = int(seen) + 1 if seen.isdecimal() else 1
    if first > last:
        return Response(status_code=204)

    async def events() -> AsyncIterator[bytes]:
        yield b": harbour bikes, live\nretry: 100\n\n"
        for count in range(first, min(last, first + drop - 1) + 1):
            yield event(departure(count), event_id=count, kind="dock")
            await anyio.sleep(interval_s)

    return event_stream(events())


@group.answers("POST /streams/assistant", "The same for a prompt in the body.")
@group.answers(
    "GET /streams/assistant",
    "An answer in tokens, as language models stream it; ends with [DONE].",
    sample="/streams/assistant?interval=0",
    interval="seconds between tokens; 0.02 when left out",
)
async def assistant(request: Request) -> Response:
    """Stream an answer word by word."""
    interval_s = number(request, "interval", 0.02)
    words = ANSWER.split(" ")

    async def tokens() -> AsyncIterator[bytes]:
        for index, word in enumerate(words):
            text = word if index == 0 else f" {word}"
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            yield event({"id": "answer-1", "object": "chat.completion.chunk", "choices": [choice]})
            await anyio.sleep(interval_s)
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield event({"id": "answer-1", "object": "chat.completion.chunk", "choices": [end]})
        yield event("[DONE]")

    return event_stream(tokens())


@group.answers(
    "GET /streams/log",
    "Lines of a log, as plain text.",
    sample="/streams/log?lines=5&interval=0",
    lines="how many; 20 when left out",
    interval="seconds between lines; 0.1 when left out",
)
async def log(request: Request) -> Response:
    """Stream lines."""
    count, interval_s = integer(request, "lines", 20), number(request, "interval", 0.1)

    async def lines() -> AsyncIterator[str]:
        for line_number in range(1, count + 1):
            moment = iso(START + timedelta(seconds=5 * line_number))
            line = LOG_LINES[line_number * 7 % len(LOG_LINES)].format(
                bike=line_number * 7919 % 450 + 1
            )
            yield f"{moment} {line}\n"
            await anyio.sleep(interval_s)

    return StreamingResponse(lines(), media_type="text/plain")
