"""A notebook that used secrets everywhere is executed, saved and exported; none is in it."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from canaries import Canaries, Outputs
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from servers import FaultServer

pytestmark = pytest.mark.slow

# The secrets come from the environment, as they should: no cell holds one.
CELLS = (
    """
    import json, os
    import nbhttp
    from nbhttp import LoggerManager
    LoggerManager.configure("DEBUG", file="log.jsonl", bodies=2000)
    LoggerManager.intercept("httpx", "httpcore")
    S, url, other, refuse = json.loads(os.environ["NOTEBOOK_CANARIES"])
    client = nbhttp.HttpClient(
        url,
        headers={"X-Api-Key": S["header"]},
        cookies={"sid": S["cookie"]},
        params={"access_token": S["query"]},
        auth=nbhttp.bearer(S["bearer"]),
        timeout=5,
    )
    client
    """,
    "r = client.get('/echo'); r",
    "client.post('/echo', json={'password': S['json'], 'list': [{'id': 1, 'token': S['json']}]})",
    "client.post('/echo', data={'client_secret': S['form'], 'x': 'y'}, auth=('ada', S['basic']))",
    "print(r); print(repr(r)); print(r.tree()); r.tree()",
    "[r, r.attempts, r.redirects, r.timing, r.error]",
    "r = client.get(f'/redirect/to', params={'url': other + '/echo?sig=' + S['location']}); r",
    "r.redirects",
    "nbhttp.get(url.replace('//', '//ada:' + S['userinfo'] + '@') + '/echo')",
    "nbhttp.get(url.replace('//', '//ada:' + S['userinfo'] + '@') + '/status/401').raise_for_status()",
    "client.get('/raw/echo')",
    "client.get('/raw/echo').raise_for_status()",
    "client.get('/raw/text').json()",
    "client.get(refuse).raise_for_status()",
    "client.get('/conn/stall', timeout=0.2).raise_for_status()",
    "client.get('/gzip/garbage').raise_for_status()",
    "client.get('/file/a/100000', max_body=10).raise_for_status()",
    "client.get('ftp://ada:' + S['userinfo'] + '@h/')",
    "client.map([('GET', '/x', {'headers': {'X-Api-Key': S['header']}}, S['query'])])",
    "results = client.map(['/echo', '/status/404', '/raw/echo', refuse]); results",
    "results.failed",
    "client.download_file('/file/a/200000', 'a.bin')",
    "client.download_file('/file/a/200001?truncate=90000', 'b.bin', max_attempts=1)",
    "client.download_file('/file/a/200002?truncate=90000', 'c.bin', max_attempts=1).raise_for_status()",
    "client.download_file('/raw/echo', 'd.bin').raise_for_status()",
    "list(client.ndjson('/raw/bad'))",
    "for line in client.lines('/raw/echo'): pass",
    """
    async def work(path):
        async with nbhttp.AsyncHttpClient(url, headers={"X-Api-Key": S["header"]}) as c:
            (await c.get(path, params={"api_key": S["query"]})).raise_for_status()
    manager = nbhttp.AnyioTaskManager()
    await manager.start()
    manager.add_task(f"{url}/status/500?token={S['query']}", work, "/status/500")
    manager.add_task("echo", work, "/raw/echo")
    for task in list(manager.status()):
        await manager.wait(task)
    manager.status()
    """,
    "manager",
    "await manager.gather(work, ['/status/500', '/raw/echo'], on_error='collect')",
    "await work('/raw/echo')",
    "secret = nbhttp.Secret(S['secret'], name='KEY'); secret",
    "{'token': secret, 'url': f'https://h/{secret}'}",
    "client.get('/echo', headers={'Authorization': f'Bearer {secret}'})",
    "client.post('/echo', content='it is ' + S['secret'], headers={'X-Other': secret})",
    "LoggerManager.logger().warning('the key is {} and {}', S['secret'], S['bearer'])",
    "print(client.engine_report()); await manager.shutdown(); client.close()",
    "LoggerManager.shutdown()",
)


def executed(folder: Path) -> Any:
    """Run the cells as a notebook; an error in a cell stays in its outputs."""
    sources = (
        "\n".join(line.removeprefix("    ") for line in c.strip().split("\n")) for c in CELLS
    )
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=60, resources=resources, allow_errors=True).execute()
    return notebook


def test_no_secret_is_in_a_saved_notebook(
    fault: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor in its export to HTML, in the log, or in a file that a download left behind."""
    canaries, outputs = Canaries(), Outputs()
    places = "header cookie query bearer json form basic location userinfo secret".split()
    secrets = {place: canaries.new(place) for place in places}
    said = (
        f"unknown: {secrets['header']} {secrets['query']} {secrets['bearer']} {secrets['cookie']}"
    )
    for name, status, kind, body in (
        ("echo", "401 Unauthorized", "application/json", json.dumps({"error": {"message": said}})),
        ("text", "200 OK", "text/plain", said),
        ("bad", "200 OK", "application/x-ndjson", f'{{"token": "{secrets["json"]}\n'),
    ):
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        fault.raw(f"/raw/{name}", (head + body).encode())
    monkeypatch.setenv(
        "NOTEBOOK_CANARIES",
        json.dumps([secrets, fault.url, fault.other_url, fault.refuse_url]),
    )
    notebook = executed(tmp_path)

    failures = [o for c in notebook.cells for o in c.outputs if o.output_type == "error"]
    wrong = [f.evalue for f in failures if f.ename in {"NameError", "SyntaxError", "KeyError"}]
    assert not wrong
    assert len(failures) > 10
    nbformat.write(notebook, tmp_path / "saved.ipynb")
    for number, cell in enumerate(notebook.cells):
        outputs.add(f"cell {number} ({cell.source[:60]!r})", json.dumps(cell.outputs))
    outputs.add("export", HTMLExporter().from_notebook_node(notebook)[0])
    for path in sorted(tmp_path.iterdir()):
        if path.suffix != ".bin":
            outputs.add(path.name, path.read_text("utf-8", "replace"))
    assert {"log.jsonl", "saved.ipynb"} <= set(outputs.texts)
    leaks = canaries.find(outputs.texts)
    assert not leaks, f"{len(leaks)} leaks:\n" + "\n".join(leaks)
