"""Make the planned borrowers through the real pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eth_abi.abi import encode

from scanner.devchain.catalog import EMODES
from scanner.devchain.market import DevMarket, Member
from scanner.devchain.plan import BookEntry, Planned, plan, totals
from scanner.devchain.toolchain import CONTRACTS, Say, silent
from scanner.devchain.tx import DEPLOYER, create_address, selector

__all__ = ["populate", "read_book"]

_PER_TRANSACTION: Final = 100
_PER_BLOCK: Final = 20
_LIQUIDITY: Final = 10**6 * 10**8  # base units that the deployer supplies to every reserve beside what is borrowed


def read_book(market: DevMarket) -> dict[str, BookEntry]:
    """Read today's prices and put them beside the terms of each reserve."""
    emodes: dict[str, dict[int, tuple[int, int]]] = {}
    for mode in EMODES:
        for key in mode.collateral:
            emodes.setdefault(key, {})[mode.id] = (mode.ltv, mode.threshold)
    return {
        key: BookEntry(
            info.id,
            10**info.decimals,
            market.price(key),
            info.spec.ltv,
            info.spec.threshold,
            emodes.get(key, {}),
        )
        for key, info in market.reserves.items()
    }


def populate(
    market: DevMarket, borrowers: int = 2000, seed: int | None = None, *, settle: bool = True, say: Say = silent
) -> list[Member]:
    """Make ``borrowers`` accounts and give them; ``settle`` then lets the fates of the reserves happen.

    The seed is the market's unless one is given. The deployer supplies the liquidity first. Raises DevchainError when
    the pool refuses a step.
    """
    book = read_book(market)
    accounts = plan(market.seed if seed is None else seed, borrowers, book, legacy=market.kind == "3.0")
    factory = _factory(market, book, accounts)
    members = []
    for start in range(0, len(accounts), _PER_TRANSACTION):
        part = accounts[start : start + _PER_TRANSACTION]
        market.chain.send_data(factory, _make(part), what="make(uint256[][])")
        # a contract's nonce starts at 1
        members += [Member(create_address(factory, 1 + start + i), account.kind) for i, account in enumerate(part)]
        if len(members) % (_PER_TRANSACTION * _PER_BLOCK) == 0:
            market.chain.flush()
            say(f"{len(members):,} of {borrowers:,} borrowers")
    market.chain.flush()
    market.members += members
    if settle:
        market.settle()
    return members


def _factory(market: DevMarket, book: Mapping[str, BookEntry], accounts: Sequence[Planned]) -> str:
    source = (CONTRACTS / "Borrowers.sol").read_text(encoding="utf-8")
    unit = "Borrowers.sol"
    artifact = market.toolchain.compile({unit: source}, [f"{unit}:Factory"], what="the borrowers' factory")["Factory"]
    assets = [info.asset for info in market.reserves.values()]
    debt_tokens = [info.vtoken for info in market.reserves.values()]
    factory = market.chain.deploy(artifact, "address,address[],address[]", market.pool, assets, debt_tokens)
    held, borrowed = totals(accounts, len(assets))
    provided = [
        borrowed[entry.id] * 3 // 2 + _LIQUIDITY * entry.unit // entry.price
        for entry in sorted(book.values(), key=lambda entry: entry.id)
    ]
    market.chain.send(factory, "prepare(uint256[],uint256[],address)", provided, held, DEPLOYER)
    return factory


def _make(accounts: Sequence[Planned]) -> bytes:
    programs = [[step.op << 248 | step.reserve << 240 | step.amount for step in account.steps] for account in accounts]
    return selector("make(uint256[][])") + encode(["uint256[][]"], [programs])
