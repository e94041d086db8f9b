"""A deployed local market: its addresses, and the levers that tests and the demo pull."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from scanner.config import cache_dir
from scanner.devchain import aave_v30, aave_v36, catalog
from scanner.devchain.anvil import Anvil
from scanner.devchain.assets import Assets, deploy_assets
from scanner.devchain.catalog import ReserveSpec
from scanner.devchain.core import Core
from scanner.devchain.toolchain import Toolchain, install
from scanner.devchain.tx import Chain, calldata
from scanner.errors import DevchainError

__all__ = ["KINDS", "AccountData", "DevMarket", "Kind", "Member", "ReserveInfo", "deploy_market"]

Kind = Literal["3.6", "3.0"]
KINDS: Final = ("3.6", "3.0")
GRACE_SECONDS: Final = 4 * 3600  # the longest that the configurator takes

# where the feeds of the reserves with a fate end up, in percent of the first answer: some of their holders fall below 1
_FALLS: Final[Mapping[str, int]] = {"AAVE": 80, "MKR": 75, "CRV": 85, "LDO": 75}


@dataclass(frozen=True, slots=True)
class ReserveInfo:
    """One listed reserve."""

    id: int
    key: str
    symbol: str
    decimals: int
    asset: str
    atoken: str
    vtoken: str
    stoken: str | None
    source: str
    spec: ReserveSpec


@dataclass(frozen=True, slots=True)
class AccountData:
    """What the pool's getUserAccountData answers; base units, basis points, wad."""

    collateral: int
    debt: int
    available: int
    threshold: int
    ltv: int
    health_factor: int


@dataclass(frozen=True, slots=True)
class Member:
    """An account of the population and why it was made."""

    address: str
    kind: str


