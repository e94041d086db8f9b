"""A scan of a live market, and beside it a prober that asks the pool itself at the same block."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, zip_longest
from operator import attrgetter
from typing import Literal

import polars as pl

import scanner
from scanner.chain.reader import open_reader
from scanner.devchain import DevMarket
from scanner.devchain.toolchain import Toolchain
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.results import ScanResult
from scanner.risk.pricing import OracleGraph
from tests.chain.loops import Loop
from tests.chain.peers import options_of
from tests.chain.stubs import HEALTHY, Path, Prober

__all__ = ["STABLES", "Seen", "Trigger", "look", "spread"]

STABLES = ("DAI", "USDC", "USDT", "USDe")
"""Names of the feeds that the group ``stables`` moves in one ratio."""


@dataclass(frozen=True)
class Trigger:
    """One claim of the scan: the first answer of a path, from today's on, at which an account is below one."""

    account: str
    path: str  # a factor or group, or reserve:<id>
    answer: int
    step: int  # -1: found by falling, 1: by rising


@dataclass(frozen=True)
class Leg:
    """Collateral that counts: token units, their number in a token, basis points, and what prices it."""

    amount: int
    unit: int
    threshold: int
    key: str


@dataclass
class Seen:
    """What a scan says, and whom to ask whether it is true."""

    market: DevMarket
    prober: Prober
    result: ScanResult
    stables: ScanResult
    loops: Sequence[Loop]
    graph: OracleGraph
    prices: Mapping[str, int]  # today's, by price key
    collateral: Mapping[str, Sequence[Leg]]
    index: pathlib.Path
    paths: Mapping[str, Path] = field(default_factory=dict)
    _solvent: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paths = {**dict(self._factors()), **dict(self._reserves())}

    def _factors(self) -> Iterator[tuple[str, Path]]:
        for factor in self.result.factors:
            yield factor.factor, self.prober.factor({factor.feed_address: factor.answer})
        group = next(f for f in self.stables.factors if f.factor == "stables")
        answers = {self.market.feeds[name].lower(): self.market.answer(name) for name in STABLES}
        first = group.feed_address.lower()
        assert answers[first] == group.answer
        yield "stables", self.prober.factor({first: group.answer, **answers})

    def _reserves(self) -> Iterator[tuple[str, Path]]:
        for reserve, asset, answer in self.result.frames["reserves"].select("reserve", "asset", "answer").iter_rows():
            if answer is not None:
                yield f"reserve:{reserve}", self.prober.reserve(asset, int(answer))

    def triggers(self) -> list[Trigger]:
        """Give every exact trigger of factors, of the group and of single reserves."""
        points = pl.concat(
            [
                self.result.frames["liquidation_points"],
                self.stables.frames["liquidation_points"].filter(pl.col("factor") == "stables"),
            ]
        )
        of_factors = points.filter(pl.col("trigger_answer").is_not_null()).select(
            "position", "factor", "trigger_answer", "direction"
        )
        of_reserves = self.result.frames["triggers"].select(
            "position", "reserve:" + pl.col("reserve"), "trigger_price", "direction"
        )
        rows = chain(of_factors.iter_rows(), of_reserves.iter_rows())
        return [Trigger(who, path, int(answer), {"down": -1, "up": 1}[way]) for who, path, answer, way in rows]

    def seizures(self) -> pl.DataFrame:
        """Give the pairs at the triggers of factors and of the group; frame SEIZURES."""
        of_group = self.stables.frames["seizures"].filter(pl.col("factor") == "stables")
        return pl.concat([self.result.frames["seizures"].filter(pl.col("factor") != "now"), of_group])

    def never(self) -> list[tuple[str, str]]:
        """Give (account, factor) that the scan says never breaks."""
        points = self.result.frames["liquidation_points"]
        return list(points.filter(pl.col("direction") == "never").select("position", "factor").iter_rows())

    def average(self, account: str, path: str) -> Callable[[int], int]:
        """Give an account's average threshold, floored to a basis point, as a function of a path's answer."""
        today = self.graph.answers()
        own = path.removeprefix("reserve:")
        feeds = {} if own != path else self.paths[path].feeds
        start = self.paths[path].start

        def price(key: str, moving: int) -> int:
            if own != path:
                return moving if key == own else self.prices[key]
            moved = {feed: answer * moving // start for feed, answer in feeds.items()}
            return self.graph.prices[key].evaluate({**today, **moved}, self.prober.timestamp) or 0

        def sums(legs: Sequence[Leg], moving: int) -> tuple[int, int]:
            values = [(leg.amount * price(leg.key, moving) // leg.unit, leg.threshold) for leg in legs]
            return sum(value for value, _ in values), sum(value * threshold for value, threshold in values)

        def moves(leg: Leg) -> bool:
            return leg.key == own if own != path else bool(self.graph.prices[leg.key].feeds() & feeds.keys())

        legs = self.collateral[account]
        value, weighted = sums([leg for leg in legs if not moves(leg)], start)
        moving_legs = [leg for leg in legs if moves(leg)]

        def at(moving: int) -> int:
            more, heavier = sums(moving_legs, moving)
            return (weighted + heavier) // (value + more)

        return at

    def solvent(self, path: str) -> list[str]:
        """List the accounts that the pool itself calls healthy at today's answers, by the feeds of a path."""
        if path not in self._solvent:
            everybody, start = self.result.frames["accounts"]["position"].to_list(), self.paths[path].start
            said = self.prober.ask(self.paths[path], everybody, [(i, start) for i in range(len(everybody))]).verdicts
            self._solvent[path] = [who for who, verdict in zip(everybody, said, strict=True) if verdict == HEALTHY]
        return self._solvent[path]

    def in_emode(self) -> set[str]:
        """Give the accounts that are in an e-mode."""
        accounts = self.result.frames["accounts"]
        return set(accounts.filter(pl.col("emode_category") > 0)["position"])

    def holders(self, *symbols: str) -> set[str]:
        """Give the accounts with a leg in one of these."""
        legs = self.result.frames["legs"]
        return set(legs.filter(pl.col("symbol").is_in(symbols))["position"])


def look(
    market: DevMarket,
    toolchain: Toolchain,
    index: pathlib.Path,
    loops: Sequence[Loop],
    extent: Literal["factors", "accounts"] = "accounts",
) -> Seen:
    """Scan the newest block: all factors, the group ``stables`` and, unless told otherwise, all single reserves.

    What follows a feed without saying so (wiring ``hidden``) is held by the prober, as the scan holds it.
    """
    options = options_of(market, index)
    result = scanner.scan(options, extent=extent)
    stables = scanner.scan(options, extent="factor", factor="stables")
    assert result.snapshot.complete
    hidden = {i.source: market.price(i.key) for i in market.reserves.values() if i.spec.wiring == "hidden"}
    prober = Prober(market, toolchain, hidden)
    assert (result.snapshot.block_number, result.snapshot.block_timestamp) == (prober.block, prober.timestamp)
    graph, prices, collateral = _collateral(market, result.frames["accounts"]["position"].to_list())
    return Seen(market, prober, result, stables, loops, graph, prices, collateral, index)


def _collateral(
    market: DevMarket, accounts: Sequence[str]
) -> tuple[OracleGraph, Mapping[str, int], Mapping[str, list[Leg]]]:
    aave = AaveV3()
    with open_reader(market.anvil.url) as reader:
        read = aave.read_market(reader, market.root, "devchain")
        graph = aave.oracle_graph(reader, read)
        positions = aave.read_positions(reader, read, accounts)
    assert isinstance(read.detail, AaveDetail)
    legs = leg_amounts(positions, read.detail, read.timestamp).filter("counts")
    found: dict[str, list[Leg]] = {name: [] for name in positions.accounts["position"]}
    for row, *leg in legs.select("row", "amount", "unit", "threshold_bps", "price_key").iter_rows():
        found[positions.accounts["position"][row]].append(Leg(*leg))
    return graph, read.answers, found


def spread(triggers: Sequence[Trigger], count: int, taken: set[str]) -> list[Trigger]:
    """Take triggers of as many accounts that are not yet taken, the paths in turn so that rare ones are in it."""
    ordered = sorted(triggers, key=attrgetter("path"))
    piles = [list(pile) for _, pile in groupby(ordered, key=attrgetter("path"))]
    chosen: list[Trigger] = []
    for trigger in chain.from_iterable(zip_longest(*piles)):
        if trigger is not None and trigger.account not in taken and len(chosen) < count:
            taken.add(trigger.account)
            chosen.append(trigger)
    return chosen
