"""The map from reserves to feeds, on a real node: every adapter kind behind Aave's own oracle contract."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scanner.chain.endpoint import Endpoint
from scanner.chain.interface import Call, Lens, LensChunk, Overrides, Reader, Reverted
from scanner.chain.reader import open_reader
from scanner.devchain.anvil import Anvil
from scanner.devchain.market import DevMarket
from scanner.devchain.toolchain import CONTRACTS, Toolchain
from scanner.devchain.tx import ZERO, Chain, calldata
from scanner.errors import OverridesRefused, RpcError
from scanner.frames import empty
from scanner.protocols.aave_v3 import oracle_lens
from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve, EMode
from scanner.protocols.aave_v3.market import read_market
from scanner.protocols.aave_v3.oracle import overrides_for_answer, prove, read_oracle_graph
from scanner.protocols.aave_v3.oracle_graph import read_oracle
from scanner.protocols.aave_v3.oracle_lens import UNMOVED, moved_item, price_lens, prices_by_lens
from scanner.protocols.interface import Market
from scanner.risk.pricing import Constant, OracleGraph
from tests.chain.conftest import Rollback

pytestmark = pytest.mark.chain

LIARS = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;
interface ISource { function latestAnswer() external view returns (int256); }
/// Says that it is a capped stable, and follows another feed as well.
contract Liar {
    address public ASSET_TO_USD_AGGREGATOR;
    int256 public getPriceCap = 2e8;
    string public description = "capped liar";
    uint8 public constant decimals = 8;
    address private _other;
    int256 private immutable _start;
    constructor(address asset, address other) {
        ASSET_TO_USD_AGGREGATOR = asset;
        _other = other;
        _start = ISource(other).latestAnswer();
    }
    function latestAnswer() external view returns (int256) {
        return ISource(ASSET_TO_USD_AGGREGATOR).latestAnswer() * ISource(_other).latestAnswer() / _start;
    }
}
/// Looks like a feed, description and rounds and all, and follows another one.
contract Mimic {
    uint8 public constant decimals = 8;
    string public description = "MIMIC / USD";
    address private _other;
    constructor(address other) { _other = other; }
    function latestAnswer() public view returns (int256) { return ISource(_other).latestAnswer() * 3; }
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, latestAnswer(), 1, 1, 1);
    }
}
/// Says that it is a capped stable, and answers something else.
contract Braggart {
    address public ASSET_TO_USD_AGGREGATOR;
    int256 public getPriceCap = 2e8;
    uint8 public constant decimals = 8;
    constructor(address asset) { ASSET_TO_USD_AGGREGATOR = asset; }
    function latestAnswer() external view returns (int256) {
        return ISource(ASSET_TO_USD_AGGREGATOR).latestAnswer() + 1;
    }
}
/// Says that it is a capped stable, and keeps its answer within bounds of which no getter tells.
contract Clamped {
    address public ASSET_TO_USD_AGGREGATOR;
    int256 public getPriceCap = 1.5e8;
    uint8 public constant decimals = 8;
    int256 private immutable _low;
    int256 private immutable _high;
    constructor(address asset, int256 low, int256 high) {
        ASSET_TO_USD_AGGREGATOR = asset;
        _low = low;
        _high = high;
    }
    function latestAnswer() external view returns (int256 price) {
        price = ISource(ASSET_TO_USD_AGGREGATOR).latestAnswer();
        if (price > getPriceCap) price = getPriceCap;
        if (price > _high) price = _high;
        if (price < _low) price = _low;
    }
}
interface IVersioned { function version() external view returns (uint256); }
/// A capped stable that asks its feed for more than an answer.
contract Needy {
    address public ASSET_TO_USD_AGGREGATOR;
    int256 public getPriceCap = 2e8;
    uint8 public constant decimals = 8;
    constructor(address asset) { ASSET_TO_USD_AGGREGATOR = asset; }
    function latestAnswer() external view returns (int256 price) {
        require(IVersioned(ASSET_TO_USD_AGGREGATOR).version() == 4);
        price = ISource(ASSET_TO_USD_AGGREGATOR).latestAnswer();
        if (price > getPriceCap) price = getPriceCap;
    }
}
interface IOracle {
    function getSourceOfAsset(address asset) external view returns (address);
    function getAssetPrice(address asset) external view returns (uint256);
}
/// An oracle with a floor of its own under the price of one asset.
contract Floored {
    IOracle private immutable _oracle;
    address private immutable _asset;
    uint256 private immutable _low;
    constructor(address oracle, address asset) {
        _oracle = IOracle(oracle);
        _asset = asset;
        _low = IOracle(oracle).getAssetPrice(asset);
    }
    function getSourceOfAsset(address asset) external view returns (address) { return _oracle.getSourceOfAsset(asset); }
    function getAssetPrice(address asset) external view returns (uint256 price) {
        price = _oracle.getAssetPrice(asset);
        if (asset == _asset && price < _low) price = _low;
    }
}
"""

