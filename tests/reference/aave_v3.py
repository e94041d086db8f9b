"""Aave v3 in plain Python integers, written from the Solidity of each release: the judge of our own arithmetic.

Nothing here is shared with ``scanner``. Names follow the contracts. Prices are keyed by reserve id as text, and by
``"emode:<category>"`` for a legacy e-mode category that has a price source of its own (revision <= 4).
A call that the contract would revert raises ``Reverted`` with the contract's error name (3.4+ spelling).

Not modelled: the GHO discount before 3.4, isolation-mode ceilings, liquidity of the collateral's aToken.
"""

from __future__ import annotations

from tests.reference.aave_v3_calls import Liquidation, best, largest, liquidation, pairs
from tests.reference.aave_v3_state import (
    MAX_UINT,
    RAY,
    WAD,
    Account,
    AccountData,
    EMode,
    Market,
    Prices,
    Reserve,
    Reverted,
    account_data,
    asset_price,
    atoken_balance,
    debt_ids,
    debt_index,
    debt_value,
    in_emode,
    income,
    reserve_debt,
    stable_debt,
    variable_debt,
)
from tests.reference.aave_v3_triggers import first_trigger, liquidatable, scan_trigger

__all__ = [
    "MAX_UINT",
    "RAY",
    "WAD",
    "Account",
    "AccountData",
    "EMode",
    "Liquidation",
    "Market",
    "Prices",
    "Reserve",
    "Reverted",
    "account_data",
    "asset_price",
    "atoken_balance",
    "best",
    "debt_ids",
    "debt_index",
    "debt_value",
    "first_trigger",
    "in_emode",
    "income",
    "largest",
    "liquidatable",
    "liquidation",
    "pairs",
    "reserve_debt",
    "scan_trigger",
    "stable_debt",
    "variable_debt",
]
