"""Deploy Aave v3.6 (pool revision 10) from its public sources.

The order matters: an implementation's constructor asks the provider or the pool for what must exist by then, and
implementations are never initialised, only the proxies in front of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from eth_abi.abi import encode

from scanner.devchain.artifact import Artifact
from scanner.devchain.catalog import EModeSpec
from scanner.devchain.core import Core, Listing
from scanner.devchain.toolchain import CONTRACTS, Toolchain
from scanner.devchain.tx import DEPLOYER, ZERO, Chain, calldata
from scanner.errors import DevchainError

__all__ = ["compile_market", "deploy"]

_SOURCES: Final = "@aave-dao/aave-v3-origin/src/contracts"
_WANTED: Final = (
    "protocol/configuration/PoolAddressesProvider.sol:PoolAddressesProvider",
    "protocol/configuration/ACLManager.sol:ACLManager",
    "protocol/libraries/logic/BorrowLogic.sol:BorrowLogic",
    "protocol/libraries/logic/FlashLoanLogic.sol:FlashLoanLogic",
    "protocol/libraries/logic/LiquidationLogic.sol:LiquidationLogic",
    "protocol/libraries/logic/PoolLogic.sol:PoolLogic",
    "protocol/libraries/logic/SupplyLogic.sol:SupplyLogic",
    "protocol/libraries/logic/ConfiguratorLogic.sol:ConfiguratorLogic",
    "instances/PoolInstance.sol:PoolInstance",
    "instances/PoolConfiguratorInstance.sol:PoolConfiguratorInstance",
    "instances/ATokenInstance.sol:ATokenInstance",
    "instances/VariableDebtTokenInstance.sol:VariableDebtTokenInstance",
    "misc/DefaultReserveInterestRateStrategyV2.sol:DefaultReserveInterestRateStrategyV2",
    "misc/AaveOracle.sol:AaveOracle",
    "misc/PriceOracleSentinel.sol:PriceOracleSentinel",
    "helpers/AaveProtocolDataProvider.sol:AaveProtocolDataProvider",
)
_POOL_LIBRARIES: Final = ("BorrowLogic", "FlashLoanLogic", "LiquidationLogic", "PoolLogic", "SupplyLogic")
_LINKS: Final[Mapping[str, tuple[str, ...]]] = {
    "FlashLoanLogic": ("BorrowLogic",),
    "PoolInstance": _POOL_LIBRARIES,
    "PoolConfiguratorInstance": ("ConfiguratorLogic",),
}
_RESERVE_INPUT: Final = "(address,address,address,string,string,string,string,bytes,bytes)"
_TREASURY: Final = "0x" + "7e" * 20
_BATCH: Final = 16  # reserves per initReserves


def compile_market(toolchain: Toolchain) -> dict[str, Artifact]:
    """Compile the market's contracts, or take them from the cache; about 12 s the first time."""
    names = [f"{_SOURCES}/{name}" for name in _WANTED]
    imports = "".join(f'import "{name.partition(":")[0]}";\n' for name in names)
    source = f"// SPDX-License-Identifier: MIT\npragma solidity ^0.8.10;\n{imports}"
    return toolchain.compile({"Market.sol": source}, names, what="Aave v3.6 from its sources (once, about 15 seconds)")


class _Deployer:
    """Deploys artifacts once and links them with the libraries deployed before."""

    def __init__(self, chain: Chain, artifacts: Mapping[str, Artifact]) -> None:
        self.chain = chain
        self.artifacts = artifacts
        self.at: dict[str, str] = {}

    def __call__(self, name: str, types: str = "", *args: Any) -> str:
        links = {library: self.at[library] for library in _LINKS.get(name, ())}
        code = self.artifacts[name].linked(links)
        self.at[name] = self.chain.deploy(code, types, *args, what=name)
        return self.at[name]


def deploy(chain: Chain, toolchain: Toolchain, listings: Sequence[Listing], emodes: Sequence[EModeSpec]) -> Core:
    """Deploy the market, list the reserves with the ids of ``listings``, set up the e-modes and a sentinel that is up.

    The deployer holds every role. Raises DevchainError when a transaction reverts.
    """
    make = _Deployer(chain, {**compile_market(toolchain), **_own(toolchain)})
    root = make("PoolAddressesProvider", "string,address", "liqbands 3.6", DEPLOYER)
    chain.send(root, "setACLAdmin(address)", DEPLOYER)
    acl = make("ACLManager", "address", root)
    chain.send(root, "setACLManager(address)", acl)
    for role in ("addPoolAdmin(address)", "addAssetListingAdmin(address)", "addEmergencyAdmin(address)"):
        chain.send(acl, role, DEPLOYER)
    strategy = make("DefaultReserveInterestRateStrategyV2", "address", root)
    for library in (*_POOL_LIBRARIES, "ConfiguratorLogic"):
        make(library)
    chain.send(root, "setPoolImpl(address)", make("PoolInstance", "address,address", root, strategy))
    chain.send(root, "setPoolConfiguratorImpl(address)", make("PoolConfiguratorInstance"))
    pool, configurator = (chain.call(root, f"{name}()", "address")[0] for name in ("getPool", "getPoolConfigurator"))
    data_provider = make("AaveProtocolDataProvider", "address", root)
    chain.send(root, "setPoolDataProvider(address)", data_provider)
    oracle = _oracle(make, root, listings)
    sequencer, sentinel = _sentinel(make, root)
    atoken = make("ATokenInstance", "address,address,address", pool, ZERO, _TREASURY)
    vtoken = make("VariableDebtTokenInstance", "address,address", pool, ZERO)
    _list_reserves(chain, configurator, listings, atoken, vtoken)
    _configure(chain, configurator, listings)
    _set_emodes(chain, configurator, listings, emodes)
    atokens, vtokens = _tokens(chain, pool, listings)
    return Core(
        root, pool, configurator, oracle, acl, data_provider, _TREASURY, atokens, vtokens, (), sequencer, sentinel
    )


