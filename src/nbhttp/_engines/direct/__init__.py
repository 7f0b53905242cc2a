"""The direct engine: HTTP/1.1 on asyncio protocols, for bulk, downloads and streams."""
