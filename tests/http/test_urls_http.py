"""The host that is connected to is the host that a browser sees, or the URL is refused."""

import ipaddress
import json
from pathlib import Path

import httpx
import pytest

import nbhttp
from nbhttp._core.urls import join, parse

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "corpora" / "urls" / "urltestdata.jsonl")
    .read_text("utf-8")
    .split("\n")
    if line
]


def absolute(case: dict) -> bool:
    return case["input"].strip().lower().startswith(("http:", "https:"))


def same_host(ours: str, theirs: str) -> bool:
    theirs = theirs.strip("[]")
    if ":" in theirs:
        return ipaddress.ip_address(ours) == ipaddress.ip_address(theirs)
    return ours == theirs


HTTP = [c for c in CASES if c["class"] == "http" and absolute(c)]
REST = [c for c in CASES if c["class"] != "http" or not absolute(c)]


@pytest.mark.parametrize("case", HTTP, ids=[c["id"] for c in HTTP])
def test_the_host_is_the_browsers_or_the_url_is_refused(case: dict) -> None:
    """Two parsers that see two hosts would send credentials to the wrong one."""
    try:
        parsed = parse(case["input"])
    except nbhttp.ConfigError:
        return
    assert same_host(parsed.origin.host, case["hostname"])
    port = int(case["port"] or {"http:": 80, "https:": 443}[case["protocol"]])
    assert parsed.origin.port == port
    assert parsed.origin.scheme + ":" == case["protocol"]
    shown = repr(httpx.Request("GET", parsed.url)) + parsed.text
    if case.get("password"):
        assert f":{case['password']}@" not in shown


@pytest.mark.parametrize("case", REST, ids=[c["id"] for c in REST])
def test_no_url_is_another_exception(case: dict) -> None:
    """What is no http URL is refused in one way, alone and below a base."""
    for base in ("", "http://base.example/v1"):
        try:
            parsed = join(base, case["input"])
        except nbhttp.ConfigError:
            continue
        hosts = {case.get("hostname", ""), "base.example"}
        if case.get("failure") or not base:
            assert base or parsed.origin.host
            continue
        assert any(same_host(parsed.origin.host, host) for host in hosts if host)


BASES = [
    "http://h",
    "http://h/",
    "http://h/v1",
    "http://h/v1/",
    "http://h/v%201/x",
    "https://h:8443/a",
]
PATHS = [
    "", "/", "x", "/x", "x/", "/x/y?z=1", "?q=1", "//x", "x y", "/ü", "%2F", "../x", "./x",
    "x#frag", "x?a=1#f", "http://other/x", "HTTPS://Other/x", "x:1", "/x:1", "x//y", "a?b/c",
]  # fmt: skip


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("path", PATHS)
def test_base_url_joins_as_in_httpx(base: str, path: str) -> None:
    """Appended, never resolved: "/x" below ".../v1" is ".../v1/x"."""
    request = httpx.AsyncClient(base_url=base, trust_env=False).build_request("GET", path)
    expected = request.url.copy_with(fragment=None)
    try:
        ours = join(base, path)
    except nbhttp.ConfigError:
        assert path == "//x"  # httpx drops the host that it names
        return
    if path == "x:1":  # httpx drops what stands before the colon
        assert ours.text == f"{base.rstrip('/')}/x:1"
        return
    assert ours.text == str(expected)
    assert ours.target == expected.raw_path