@dataclass(slots=True)
class DevMarket:
    """A market on a running anvil. Everything that changes it is mined before the method returns."""

    anvil: Anvil
    toolchain: Toolchain
    chain: Chain
    kind: Kind
    seed: int  # the population's, unless another is asked for
    core: Core
    feeds: Mapping[str, str]  # feed name to its address (a proxy)
    aggregators: Mapping[str, str]  # feed name to the settable feed behind it
    reserves: Mapping[str, ReserveInfo]  # by key, in the order of the ids
    first_block: int
    members: list[Member] = field(default_factory=list)

    @property
    def root(self) -> str:
        """Give the PoolAddressesProvider."""
        return self.core.root

    @property
    def pool(self) -> str:
        """Give the pool."""
        return self.core.pool

    @property
    def oracle(self) -> str:
        """Give the market's oracle."""
        return self.core.oracle

    @property
    def timestamp(self) -> int:
        """Give the timestamp of the newest block."""
        return int(self.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def price(self, key: str) -> int:
        """Give the oracle's answer for a reserve; RpcError when the oracle reverts."""
        answer: int = self.chain.call(self.oracle, "getAssetPrice(address)", "uint256", self.reserves[key].asset)[0]
        return answer

    def answer(self, feed: str) -> int:
        """Give the answer of a feed by its name."""
        answer: int = self.chain.call(self.feeds[feed], "latestAnswer()", "int256")[0]
        return answer

    def set_price(self, feed: str, value: int) -> None:
        """Set the answer of a feed (by name, in the feed's own decimals)."""
        if feed not in self.aggregators:
            raise DevchainError(f"no feed {feed!r}; the market has {', '.join(sorted(self.aggregators))}")
        self.chain.send(self.aggregators[feed], "set(int256)", value)
        self.chain.flush()

    def set_sentinel(self, *, down: bool) -> None:
        """Take the sequencer behind the price oracle sentinel down, or up again."""
        if self.core.sequencer is None:
            raise DevchainError(f"a {self.kind} market has no sentinel here")
        self.chain.send(self.core.sequencer, "set(bool)", down)
        self.chain.flush()

    def break_feeds(self, *, broken: bool = True) -> None:
        """Let the feeds wired ``zero`` answer zero and those wired ``revert`` revert, or mend them."""
        for info in self.reserves.values():
            if info.spec.wiring == "zero":
                self.chain.send(self.aggregators[info.spec.base], "setZeroed(bool)", broken)
            if info.spec.wiring == "revert":
                self.chain.send(self.aggregators[info.spec.base], "setBroken(bool)", broken)
        self.chain.flush()

    def settle(self) -> None:
        """Let reserves freeze, pause, lose their LTV or enter a grace period, and let feeds fall and break."""
        for feed, percent in _FALLS.items():
            self.chain.send(self.aggregators[feed], "set(int256)", self.answer(feed) * percent // 100)
        for info in self.reserves.values():
            self._meet_fate(info)
        self.break_feeds()

    def _meet_fate(self, info: ReserveInfo) -> None:
        configurator, spec = self.core.configurator, info.spec
        match spec.fate:
            case "frozen":
                self.chain.send(configurator, "setReserveFreeze(address,bool)", info.asset, True)
            case "paused":
                self.chain.send(configurator, "setReservePause(address,bool)", info.asset, True)
            case "ltv0":
                terms = (info.asset, 0, spec.threshold, spec.bonus)
                self.chain.send(configurator, "configureReserveAsCollateral(address,uint256,uint256,uint256)", *terms)
            case "grace" if self.kind != "3.0":  # 3.0 knows no grace period
                terms_ = (info.asset, False, GRACE_SECONDS)
                self.chain.send(configurator, "setReservePause(address,bool,uint40)", *terms_)

    def advance(self, seconds: int) -> None:
        """Mine a block ``seconds`` after the newest one."""
        self.chain.flush()
        self.anvil.rpc("evm_setNextBlockTimestamp", self.timestamp + seconds)
        self.anvil.rpc("evm_mine")

    def hold_clock(self, *, held: bool) -> None:
        """Give the blocks to come the timestamp of the newest one, or let them be a second apart again."""
        self.anvil.rpc("anvil_setBlockTimestampInterval", 0 if held else 1)

    def snapshot(self) -> str:
        """Remember the chain's state; give the id for ``revert``."""
        self.chain.flush()
        identity: str = self.anvil.rpc("evm_snapshot")
        return identity

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot, once."""
        self.chain.flush()
        if not self.anvil.rpc("evm_revert", snapshot):
            raise DevchainError(f"anvil has no snapshot {snapshot}")

    def account_data(
        self,
        accounts: Sequence[str],
        *,
        block: str | int = "latest",
        overrides: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[AccountData]:
        """Ask the pool for each account's data, one call per account; RpcError when one reverts."""
        types = "uint256,uint256,uint256,uint256,uint256,uint256"
        found: list[AccountData] = []
        for start in range(0, len(accounts), 500):
            part = accounts[start : start + 500]
            requests = [(self.pool, calldata("getUserAccountData(address)", account), types) for account in part]
            answers = self.chain.calls(requests, block=block, overrides=overrides)
            found.extend(AccountData(*(int(value) for value in answer)) for answer in answers)
        return found

    def of_kind(self, *kinds: str) -> list[str]:
        """Give the addresses of the members of these kinds."""
        return [member.address for member in self.members if member.kind in kinds]


def deploy_market(
    anvil: Anvil,
    kind: Kind = "3.6",
    seed: int = 1,
    reserves: int = catalog.BASE_COUNT,
    *,
    toolchain: Toolchain | None = None,
) -> DevMarket:
    """Deploy tokens, feeds, adapters and a real Aave market with ``reserves`` reserves on a running anvil.

    ``seed`` is the default of ``populate``. Without a ``toolchain`` the one of the user's cache folder serves.
    """
    if kind not in KINDS:
        raise DevchainError(f"no market of kind {kind!r}; there are {', '.join(KINDS)}")
    toolchain = toolchain or install(cache_dir())
    chain = Chain(anvil)
    first_block = chain.block_number() + 1
    assets = deploy_assets(chain, toolchain, catalog.reserves(reserves))
    deploy = aave_v36.deploy if kind == "3.6" else aave_v30.deploy
    core = deploy(chain, toolchain, assets.listings, catalog.EMODES)
    chain.flush()
    return DevMarket(
        anvil=anvil,
        toolchain=toolchain,
        chain=chain,
        kind=kind,
        seed=seed,
        core=core,
        feeds={**assets.feeds, **core.feeds},
        aggregators={**assets.aggregators, **core.aggregators},
        reserves=_infos(assets, core),
        first_block=first_block,
    )


def _infos(assets: Assets, core: Core) -> dict[str, ReserveInfo]:
    stokens: Sequence[str | None] = core.stokens or [None] * len(assets.listings)
    found = {}
    for listing in assets.listings:
        spec, i = listing.spec, listing.id
        found[spec.key] = ReserveInfo(
            i,
            spec.key,
            spec.symbol,
            spec.decimals,
            listing.asset,
            core.atokens[i],
            core.vtokens[i],
            stokens[i],
            listing.source,
            spec,
        )
    return found
