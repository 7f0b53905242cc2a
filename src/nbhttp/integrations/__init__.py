"""Bridges to optional libraries, one module each; all enter through `_require.require`."""
