"""What puts a request on the wire: the engine protocol, httpx's engine, the direct engine."""
