"""What the Aave v3 rules know of a market: reserves, e-modes and gates at one block. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "COLLATERAL",
    "DEBT",
    "KNOWN_REVISIONS",
    "STABLE_DEBT",
    "AaveDetail",
    "AaveReserve",
    "EMode",
    "emode_price_key",
]

COLLATERAL: Final = 0
"""Side of a leg: an aToken balance whose collateral flag is on."""
DEBT: Final = 1
"""Side of a leg: variable-rate debt."""
STABLE_DEBT: Final = 2
"""Side of a leg: stable-rate debt, which exists up to v3.1."""

KNOWN_REVISIONS: Final[Mapping[int, str]] = {
    1: "3.0.x",
    2: "3.0.x",
    3: "3.0.x",
    4: "3.1",
    5: "3.2",
    6: "3.2.1",
    7: "3.3",
    8: "3.4",
    9: "3.5",
    10: "3.6",
    11: "3.7",
}
"""``POOL_REVISION`` to the release whose rules apply."""


@dataclass(frozen=True, slots=True)
class AaveReserve:
    """One reserve; ``id`` is its bit in every bitmap. Rates and indexes are rays, times Unix seconds."""

    id: int
    asset: str
    symbol: str
    decimals: int
    atoken: str
    vtoken: str
    stoken: str | None  # stable-debt token, None from v3.2
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int  # 10500 means the liquidator receives 105 %
    protocol_fee_bps: int  # share of the bonus
    active: bool
    frozen: bool
    paused: bool
    borrowable: bool
    emode_category: int  # the reserve's only category up to v3.1, else 0
    liquidity_index: int  # as stored at ``updated_at``
    liquidity_rate: int
    debt_index: int
    debt_rate: int
    updated_at: int
    income_now: int  # normalised to the block's timestamp by the contract
    debt_index_now: int
    grace_until: int  # no liquidation up to and including this time; 0 when none

    @property
    def key(self) -> str:
        """Name of the reserve in frames and answers."""
        return str(self.id)

    @property
    def unit(self) -> int:
        """Smallest units of one whole token."""
        return int(10**self.decimals)


@dataclass(frozen=True, slots=True)
class EMode:
    """One e-mode category. Bitmaps are by reserve id and 0 up to v3.1, where the reserve names its category."""

    id: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    price_source: str | None  # up to v3.1: asset whose price replaces those of the category
    collateral_bitmap: int
    borrowable_bitmap: int
    ltvzero_bitmap: int
    label: str


@dataclass(frozen=True)
class AaveDetail:
    """A market at one block."""

    pool: str
    oracle: str
    revision: int
    base_unit: int
    reserves: tuple[AaveReserve, ...]  # by id; dropped reserves leave holes
    emodes: Mapping[int, EMode]
    sentinel_down: bool  # a sentinel exists and refuses liquidations now; False from v3.7, which has none
    block_timestamp: int

    def reserve(self, reserve_id: int) -> AaveReserve:
        """Give the reserve with this id; raises KeyError."""
        for reserve in self.reserves:
            if reserve.id == reserve_id:
                return reserve
        raise KeyError(reserve_id)

    @property
    def legacy_emode(self) -> bool:
        """Say whether a reserve has at most one category, named in its configuration (up to v3.1)."""
        return self.revision <= 4

    @property
    def exact_balances(self) -> bool:
        """Say whether collateral is rounded down, debt up and the threshold not averaged (from v3.5)."""
        return self.revision >= 9

    @property
    def gates_base_threshold(self) -> bool:
        """Say whether a reserve with base threshold 0 is no collateral, e-mode or not (up to v3.5)."""
        return self.revision <= 9


def emode_price_key(category: int) -> str:
    """Name the answer of a legacy e-mode category's own price source."""
    return f"emode:{category}"
