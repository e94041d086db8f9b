"""How hard an endpoint is used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Limits and starting sizes. The sizes adapt; the limits hold.

    concurrency: requests of one kind in flight; lens calls twice as many, all of an endpoint three times as many.
    timeout: seconds for one attempt. attempts, patience: tries of one request, and seconds that it is tried again for.
    first_pause: seconds before the second try, doubled for each one after.
    lag_patience, lag_pause: seconds that a node may lag behind a block, and between two looks at it. batch_http:
    JSON-RPC requests in one HTTP request. hedge, hedge_after: whether a slow request is sent a second time, and after
    how many seconds at the earliest. gas: what an eth_call asks for. lens_gas: what a lens call is sized for.
    request_bytes, answer_bytes, seconds: what one request may send, bring and take.
    """

    concurrency: int = 4
    timeout: float = 30.0
    attempts: int = 5
    patience: float = 60.0
    first_pause: float = 0.5
    lag_patience: float = 6.0
    lag_pause: float = 0.5
    batch_http: int = 20
    hedge: bool = True
    hedge_after: float = 0.5
    gas: int = 50_000_000
    lens_gas: int = 45_000_000
    lens_start: int = 64
    request_bytes: int = 900_000
    answer_bytes: int = 4_000_000
    seconds: float = 2.5
    batch_start: int = 200
    injected_start: int = 2_000
    batch_most: int = 2_000
    range_start: int = 10_000
    range_logs: int = 5_000
