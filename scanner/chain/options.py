"""How hard an endpoint is used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Limits and starting sizes. The sizes adapt; the limits hold.

    concurrency: requests in flight. timeout: seconds for one attempt. attempts, patience: tries and seconds for
    one request with its retries. gas: what an eth_call asks for. lens_gas: what a lens call is sized for.
    request_bytes, answer_bytes, seconds: what one request may send, bring and take.
    """

    concurrency: int = 4
    timeout: float = 30.0
    attempts: int = 5
    patience: float = 60.0
    gas: int = 50_000_000
    lens_gas: int = 45_000_000
    lens_start: int = 64
    request_bytes: int = 900_000
    answer_bytes: int = 4_000_000
    seconds: float = 2.5
    batch_start: int = 200
    batch_most: int = 2_000
    range_start: int = 10_000
    range_logs: int = 5_000
