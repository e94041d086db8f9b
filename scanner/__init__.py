"""Liquidation bands of on-chain lending markets, exact to the wei, from RPC alone.

``scanner.scan(...)`` reads a market at one block and gives polars frames; see ``docs/python.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.pipeline import ScanOptions, scan
    from scanner.results import ScanResult

__all__ = ["ScanOptions", "ScanResult", "__version__", "scan"]

__version__ = "0.1.0"

_HOMES = {"scan": "scanner.pipeline", "ScanOptions": "scanner.pipeline", "ScanResult": "scanner.results"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that importing the package stays free."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'scanner' has no attribute {name!r}")
