"""Serve the real httpbin package on loopback; the first line printed says where.

Runs in a process of its own: httpbin and Flask warn and log as they please.
"""

import json
import logging

import httpbin
from werkzeug.serving import WSGIRequestHandler, make_server


class KeepAliveHandler(WSGIRequestHandler):
    """Speaks HTTP/1.1, so that connections are reused."""

    protocol_version = "HTTP/1.1"


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server(
        "127.0.0.1", 0, httpbin.app, threaded=True, request_handler=KeepAliveHandler
    )
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
