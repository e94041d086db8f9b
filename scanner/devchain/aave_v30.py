"""Deploy a real Aave v3.0.x market (``POOL_REVISION`` 1) from the artifacts of npm ``@aave/core-v3``.

What differs from 3.6: three tokens per reserve (debt at a stable rate too), one e-mode category per reserve, a
category that may carry its own price source, no grace period of a single reserve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from scanner.devchain.artifact import Artifact
from scanner.devchain.catalog import EModeSpec
from scanner.devchain.core import Core, Listing
from scanner.devchain.toolchain import CONTRACTS, Toolchain
from scanner.devchain.tx import DEPLOYER, ZERO, Chain, calldata
from scanner.errors import DevchainError

__all__ = ["EMODE_FEED", "STABLE_RATE", "deploy", "legacy_categories"]

STABLE_RATE: Final = frozenset({"WETH", "USDC", "USDT", "DAI", "LINK"})
"""Keys of the reserves that also lend at a stable rate."""

EMODE_FEED: Final = "EMODE-USD"
"""Name of the feed that prices collateral and debt of the accounts in the stablecoin category."""

_PRICED_CATEGORY: Final = 2
_EMODE_ANSWER: Final = 99_950_000
_ARTIFACTS: Final = "@aave/core-v3/artifacts/contracts"
_LOGIC: Final = "protocol/libraries/logic"
_POOL_LIBRARIES: Final = (
    "BorrowLogic",
    "FlashLoanLogic",
    "BridgeLogic",
    "EModeLogic",
    "LiquidationLogic",
    "PoolLogic",
    "SupplyLogic",
)
_ROLES: Final = ("addPoolAdmin", "addAssetListingAdmin", "addEmergencyAdmin", "addRiskAdmin")
_RESERVE_INPUT: Final = (
    "(address,address,address,uint8,address,address,address,address,string,string,string,string,string,string,bytes)"
)
_RESERVE_DATA: Final = (  # a static struct reads like its members
    "uint256,uint128,uint128,uint128,uint128,uint128,uint40,uint16,"
    "address,address,address,address,uint128,uint128,uint128"
)
_TREASURY: Final = "0x" + "7e" * 20
_RAY_PER_BPS: Final = 10**23
_BATCH: Final = 16  # reserves per initReserves


class _Deployer:
    """Deploys npm artifacts and links them with the libraries deployed before."""

    def __init__(self, chain: Chain, toolchain: Toolchain) -> None:
        self.chain = chain
        self.toolchain = toolchain
        self.at: dict[str, str] = {}

    def __call__(self, path: str, types: str = "", *args: Any) -> str:
        name = path.rpartition("/")[2]
        artifact = self.toolchain.artifact(f"{_ARTIFACTS}/{path}.sol/{name}.json")
        self.at[name] = self.chain.deploy(artifact.linked(self.at), types, *args, what=name)
        return self.at[name]

    def own(self, source: str, names: Sequence[str]) -> dict[str, Artifact]:
        """Compile contracts of ours, or take them from the cache."""
        text = (CONTRACTS / source).read_text(encoding="utf-8")
        return self.toolchain.compile({source: text}, [f"{source}:{name}" for name in names], what=source)


def legacy_categories(emodes: Sequence[EModeSpec]) -> dict[str, int]:
    """Give each reserve's e-mode category by key; a reserve that several categories name stays in the first."""
    found: dict[str, int] = {}
    for mode in emodes:
        for key in (*mode.collateral, *mode.borrowable):
            found.setdefault(key, mode.id)
    return found


def deploy(chain: Chain, toolchain: Toolchain, listings: Sequence[Listing], emodes: Sequence[EModeSpec]) -> Core:
    """Deploy the market, list the reserves with the ids of ``listings``, set up e-modes and a sentinel that is up.

    The deployer holds every role. Raises DevchainError when a transaction reverts.
    """
    make = _Deployer(chain, toolchain)
    root = make("protocol/configuration/PoolAddressesProvider", "string,address", "liqbands 3.0", DEPLOYER)
    chain.send(root, "setACLAdmin(address)", DEPLOYER)
    acl = make("protocol/configuration/ACLManager", "address", root)
    chain.send(root, "setACLManager(address)", acl)
    for role in _ROLES:
        chain.send(acl, f"{role}(address)", DEPLOYER)
    pool, configurator = _pool(make, root)
    data_provider = make("misc/AaveProtocolDataProvider", "address", root)
    chain.send(root, "setPoolDataProvider(address)", data_provider)
    aggregator, source = _emode_feed(make)
    oracle = _oracle(make, root, listings, source)
    sequencer, sentinel = _sentinel(make, root)
    _list_reserves(make, root, pool, configurator, listings)
    _configure(chain, configurator, listings)
    _set_emodes(chain, configurator, listings, emodes, source)
    atokens, stokens, vtokens = _tokens(chain, pool, listings)
    return Core(
        root,
        pool,
        configurator,
        oracle,
        acl,
        data_provider,
        _TREASURY,
        atokens,
        vtokens,
        stokens,
        sequencer,
        sentinel,
        feeds={EMODE_FEED: source},
        aggregators={EMODE_FEED: aggregator},
    )


def _pool(make: _Deployer, root: str) -> tuple[str, str]:
    """Deploy pool and configurator behind the provider's proxies.

    The implementations are initialised as well: left open, anybody could take the role of their provider.
    """
    chain = make.chain
    for library in (*_POOL_LIBRARIES, "ConfiguratorLogic"):
        make(f"{_LOGIC}/{library}")
    pool = make("protocol/pool/Pool", "address", root)
    chain.send(pool, "initialize(address)", root)
    chain.send(root, "setPoolImpl(address)", pool)
    configurator = make("protocol/pool/PoolConfigurator")
    chain.send(configurator, "initialize(address)", root)
    chain.send(root, "setPoolConfiguratorImpl(address)", configurator)
    return (
        str(chain.call(root, "getPool()", "address")[0]),
        str(chain.call(root, "getPoolConfigurator()", "address")[0]),
    )


