"""The library's log: `LoggerManager`, silent until configured."""

from nbhttp.logs.manager import LoggerManager

__all__ = ["LoggerManager"]