def _own(toolchain: Toolchain) -> dict[str, Artifact]:
    source = (CONTRACTS / "Sequencer.sol").read_text(encoding="utf-8")
    return toolchain.compile({"Sequencer.sol": source}, ["Sequencer.sol:Sequencer"], what="the sequencer feed")


def _oracle(make: _Deployer, root: str, listings: Sequence[Listing]) -> str:
    types = "address,address[],address[],address,address,uint256"
    assets, sources = [listing.asset for listing in listings], [listing.source for listing in listings]
    oracle = make("AaveOracle", types, root, assets, sources, ZERO, ZERO, 10**8)
    make.chain.send(root, "setPriceOracle(address)", oracle)
    return oracle


def _sentinel(make: _Deployer, root: str) -> tuple[str, str]:
    sequencer = make("Sequencer")
    sentinel = make("PriceOracleSentinel", "address,address,uint256", root, sequencer, 0)
    make.chain.send(root, "setPriceOracleSentinel(address)", sentinel)
    return sequencer, sentinel


def _list_reserves(chain: Chain, configurator: str, listings: Sequence[Listing], atoken: str, vtoken: str) -> None:
    inputs = []
    for listing in listings:
        spec = listing.spec
        rates = encode(["(uint16,uint32,uint32,uint32)"], [(8000, 0, spec.slope1, 6000)])
        names = (f"Aave {spec.key}", f"a{spec.key}", f"Aave Variable Debt {spec.key}", f"variableDebt{spec.key}")
        inputs.append((atoken, vtoken, listing.asset, *names, b"", rates))
    for start in range(0, len(inputs), _BATCH):
        chain.send(configurator, f"initReserves({_RESERVE_INPUT}[])", inputs[start : start + _BATCH])


def _configure(chain: Chain, configurator: str, listings: Sequence[Listing]) -> None:
    for listing in listings:
        spec, asset = listing.spec, listing.asset
        if spec.threshold:
            terms = (asset, spec.ltv, spec.threshold, spec.bonus)
            chain.send(configurator, "configureReserveAsCollateral(address,uint256,uint256,uint256)", *terms)
        chain.send(configurator, "setReserveBorrowing(address,bool)", asset, spec.borrowable)
        chain.send(configurator, "setReserveFlashLoaning(address,bool)", asset, True)
        chain.send(configurator, "setReserveFactor(address,uint256)", asset, spec.reserve_factor)
        chain.send(configurator, "setLiquidationProtocolFee(address,uint256)", asset, spec.protocol_fee)


def _set_emodes(chain: Chain, configurator: str, listings: Sequence[Listing], emodes: Sequence[EModeSpec]) -> None:
    assets = {listing.spec.key: listing.asset for listing in listings}
    for mode in emodes:
        terms = (mode.id, mode.ltv, mode.threshold, mode.bonus, mode.label)
        chain.send(configurator, "setEModeCategory(uint8,uint16,uint16,uint16,string)", *terms)
        for key in mode.collateral:
            chain.send(configurator, "setAssetCollateralInEMode(address,uint8,bool)", assets[key], mode.id, True)
        for key in mode.borrowable:
            chain.send(configurator, "setAssetBorrowableInEMode(address,uint8,bool)", assets[key], mode.id, True)


def _tokens(chain: Chain, pool: str, listings: Sequence[Listing]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    chain.flush()
    found = []
    for getter in ("getReserveAToken(address)", "getReserveVariableDebtToken(address)"):
        requests = [(pool, calldata(getter, listing.asset), "address") for listing in listings]
        found.append(tuple(answer[0] for answer in chain.calls(requests)))
    listed = chain.call(pool, "getReservesList()", "address[]")[0]
    if [asset.lower() for asset in listed] != [listing.asset for listing in listings]:
        raise DevchainError("the pool lists its reserves in another order than they were given")
    return found[0], found[1]