def _emode_feed(make: _Deployer) -> tuple[str, str]:
    """Deploy the price source of a category: a settable feed, and the proxy in front of it."""
    own = make.own("Feeds.sol", ("PriceFeed", "FeedProxy"))
    feed = make.chain.deploy(own["PriceFeed"], "int256,uint8,string", _EMODE_ANSWER, 8, "EMODE / USD")
    return feed, make.chain.deploy(own["FeedProxy"], "address", feed)


def _oracle(make: _Deployer, root: str, listings: Sequence[Listing], source: str) -> str:
    """Deploy the oracle. A category's price source is looked up like an asset, so it is listed as its own source."""
    assets = [*(listing.asset for listing in listings), source]
    sources = [*(listing.source for listing in listings), source]
    types = "address,address[],address[],address,address,uint256"
    oracle = make("misc/AaveOracle", types, root, assets, sources, ZERO, ZERO, 10**8)
    make.chain.send(root, "setPriceOracle(address)", oracle)
    return oracle


def _sentinel(make: _Deployer, root: str) -> tuple[str, str]:
    sequencer = make.chain.deploy(make.own("Sequencer.sol", ("Sequencer",))["Sequencer"])
    types = "address,address,uint256"
    sentinel = make("protocol/configuration/PriceOracleSentinel", types, root, sequencer, 0)
    make.chain.send(root, "setPriceOracleSentinel(address)", sentinel)
    return sequencer, sentinel


def _strategy(make: _Deployer, root: str, slope1: int) -> str:
    """Deploy a rate strategy: optimum at 80 % usage, a stable rate 1 % above the first variable slope."""
    stable = (50, 6000, 100, 800, 2000)  # two slopes, offset, excess offset, optimal share of stable debt
    bps = (8000, 0, slope1, 6000, *stable)
    types = ",".join(("address", *["uint256"] * len(bps)))
    return make(
        "protocol/pool/DefaultReserveInterestRateStrategy", types, root, *(value * _RAY_PER_BPS for value in bps)
    )


def _list_reserves(make: _Deployer, root: str, pool: str, configurator: str, listings: Sequence[Listing]) -> None:
    implementations = [
        make(f"protocol/tokenization/{name}", "address", pool)
        for name in ("AToken", "StableDebtToken", "VariableDebtToken")
    ]
    slopes = sorted({listing.spec.slope1 for listing in listings})
    strategies = {slope: _strategy(make, root, slope) for slope in slopes}
    inputs = []
    for listing in listings:
        spec = listing.spec
        kinds = (("", "a"), ("Variable Debt ", "variableDebt"), ("Stable Debt ", "stableDebt"))
        names = [text for title, prefix in kinds for text in (f"Aave {title}{spec.key}", f"{prefix}{spec.key}")]
        head = (*implementations, spec.decimals, strategies[spec.slope1], listing.asset, _TREASURY, ZERO)
        inputs.append((*head, *names, b""))
    for start in range(0, len(inputs), _BATCH):
        make.chain.send(configurator, f"initReserves({_RESERVE_INPUT}[])", inputs[start : start + _BATCH])


def _configure(chain: Chain, configurator: str, listings: Sequence[Listing]) -> None:
    for listing in listings:
        spec, asset = listing.spec, listing.asset
        if spec.threshold:
            terms = (asset, spec.ltv, spec.threshold, spec.bonus)
            chain.send(configurator, "configureReserveAsCollateral(address,uint256,uint256,uint256)", *terms)
        chain.send(configurator, "setReserveBorrowing(address,bool)", asset, spec.borrowable)
        if spec.key in STABLE_RATE:
            chain.send(configurator, "setReserveStableRateBorrowing(address,bool)", asset, True)
        chain.send(configurator, "setReserveFlashLoaning(address,bool)", asset, True)
        chain.send(configurator, "setReserveFactor(address,uint256)", asset, spec.reserve_factor)
        chain.send(configurator, "setLiquidationProtocolFee(address,uint256)", asset, spec.protocol_fee)


def _set_emodes(
    chain: Chain, configurator: str, listings: Sequence[Listing], emodes: Sequence[EModeSpec], source: str
) -> None:
    for mode in emodes:
        price_source = source if mode.id == _PRICED_CATEGORY else ZERO
        terms = (mode.id, mode.ltv, mode.threshold, mode.bonus, price_source, mode.label)
        chain.send(configurator, "setEModeCategory(uint8,uint16,uint16,uint16,address,string)", *terms)
    assets = {listing.spec.key: listing.asset for listing in listings}
    for key, category in legacy_categories(emodes).items():
        chain.send(configurator, "setAssetEModeCategory(address,uint8)", assets[key], category)


def _tokens(chain: Chain, pool: str, listings: Sequence[Listing]) -> tuple[tuple[str, ...], ...]:
    """Read the aTokens, stable and variable debt tokens by reserve id, and check that the ids are as given."""
    chain.flush()
    requests = [(pool, calldata("getReserveData(address)", listing.asset), _RESERVE_DATA) for listing in listings]
    rows = chain.calls(requests)
    if [row[7] for row in rows] != [listing.id for listing in listings]:
        raise DevchainError("the pool gave its reserves other ids than they were listed with")
    return tuple(tuple(str(row[column]) for row in rows) for column in (8, 9, 10))