BOUNDS = {  # of the answer of USDC, none of which is met when it falls by a hundredth
    "FLOOR": (96_000_000, 2**127),
    "CEIL": (0, 102_000_000),
    "CLAMP": (70_000_000, 140_000_000),
}
ODD = ("LIAR", "MIMIC", "BRAG", "NEEDY", *BOUNDS)

RATIO_CAP = "(address,address,uint8,uint104,uint48,uint16,string)"
FEEDS = {  # name: answer, decimals, description
    "ETH": (210_000_000_000, 8, "ETH / USD"),
    "ETH2": (210_012_345_678, 8, "WETH / USD"),
    "BTC": (6_400_000_000_000, 8, "BTC / USD"),
    "WBTC": (6_390_000_000_007, 8, "WBTC / USD"),
    "USDC": (99_987_654, 8, "USDC / USD"),
    "USDT": (106_000_000, 8, "USDT / USD"),  # above its cap
    "EUR": (108_123_456, 8, "EUR / USD"),
    "EURC": (108_100_000, 8, "EURC / USD"),
    "LDO": (123_456_789, 8, "\x1b[31mLDO\x07 / USD"),
    "cbETH/ETH": (1_112_223_334_445_556_667, 18, "CBETH / ETH"),
    "stETH/ETH": (1_150_000_000_000_000_000, 18, "stETH / ETH"),
    "ZERO": (500_000_000, 8, "ZERO / USD"),
    "BROKEN": (500_000_000, 8, "BROKEN / USD"),
}


@dataclass(frozen=True)
class World:
    anvil: Anvil
    chain: Chain
    oracle: str
    feeds: Mapping[str, str]  # proxies
    inner: Mapping[str, str]  # settable feeds
    sources: Mapping[str, str]
    assets: Mapping[str, str]  # symbol to a made-up asset
    floored: str  # an oracle in front of the oracle, with a floor under XAUt


