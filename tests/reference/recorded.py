"""Read a recording of a 3.6 scan without ``scanner``: gzip, JSON, eth_abi, and the adapters' arithmetic in integers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from eth_abi import decode, encode
from eth_utils.crypto import keccak

from tests.reference.aave_v3_state import YEAR, Account, EMode, Market, Reserve

__all__ = ["Recorded"]

_RESERVE: Final = "((uint256)" + ",uint128" * 5 + ",uint40,uint16" + ",address" * 4 + ",uint128" * 3 + ")"
Formula = Callable[[Mapping[str, int]], int]
"""From the answers of moved feeds, by address, to an answer."""

_NOBODY: Final = "0x" + "0" * 40


class Recorded:
    """What a node answered. Everything is looked up by contract and signature, and a missing answer is a KeyError."""

    def __init__(self, path: Path) -> None:
        _, body = gzip.decompress(path.read_bytes()).split(b"\n", 1)
        self.body: dict[str, Any] = json.loads(body)
        self.answers = {
            (to, data): None if reverted else bytes.fromhex(answer)
            for to, data, overrides, reverted, answer in self.body["calls"]
            if not overrides
        }
        self.timestamp: int = self.body["block"]["timestamp"]
        (target,) = self.body["notes"]["targets"]
        self.root: str = target["root"]
        self.pool = self.address(self.root, "getPool()")
        self.oracle = self.address(self.root, "getPriceOracle()")
        (listed,) = decode(["address[]"], self.ask(self.pool, "getReservesList()") or b"")
        self.assets: dict[int, str] = {self.reserve_data(asset)[7]: asset for asset in listed}
        self.sources = {i: self.address(self.oracle, "getSourceOfAsset(address)", a) for i, a in self.assets.items()}

    def ask(self, to: str, signature: str, *arguments: object) -> bytes | None:
        """Give the recorded answer, None where the contract reverted."""
        types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
        return self.answers[to, (keccak(text=signature)[:4] + encode(types, arguments)).hex()]

    def number(self, to: str, signature: str, *arguments: object) -> int | None:
        answer = self.ask(to, signature, *arguments)
        return int.from_bytes(answer[:32], "big") if answer else None

    def known(self, to: str, signature: str, *arguments: object) -> int:
        value = self.number(to, signature, *arguments)
        assert value is not None
        return value

    def address(self, to: str, signature: str, *arguments: object) -> str:
        return f"0x{self.known(to, signature, *arguments):040x}"

    def reserve_data(self, asset: str) -> tuple[Any, ...]:
        (fields,) = decode([_RESERVE], self.ask(self.pool, "getReserveData(address)", asset) or b"")
        return tuple(fields)

    @cached_property
    def market(self) -> Market:
        emodes = {i: mode for i in range(1, 256) if (mode := self._emode(i)) is not None}
        sentinel = self.address(self.root, "getPriceOracleSentinel()")
        down = sentinel != _NOBODY and not self.number(sentinel, "isLiquidationAllowed()")
        reserves = {i: self._reserve(i, asset) for i, asset in self.assets.items()}
        return Market(self.known(self.pool, "POOL_REVISION()"), reserves, emodes, down)

    def _reserve(self, reserve_id: int, asset: str) -> Reserve:
        (word,), liquidity_index, liquidity_rate, debt_index, debt_rate, _, updated_at = self.reserve_data(asset)[:7]
        return Reserve(
            reserve_id,
            decimals=word >> 48 & 0xFF,
            threshold=word >> 16 & 0xFFFF,
            bonus=word >> 32 & 0xFFFF,
            fee=word >> 152 & 0xFFFF,
            liquidity_index=liquidity_index,
            liquidity_rate=liquidity_rate,
            debt_index=debt_index,
            debt_rate=debt_rate,
            updated_at=updated_at,
            active=bool(word >> 56 & 1),
            paused=bool(word >> 60 & 1),
            grace_until=self.known(self.pool, "getLiquidationGracePeriod(address)", asset),
        )

    def _emode(self, category: int) -> EMode | None:
        answer = self.ask(self.pool, "getEModeCategoryCollateralConfig(uint8)", category)
        _, threshold, bonus = decode(["uint256", "uint256", "uint256"], answer or b"")
        if not threshold:
            return None
        bitmap = self.known(self.pool, "getEModeCategoryCollateralBitmap(uint8)", category)
        return EMode(category, threshold, bonus, bitmap)

    @cached_property
    def accounts(self) -> dict[str, Account]:
        """Read the lens's records: account (4 bytes, left blank), e-mode, reserve id, side, nine more, balance."""
        (items,) = (items for name, _, items in self.body["lenses"] if name == "aave-v3")
        found = {}
        for owner, text in items.items():
            records = bytes.fromhex(text)
            collateral, debt, emode = {}, {}, 0
            for at in range(0, len(records), 32):
                emode, reserve_id, side = records[at + 4 : at + 7]
                if side in (0, 1):
                    (collateral, debt)[side][reserve_id] = int.from_bytes(records[at + 16 : at + 32], "big")
            found["0x" + owner] = Account(collateral, debt, {}, emode)
        return found

    @cached_property
    def prices(self) -> dict[str, int]:
        """Give getAssetPrice by reserve id; reserves without a price are absent."""
        answers = {str(i): self.number(self.oracle, "getAssetPrice(address)", a) for i, a in self.assets.items()}
        return {key: price for key, price in answers.items() if price}

    def prices_at(self, moved: Mapping[str, int]) -> dict[str, int]:
        """Give the oracle's answers with some feeds answering something else."""
        return {key: formula(moved) for key, formula in self._formulas.items()}

    @cached_property
    def _formulas(self) -> dict[str, Formula]:
        return {key: self.formula(self.sources[int(key)]) for key in self.prices}

    def formula(self, source: str) -> Formula:
        """Say what a price source answers, by the arithmetic of the adapter that its getters say it is."""
        base, asset = (self._formula_of(source, f"{name}_TO_USD_AGGREGATOR()") for name in ("BASE", "ASSET"))
        peg, to_peg = self._formula_of(source, "PEG_TO_BASE()"), self._formula_of(source, "ASSET_TO_PEG()")
        if asset and self.number(source, "PENDLE_PRINCIPAL_TOKEN()"):
            left = max(self.known(source, "MATURITY()") - self.timestamp, 0)
            kept = 10**18 - left * self.known(source, "discountRatePerYear()") // YEAR
            return lambda moved: asset(moved) * kept // 10**18
        if asset:
            cap = self.known(source, "getPriceCap()")
            return lambda moved: min(asset(moved), cap)
        if base:
            ratio, most = self._ratio(source), self._most(source)
            scale = 10 ** self.known(source, "RATIO_DECIMALS()")
            return lambda moved: base(moved) * min(ratio(moved), most) // scale
        if peg and to_peg:
            scale, denominator = 10 ** self.known(source, "DECIMALS()"), self.known(source, "DENOMINATOR()")
            return lambda moved: to_peg(moved) * peg(moved) * scale // denominator
        answer = self.known(source, "latestAnswer()")
        return lambda moved: moved.get(source, answer)

    def _formula_of(self, source: str, getter: str) -> Formula | None:
        target = self.number(source, getter)
        return self.formula(f"0x{target:040x}") if target else None

    def _ratio(self, source: str) -> Formula:
        """Take the ratio from its provider where that is a feed, else as the adapter tells it."""
        provider = self.address(source, "RATIO_PROVIDER()")
        if self.answers.get((provider, keccak(text="latestAnswer()")[:4].hex())) is not None:
            return self.formula(provider)
        ratio = self.known(source, "getRatio()")
        return lambda moved: ratio

    def _most(self, source: str) -> int:
        """Give the cap of a ratio: it grows from a snapshot."""
        age = self.timestamp - self.known(source, "getSnapshotTimestamp()")
        growth, scale = (
            self.number(source, f"{name}()") for name in ("getMaxRatioGrowthPerSecondScaled", "SCALING_FACTOR")
        )
        if growth is None or scale is None:
            growth, scale = self.known(source, "getMaxRatioGrowthPerSecond()"), 1
        return self.known(source, "getSnapshotRatio()") + growth * age // scale
