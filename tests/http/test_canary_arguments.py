"""A secret in the wrong argument: no refusal shows it."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import Canaries, Outputs

import nbhttp

pytestmark = pytest.mark.slow

NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens
# What else a call needs to come as far as the argument in question.
NEEDED = {
    "url": NOBODY,
    "method": "GET",
    "save_path": "a.bin",
    "directory": "files",
    "items": [],
    "requests": [],
    "iterator": [],
    "name": "X-Some-Name",
    "task_id": "a task",
    "func": len,
    "user": "ada",
    "password": "some words of a phrase",
    "token": "some-letters-without-meaning",
    "value": "some other letters",
    "text": "some text",
    "pattern": "some[0-9]+pattern",
    "headers": [],
    "data": b"",
    "content_type": "",
    "coroutine": None,
    "iterable": [],
}
ONCE = {"max_attempts": 1, "segments": 1}
# A text is a path, whatever it says; and a path is shown.
TAKES_A_PATH = {"save_path", "directory", "manifest", "file", "cert", "verify"}
# It would wait for somebody to type.
LEFT_OUT = {("secret", "prompt"), ("secret", "again")}
# Here pairs mean something else: a list of texts, or a method and a URL.
TAKES_PAIRS = {"json", "requests"}


def wrong_values(canaries: Canaries, place: str) -> Iterator[Any]:
    """What people have at hand, each with a secret that its name or its place gives away."""
    url = f"http://ada:{canaries.new(f'URL as {place}')}@127.0.0.1:9/"
    url += f"?api_key={canaries.new(f'query as {place}')}"
    yield url
    yield url.encode()
    yield {"Authorization": f"Bearer {canaries.new(f'mapping as {place}')}"}
    yield [("X-Api-Key", canaries.new(f"pairs as {place}"))]
    yield nbhttp.Secret(canaries.new(f"Secret as {place}"))


def functions(client: nbhttp.HttpClient) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in nbhttp.__all__:
        thing = getattr(nbhttp, name)
        if inspect.isfunction(thing):
            yield name, thing
    for thing in (client, nbhttp.LoggerManager, nbhttp.TaskManager()):
        for name in dir(thing):
            if not name.startswith("_") and inspect.isroutine(getattr(thing, name)):
                yield f"{type(thing).__name__}.{name}", getattr(thing, name)
    for kind in (
        nbhttp.HttpClient,
        nbhttp.AsyncHttpClient,
        nbhttp.TaskManager,
        nbhttp.AnyioTaskManager,
        nbhttp.Secret,
    ):
        yield kind.__name__, kind
    for name in nbhttp.redaction.__all__:
        thing = getattr(nbhttp.redaction, name)
        if inspect.isfunction(thing) and name not in {"mask_of", "redact_json"}:
            yield f"redaction.{name}", thing


def calls(function: Callable[..., Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each parameter, with what else the function needs."""
    parameters = inspect.signature(function).parameters
    needed = {
        each.name: NEEDED[each.name]
        for each in parameters.values()
        if each.default is each.empty and each.name in NEEDED
    }
    needed |= {option: value for option, value in ONCE.items() if option in parameters}
    for each in parameters.values():
        if each.kind is not each.VAR_KEYWORD and (name, each.name) not in LEFT_OUT:
            yield each.name, needed


def call(function: Callable[..., Any], needed: dict[str, Any], parameter: str, value: Any) -> Any:
    signature = inspect.signature(function)
    if signature.parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL:
        return function(value)
    given = signature.bind_partial(**needed | {parameter: value})
    return function(*given.args, **given.kwargs)


def use(made: Any) -> None:
    """Have a stream opened; its arguments may be refused only then."""
    if hasattr(made, "__next__"):
        next(made, None)
    elif type(made).__name__.endswith("Stream"):
        with made:
            pass


@pytest.fixture
def _left_as_it_was() -> Iterator[None]:
    yield
    nbhttp.LoggerManager.shutdown()


@pytest.mark.usefixtures("_left_as_it_was")
def test_no_refusal_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each argument of each public function is given values that hold one."""
    monkeypatch.chdir(tmp_path)
    canaries, outputs = Canaries(), Outputs()
    refused = 0
    with nbhttp.HttpClient(trust_env=False) as client:
        for name, function in functions(client):
            for parameter, needed in calls(function, name):
                for value in wrong_values(canaries, f"{parameter} of {name}"):
                    if isinstance(value, str | bytes) and parameter in TAKES_A_PATH:
                        continue
                    if isinstance(value, list) and parameter in TAKES_PAIRS:
                        continue
                    label = f"{name}({parameter}={type(value).__name__})"
                    try:
                        made = call(function, needed, parameter, value)
                        use(made)
                    except Exception as exc:
                        refused += 1
                        outputs.add_error(label, exc)
                    else:
                        outputs.add_shown(label, made)
    assert refused > 500
    leaks = canaries.find(outputs.texts)
    assert not leaks, f"{len(leaks)} leaks:\n" + "\n".join(leaks)