@pytest.fixture(scope="module")
def world(toolchain: Toolchain) -> Iterator[World]:
    units = {name: (CONTRACTS / name).read_text() for name in ("Feeds.sol", "Adapters.sol")}
    names = ["PriceFeed", "FeedProxy"]
    kinds = ["RatioProvider", "RatioCapAdapter", "PlainRatioCapAdapter", "FeedRatioCapAdapter", "StableCapAdapter"]
    kinds += [
        "CurrencyCapAdapter",
        "PegToBaseAdapter",
        "BaseToPegAdapter",
        "PrincipalToken",
        "PrincipalDiscountAdapter",
    ]
    kinds += ["FixedPriceAdapter", "ConstantDollar", "UnknownAdapter", "HiddenAdapter"]
    wanted = [f"Feeds.sol:{n}" for n in names] + [f"Adapters.sol:{n}" for n in kinds]
    wanted += [f"Liars.sol:{n}" for n in ("Liar", "Mimic", "Braggart", "Clamped", "Needy", "Floored")]
    code = toolchain.compile({**units, "Liars.sol": LIARS}, wanted)
    oracle = toolchain.artifact("@aave/core-v3/artifacts/contracts/misc/AaveOracle.sol/AaveOracle.json")
    with Anvil(toolchain.anvil) as anvil:
        chain = Chain(anvil)
        inner = {n: chain.deploy(code["PriceFeed"], "int256,uint8,string", *args) for n, args in FEEDS.items()}
        feeds = {n: chain.deploy(code["FeedProxy"], "address", address) for n, address in inner.items()}
        chain.flush()
        now = int(anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        low, high = (chain.deploy(code["RatioProvider"], "uint256", r) for r in (119 * 10**16, 13 * 10**17))
        token = chain.deploy(code["PrincipalToken"], "uint256", now + 40 * 86400)

        def capo(kind: str, base: str, provider: str) -> str:
            args = (base, provider, 18, 12 * 10**17, now - 30 * 86400, 968, "capped LST")
            return chain.deploy(code[kind], RATIO_CAP, args)

        def deploy(kind: str, types: str, *args: Any) -> str:
            return chain.deploy(code[kind], types, *args)

        capped_usdc = deploy("StableCapAdapter", "address,int256,string", feeds["USDC"], 104_000_000, "capped USDC")
        sources = {
            "WETH": feeds["ETH"],
            "WETH2": feeds["ETH2"],
            "cbBTC": feeds["BTC"],
            "WBTC": feeds["WBTC"],
            "wstETH": capo("RatioCapAdapter", feeds["ETH"], low),
            "weETH": capo("RatioCapAdapter", feeds["ETH"], high),
            "oldETH": capo("PlainRatioCapAdapter", feeds["ETH"], high),
            "feedETH": capo("FeedRatioCapAdapter", feeds["ETH"], feeds["stETH/ETH"]),
            "USDC": capped_usdc,
            "USDT": deploy("StableCapAdapter", "address,int256,string", feeds["USDT"], 104_000_000, "capped USDT"),
            "EURC": deploy(
                "CurrencyCapAdapter",
                "address,address,int256,uint8,string",
                *(feeds["EURC"], feeds["EUR"], 104_000_000, 8, "capped EURC"),
            ),
            "cbETH": deploy(
                "PegToBaseAdapter", "address,address,uint8,string", feeds["ETH"], feeds["cbETH/ETH"], 8, "cbETH"
            ),
            "USDC/ETH": deploy(
                "BaseToPegAdapter", "address,address,uint8,string", feeds["ETH"], feeds["USDC"], 18, "USDC / ETH"
            ),
            "PT": deploy(
                "PrincipalDiscountAdapter",
                "address,address,uint64,uint64,string",
                *(token, capped_usdc, 7 * 10**16, 10**18, "PT"),
            ),
            "EURF": deploy("FixedPriceAdapter", "address,uint8,int256,string", feeds["ETH"], 8, 108_000_000, "fixed"),
            "GHO": deploy("ConstantDollar", ""),
            "XAUt": deploy("UnknownAdapter", "int256", 265_000_000_000),
            "osETH": deploy("HiddenAdapter", "address,int256", feeds["ETH"], 10_345),
            "PTh": "",
            "LDO": feeds["LDO"],
            "LIAR": deploy("Liar", "address,address", feeds["EURC"], feeds["BTC"]),
            "MIMIC": deploy("Mimic", "address", feeds["BTC"]),
            "BRAG": deploy("Braggart", "address", feeds["USDT"]),
            "NEEDY": deploy("Needy", "address", feeds["LDO"]),
            **{n: deploy("Clamped", "address,int256,int256", feeds["USDC"], *ends) for n, ends in BOUNDS.items()},
            "ZERO": feeds["ZERO"],
            "BROKEN": feeds["BROKEN"],
        }
        sources["PTh"] = deploy("StableCapAdapter", "address,int256,string", sources["osETH"], 10**13, "capped osETH")
        assets = {symbol: f"0x{0xA55E7000 + i:040x}" for i, symbol in enumerate([*sources, "NONE", "USD"])}
        types = "address,address[],address[],address,address,uint256"
        pairs = (list(assets.values())[: len(sources)], list(sources.values()))
        address = chain.deploy(oracle, types, feeds["ETH"], *pairs, ZERO, assets["USD"], 10**8)
        chain.send(inner["ZERO"], "setZeroed(bool)", True)
        chain.send(inner["BROKEN"], "setBroken(bool)", True)
        chain.flush()
        floored = deploy("Floored", "address,address", address, assets["XAUt"])
        chain.flush()
        yield World(anvil, chain, address, feeds, inner, sources, assets, floored)


def prices(world: World, overrides: Overrides | None = None) -> dict[str, int]:
    """Read AaveOracle.getAssetPrice of every asset with plain eth_calls; reverts are absent."""
    found = {}
    chosen = None if overrides is None else {a: {"code": "0x" + code.hex()} for a, code in overrides.items()}
    for i, asset in enumerate(world.assets.values()):
        data = calldata("getAssetPrice(address)", asset)
        try:
            ((found[str(i)],),) = world.chain.calls([(world.oracle, data, "uint256")], overrides=chosen)
        except RpcError as error:
            assert "revert" in str(error)  # noqa: PT017
    return found


def described(world: World, timestamp: int) -> tuple[Market, AaveDetail]:
    """Describe the assets as reserves of a revision-1 market with two e-modes that have price sources."""
    blank: dict[str, Any] = dict.fromkeys(AaveReserve.__slots__, 0)
    blank |= {"atoken": ZERO, "vtoken": ZERO, "stoken": None, "active": True, "paused": False, "frozen": False}
    reserves = tuple(
        AaveReserve(**{**blank, "id": i, "asset": asset, "symbol": symbol, "decimals": 18})
        for i, (symbol, asset) in enumerate(world.assets.items())
    )
    emodes = {
        1: EMode(1, 0, 0, 0, world.assets["WETH"], 0, 0, 0, "ETH"),
        2: EMode(2, 0, 0, 0, None, 0, 0, 0, "none"),
    }
    detail = AaveDetail(ZERO, world.oracle, 1, 10**8, reserves, emodes, False, timestamp)
    answers = prices(world)
    answers |= {"emode:1": answers["0"]} if "0" in answers else {}
    frames = (empty("markets"), empty("reserves"), empty("skipped"))
    return Market(31337, "aave-v3", ZERO, "test", 1, 10**8, timestamp, *frames, answers, detail), detail


def read(world: World, *, proof: bool = True, reader: Reader | None = None) -> OracleGraph:
    with open_reader(world.anvil.url) as live:
        market, detail = described(world, live.block.timestamp)
        return read_oracle_graph(reader or live, market, detail, proof=proof)


@pytest.fixture(scope="module")
def graph(world: World) -> OracleGraph:
    return read(world)


def key(world: World, symbol: str) -> str:
    return str(list(world.assets).index(symbol))


def test_factors_come_from_the_wiring(world: World, graph: OracleGraph) -> None:
    factors = {graph.symbols[k]: factor for k, factor in graph.reserve_factors().items()}

    eth = ("WETH", "WETH2", "wstETH", "weETH", "oldETH", "feedETH", "cbETH")
    assert factors == {
        **dict.fromkeys(eth, "ETH"),
        **dict.fromkeys(("WBTC", "cbBTC"), "BTC"),
        **dict.fromkeys(("USDC", "PT", "USDC/ETH"), "USDC"),
        "USDT": "USDT",
        "EURC": "EURC",
        "LDO": factors["LDO"],
        "XAUt": "XAUt",
        "osETH": "osETH",
        "PTh": "osETH",
        **{symbol: symbol for symbol in ODD},
        "emode:1": "ETH",
    }
    assert set(graph.factors()) == {*factors.values(), "EUR", "CBETH/ETH", "stETH/ETH"}
    assert factors["LDO"].isprintable()
    assert graph.groups == {"stables": ("USDC", "USDT")}
    assert [f.address for f in graph.factors()["ETH"]] == [world.feeds["ETH"], world.feeds["ETH2"]]
    assert graph.factors()["ETH"][0].description == "ETH / USD"
    assert graph.factors()["BTC"][0].address == world.feeds["BTC"]


def test_every_price_is_explained_or_held(world: World, graph: OracleGraph) -> None:
    market = described(world, graph.timestamp)[0]

    assert graph.answers_at({}, graph.timestamp) == market.answers
    absent = {symbol for symbol in world.assets if key(world, symbol) not in graph.prices}
    assert absent == {"ZERO", "BROKEN", "NONE"}


def test_warnings_name_source_and_feed(world: World, graph: OracleGraph) -> None:
    def about(source: str, feed: str = "") -> list[str]:
        return [w for w in graph.warnings if source in w and feed in w]

    assert about(world.sources["XAUt"], "unknown kind")
    assert about(world.sources["osETH"], "unknown kind")
    assert about(world.sources["osETH"], world.feeds["ETH"])
    assert about(world.sources["MIMIC"], world.feeds["BTC"])
    assert about(world.sources["LIAR"], "does not follow 'BTC / USD'")
    assert about(world.sources["LIAR"], world.feeds["EURC"])
    assert about(world.sources["BRAG"], "answers something else")
    assert about(world.sources["NEEDY"], "needs more of its feeds than answers")
    for symbol in BOUNDS:
        assert about(world.sources[symbol], f"does not follow 'USDC / USD' ({world.feeds['USDC']})")
        assert about(world.sources[symbol], f"reads 'USDC / USD' ({world.feeds['USDC']})")
    honest = {world.sources[s] for s in ("wstETH", "weETH", "USDC", "USDT", "EURC", "cbETH", "USDC/ETH", "PT", "GHO")}
    assert not [w for w in graph.warnings if any(source in w for source in honest)]


def test_wiring_equals_what_moves_when_a_feed_is_really_set(world: World, graph: OracleGraph) -> None:
    secret = {world.feeds["ETH"]: {"osETH", "PTh"}, world.feeds["BTC"]: {"LIAR", "MIMIC"}}
    secret |= {world.feeds["EURC"]: {"LIAR"}, world.feeds["USDT"]: {"BRAG"}, world.feeds["USDC"]: set(BOUNDS)}
    secret |= {world.feeds["LDO"]: {"NEEDY"}}
    before = prices(world)
    for name, address in world.feeds.items():
        if address not in graph.feeds:
            continue
        snapshot = world.anvil.rpc("evm_snapshot")
        answer = FEEDS[name][0] * 9 // 10  # below every cap, and so low that every cap on it binds
        world.chain.send(world.inner[name], "set(int256)", answer)
        world.chain.flush()
        now = int(world.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        after = prices(world)
        world.anvil.rpc("evm_revert", snapshot)
        expected = graph.answers_at({address: answer}, now)
        still = graph.answers_at({}, now)

        moved = {k for k in before if after[k] != still[k]}
        wired = {k for k in before if address in graph.prices[k].feeds()}
        hidden = {key(world, symbol) for symbol in secret.get(address, ())}
        assert moved == wired | hidden, name
        assert {k: after[k] for k in wired} == {k: expected[k] for k in wired}, name


def test_expressions_equal_the_contracts_at_random_answers_and_times(world: World, graph: OracleGraph) -> None:
    rng = random.Random(7)
    secret = {key(world, s) for s in ("osETH", "PTh", *ODD)}
    snapshot = world.anvil.rpc("evm_snapshot")
    for i in range(60):
        world.anvil.rpc("evm_increaseTime", rng.choice((0, 1, 3600, 86400)))
        answers = {name: max(1, int(FEEDS[name][0] * rng.uniform(0, 2))) for name in FEEDS}
        for name, answer in answers.items():
            world.chain.send(world.inner[name], "set(int256)", answer)
        world.chain.flush()
        now = int(world.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        moves = {world.feeds[name]: answer for name, answer in answers.items() if world.feeds[name] in graph.feeds}

        expected = {k: v for k, v in graph.answers_at(moves, now).items() if k not in secret and k != "emode:1"}
        assert {k: v for k, v in prices(world).items() if k not in secret} == expected, (i, answers)
    world.anvil.rpc("evm_revert", snapshot)


def test_an_overridden_proxy_prices_like_a_feed_that_is_set(world: World, graph: OracleGraph) -> None:
    feed = graph.feeds[world.feeds["ETH"]]
    answer = 123_456_789_012
    overridden = prices(world, overrides_for_answer(feed.address, answer, feed.decimals, graph.timestamp))

    expected = graph.answers_at({feed.address: answer}, graph.timestamp)
    hidden = {key(world, "osETH"), key(world, "PTh")}
    assert {k: v for k, v in overridden.items() if k not in hidden} == {
        k: v for k, v in expected.items() if k not in hidden and k != "emode:1"
    }
    assert overridden[key(world, "osETH")] == answer * 10_345 // 10_000


def test_a_stub_answers_as_a_feed_does(world: World) -> None:
    proxy = world.feeds["ETH"]
    code = {a: {"code": "0x" + c.hex()} for a, c in overrides_for_answer(proxy, -7, 11, 1_234_567).items()}

    def ask(signature: str, returns: str) -> tuple[Any, ...]:
        return world.chain.call(proxy, signature, returns, overrides=code)

    assert ask("latestAnswer()", "int256") == (-7,)
    assert ask("latestRoundData()", "uint80,int256,uint256,uint256,uint80") == (1, -7, 1_234_567, 1_234_567, 1)
    assert ask("latestTimestamp()", "uint256") == (1_234_567,)
    assert ask("decimals()", "uint8") == (11,)
    with pytest.raises(RpcError, match="revert"):
        ask("description()", "string")


def test_a_dead_feed_that_recovers_is_priced_again(world: World) -> None:
    snapshot = world.anvil.rpc("evm_snapshot")
    world.chain.send(world.inner["ETH"], "setZeroed(bool)", True)
    world.chain.flush()
    dead, alive = read(world), prices(world)
    world.anvil.rpc("evm_revert", snapshot)

    assert set(dead.prices) == set(alive)
    assert not set(dead.prices) & {key(world, s) for s in ("WETH", "wstETH", "cbETH", "osETH", "ZERO")}
    assert world.feeds["ETH"] not in dead.feeds
    assert dead.reserve_factors()[key(world, "WETH2")] == "ETH"
    assert key(world, "WETH") in read(world).prices


class WithoutOverrides:
    """A live reader of an endpoint that takes no state overrides."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        if overrides is not None:
            raise OverridesRefused("state overrides are not supported")
        return self._reader.call(calls)

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        raise OverridesRefused("state overrides are not supported")


def test_without_overrides_the_wiring_stands_and_is_called_unproven(world: World, graph: OracleGraph) -> None:
    with open_reader(world.anvil.url) as live:
        market, detail = described(world, live.block.timestamp)
        bare: Any = WithoutOverrides(live)
        unproven = read_oracle_graph(bare, market, detail)

    assert "not proven" in unproven.warnings[-1]
    believed = {"LIAR": "EURC", "NEEDY": graph.feeds[world.feeds["LDO"]].factor, **dict.fromkeys(BOUNDS, "USDC")}
    believed = {key(world, symbol): factor for symbol, factor in believed.items()}
    assert unproven.reserve_factors() == {**graph.reserve_factors(), **believed}
    assert unproven.answers_at({}, unproven.timestamp) == graph.answers_at({}, graph.timestamp)


class Changed:
    """A live reader whose lenses are run by something else."""

    def __init__(self, reader: Reader, lens: Callable[[Lens, Sequence[bytes]], Iterator[LensChunk]]) -> None:
        self._reader = reader
        self.lens = lens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def test_a_node_whose_calls_cannot_write_is_asked_for_each_move(world: World, graph: OracleGraph) -> None:
    def refuse(lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        raise RpcError("no state may change in an eth_call")

    with open_reader(world.anvil.url) as live:
        changed: Any = Changed(live, refuse)
        assert read(world, reader=changed) == graph


def test_a_node_that_charges_the_same_for_every_touch_is_asked_for_each_feed(world: World, graph: OracleGraph) -> None:
    with open_reader(world.anvil.url) as live:

        def touch_all(lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
            if lens.header[0] == 0:
                yield from live.lens(lens, items)
                return
            every = range(int.from_bytes(lens.header[1:3], "big"))
            records = (i.to_bytes(4, "big") + feed.to_bytes(28, "big") for i in range(len(items)) for feed in every)
            yield LensChunk(0, len(items), b"".join(records))

        changed: Any = Changed(live, touch_all)
        assert read(world, reader=changed) == graph


def test_an_oracle_that_alters_what_a_source_answers_is_held(world: World) -> None:
    floored = read(replace(world, oracle=world.floored))

    assert floored.prices[key(world, "XAUt")] == Constant(265_000_000_000)
    assert [w for w in floored.warnings if w.startswith("XAUt: its price moves with") and "held fixed" in w]
    assert not [a for a in floored.feeds if a == world.sources["XAUt"]]


def test_no_price_is_told_from_one_that_a_record_cannot_hold(world: World) -> None:
    assets = [world.assets[symbol] for symbol in ("XAUt", "ZERO", "GHO", "BROKEN")]
    source = world.sources["XAUt"]
    stub = overrides_for_answer(source, 7, 8, 1)
    answers = (2**192 - 1, 2**192, 0, -5, 2**254)
    with open_reader(world.anvil.url) as live:
        lens = price_lens(world.oracle, assets, stub)
        items = [UNMOVED, moved_item(source, 7, answers), UNMOVED]
        ((before,), moved, (after,)) = prices_by_lens(live, lens, assets, items)

    rest = {assets[1]: None, assets[2]: 10**8, assets[3]: None}
    assert before == after == {assets[0]: 7, **rest}
    assert moved == [{assets[0]: 2**192 - 1, **rest}, rest, {assets[0]: None, **rest}, {assets[0]: None, **rest}, rest]


def test_a_lens_starts_as_small_as_it_asks_for(world: World) -> None:
    with open_reader(world.anvil.url) as live:
        lens = replace(price_lens(world.oracle, [world.assets["WETH"]], {}), start=2)
        assert sorted((c.first, c.count) for c in live.lens(lens, [UNMOVED] * 5)) == [(0, 2), (2, 2), (4, 1)]


def test_a_whole_market_is_proven_by_two_requests(market: DevMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    request = Endpoint.request

    async def counted(endpoint: Endpoint, method: str, *args: Any, **more: Any) -> Any:
        asked.append(method)
        return await request(endpoint, method, *args, **more)

    with open_reader(market.anvil.url) as reader:
        found = read_market(reader, market.root, "devchain", "aave-v3")
        assert isinstance(found.detail, AaveDetail)
        reading = read_oracle(reader, found, found.detail)
        monkeypatch.setattr(Endpoint, "request", counted)
        graph = prove(reader, reading)
        assert asked == ["eth_call"] * 2
    assert len(graph.prices) >= 20
    assert not [w for w in graph.warnings if "not proven" in w]


def test_the_oracle_lens_bytecode_is_what_the_source_compiles_to(toolchain: Toolchain) -> None:
    folder = Path(oracle_lens.__file__).parent
    source = (folder / "oracle_lens.sol").read_text(encoding="utf-8")

    (artifact,) = toolchain.compile(
        {"oracle_lens.sol": source},
        ["oracle_lens.sol:OracleLens"],
        evm_version="paris",
        optimizer_runs=1_000_000,
        what="the oracle's lens",
    ).values()

    assert artifact.runtime == (folder / "oracle_lens.hex").read_text(encoding="ascii").strip()


def test_a_whole_markets_map_is_what_really_moves(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    with open_reader(market.anvil.url) as reader:
        read_out = read_market(reader, market.root, "devchain", "aave-v3")
        assert isinstance(read_out.detail, AaveDetail)
        graph = read_oracle_graph(reader, read_out, read_out.detail)
    keys = {str(info.id): name for name, info in market.reserves.items() if str(info.id) in graph.prices}
    hidden = {k for k, name in keys.items() if market.reserves[name].spec.wiring == "hidden"}

    assert graph.answers_at({}, graph.timestamp) == read_out.answers
    assert {graph.feeds[a].factor for a in market.feeds.values() if a in graph.feeds} >= {"ETH", "BTC", "USDC", "USDT"}
    for name, address in market.feeds.items():
        if address in graph.feeds:
            snapshot = market.snapshot()
            market.set_price(name, answer := graph.feeds[address].answer * 9 // 10)
            now, after = market.timestamp, {k: market.price(key) for k, key in keys.items()}
            market.revert(snapshot)
            still, expected = graph.answers_at({}, now), graph.answers_at({address: answer}, now)

            wired = {k for k in keys if address in graph.prices[k].feeds()}
            assert {k for k in keys if after[k] != still[k]} == wired | (hidden if name == "ETH" else set()), name
            assert {k: after[k] for k in wired} == {k: expected[k] for k in wired}, name
    named = {k for k in hidden if any(market.reserves[keys[k]].source in warning for warning in graph.warnings)}
    assert named == hidden != set()
