"""A credential that a hook adds is a secret like one that was given."""

import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio

# Letters alone: no rule of shape knows it, so only remembering it masks it.
TOKEN = "bEVtjtYAWFnasafjwMULmFPgEGYp"


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "Cookie"])
async def test_an_echoed_credential_of_a_hook_is_masked(fault: FaultServer, make_client, name: str):
    """Every form in which the result is shown, whatever the server repeats."""
    value = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"sid={TOKEN}"}.get(name, TOKEN)

    def sign(request):
        request.headers[name] = value

    client = make_client(event_hooks={"request": [sign]})
    result = await client.get(f"{fault.url}/echo")
    assert TOKEN in result.text, "the server repeats it, or this test shows nothing"
    shown = [repr(result), *map(str, result._repr_mimebundle_().values()), result._repr_html_()]
    shown.append(result.tree()._repr_html_())
    assert not [text for text in shown if TOKEN in text]
    assert TOKEN not in nbhttp.redaction.redact_text(f"log: {TOKEN}")
