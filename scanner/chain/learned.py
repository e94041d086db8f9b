"""What an endpoint was seen to take and to refuse."""

from __future__ import annotations

import msgspec

__all__ = ["Learned"]


class Learned(msgspec.Struct):
    """Limits of one endpoint, found by probing and by what it refused. Hints only: no answer depends on them.

    None: not known yet. gas_cap: gas that an eth_call really gets. by_hash: whether a block is taken by its hash
    (EIP-1898). overrides, deployless: ways to inject code. batch: calls in one HTTP request, 0 where none are taken.
    log_blocks, log_addresses: widest eth_getLogs. request_bytes: largest request. lens_gas: gas per item, by lens.
    """

    gas_cap: int | None = None
    by_hash: bool | None = None
    overrides: bool | None = None
    deployless: bool | None = None
    batch: int | None = None
    log_blocks: int | None = None
    log_addresses: int | None = None
    request_bytes: int | None = None
    lens_gas: dict[str, float] = {}
