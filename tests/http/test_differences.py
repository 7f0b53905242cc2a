"""Each line of the table of differences is true, and the documentation has it."""

from pathlib import Path

import httpx
import pytest
import trio
from differences import DIFFERENCES
from servers import FaultServer

import nbhttp

DOCS = Path(__file__).parents[2] / "docs" / "engines.md"


def client(engine: str, **options) -> nbhttp.AsyncHttpClient:
    return nbhttp.AsyncHttpClient(engine=engine, trust_env=False, timeout=10.0, **options)


def test_the_documentation_has_the_table() -> None:
    """Line by line."""
    text = DOCS.read_text("utf-8")
    for row in DIFFERENCES:
        assert f"| {row.what} | {row.httpx} | {row.direct} |" in text


@pytest.mark.parametrize(
    "options",
    [
        {"http2": True},
        {"proxy": "http://p"},
        {"transport": httpx.MockTransport(lambda _: httpx.Response(200))},
        {"mounts": {"all://": None}},
    ],
    ids="-".join,
)
def test_what_direct_refuses(options: dict) -> None:
    """The message names the option and the way out; "auto" and "httpx" take it."""
    with pytest.raises(nbhttp.ConfigError, match=f"cannot honour {next(iter(options))}="):
        client("direct", **options)
    client("httpx", **options)
    client("auto", **options)


def test_trio(fault: FaultServer) -> None:
    """Httpx runs there, and so does "auto"; direct says that it cannot."""

    async def main(engine: str) -> nbhttp.RequestResult:
        async with client(engine) as made:
            return await made.get(fault.url + "/echo")

    assert trio.run(main, "httpx").success
    assert trio.run(main, "auto").success
    with pytest.raises(nbhttp.ConfigError, match="trio is spoken by httpx only"):
        trio.run(main, "direct")


@pytest.mark.anyio
async def test_trace(engine: str, fault: FaultServer) -> None:
    """Only httpcore has such a callback."""
    names: list[str] = []

    async def trace(name: str, info: dict) -> None:
        names.append(name)

    async with client(engine) as made:
        assert (await made.get(fault.url + "/echo", extensions={"trace": trace})).success
    assert bool(names) == (engine == "httpx")


@pytest.mark.anyio
async def test_a_body_of_another_length_or_kind(engine: str, fault: FaultServer) -> None:
    """Too few or too many bytes are no request; a piece that is no bytes is the user's mistake."""
    async with client(engine) as made:
        for pieces in ([b"ab"], [b"abc", b"d"]):
            headers = {"Content-Length": "3"}
            r = await made.post(fault.url + "/upload", content=iter(pieces), headers=headers)
            assert type(r.exception) is nbhttp.ProtocolError, r
        with pytest.raises(TypeError):
            await made.post(fault.url + "/upload", content=iter(["text"]))
        assert (await made.get(fault.url + "/echo")).success
        assert made._state.gate.held == 0
