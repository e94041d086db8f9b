"""A fork: what is read after a payload is what a full scan of the fork reads, and what the contract on it says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import scanner
from scanner.chain.interface import Block
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.deeds import HELPER, Call, Deeds
from scanner.devchain.sheet import priced_members, read_sheets
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import Chain, calldata
from scanner.errors import ChainError, ConfigError, DevchainError, PayloadFailed, WrongChainError
from scanner.fork import Payload, Transaction, Wait, scan_fork
from scanner.fork import scan as fork_scan
from scanner.fork.node import ForkNode
from scanner.pipeline import Scanned, rescanned
from scanner.results import ScanResult
from scanner.units import WAD
from scanner.whatif import parse_whatif
from tests.chain.proxy import Request, Say, proxy, refuse

pytestmark = pytest.mark.chain

LENDING = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
MOST_REQUESTS = 1_000


def options(market: DevMarket, url: str | None = None, **more: Any) -> scanner.ScanOptions:
    return scanner.ScanOptions(
        rpc_urls=[url or market.anvil.url], markets=[market.root], from_block=market.first_block, **more
    )


def cut(market: DevMarket, key: str = "WETH", threshold: int = 7_000) -> Transaction:
    """Lower a threshold, as the admin, and the LTV to it at most."""
    spec = market.reserves[key].spec
    terms = (market.reserves[key].asset, min(spec.ltv, 6_000), threshold, spec.bonus)
    return Transaction(market.chain.sender, market.core.configurator, calldata(LENDING, *terms), name="the cut")


def transaction(call: Call) -> Transaction:
    sender, to, data = call
    return Transaction(sender, to, data, name="a deed")


@contextmanager
def forked(market: DevMarket, block: Block, payload: Payload) -> Iterator[ForkNode]:
    """Run a payload on a fork that is ours."""
    with ForkNode(market.anvil.url, block, market.anvil.chain_id, market.toolchain.anvil) as node:
        node.run(payload)
        yield node


def block_of(scanned: Scanned) -> Block:
    seen = scanned.result.snapshot
    return Block(seen.block_number, seen.block_hash, seen.block_timestamp)


def assert_same(result: ScanResult, whole: ScanResult) -> None:
    for name, frame in whole.frames.items():
        assert result.frames[name].equals(frame), name
    assert [market.completeness for market in result.markets] == [market.completeness for market in whole.markets]


def whole_scan(market: DevMarket, node: ForkNode, **more: Any) -> ScanResult:
    """Scan a fork as any node is scanned, with an index of its own."""
    with TemporaryDirectory() as folder:
        return scanner.scan(options(market, node.url, verify="all", index_file=Path(folder) / "index.db", **more))


def check(market: DevMarket, payload: Payload, url: str | None = None, **more: Any) -> tuple[Scanned, Scanned]:
    """Scan around a payload and hold what comes after against a full scan of another fork."""
    before, after = scan_fork(options(market, url, **more), payload)
    with forked(market, block_of(before), payload) as node:
        whole = whole_scan(market, node, **more)
    assert whole.trustworthy
    assert after.result.trustworthy
    assert_same(after.result, whole)
    return before, after


def liquidatable_on(node: Anvil, market: DevMarket, accounts: Sequence[str]) -> set[str]:
    """Ask the contract itself who is below one; who cannot be priced reverts and is not."""
    found = set()
    for account in accounts:
        try:
            answer = Chain(node).call(market.pool, "getUserAccountData(address)", ",".join(["uint256"] * 6), account)
        except ChainError:
            continue
        if answer[5] < WAD:
            found.add(account)
    return found


def below_one(scanned: Scanned) -> set[str]:
    accounts = scanned.result.frames["accounts"]
    return set(accounts.filter(accounts["status"].is_in(["liquidatable", "blocked"]))["position"])


def test_a_cut_threshold_makes_liquidatable_whom_the_contract_says(
    small: DevMarket, rollback: Callable[[DevMarket], DevMarket]
) -> None:
    rollback(small)
    lower = cut(small, threshold=small.reserves["WETH"].spec.threshold)  # the LTV, so that the threshold may follow
    small.chain.send_data(small.core.configurator, lower.data)
    small.chain.flush()
    seen: Counter[str] = Counter()

    def count(request: Request) -> None:
        seen[request["method"]] += 1

    payload = Payload((cut(small),))
    with proxy(small.anvil.url, count) as url:
        before, after = scan_fork(options(small, url), payload)
    assert seen.total() <= MOST_REQUESTS, seen
    assert "s3cret" not in repr(after)
    everybody = after.result.frames["accounts"]["position"].to_list()
    with forked(small, block_of(before), payload) as node:
        whole = whole_scan(small, node)
        now = liquidatable_on(node, small, everybody)
    assert whole.trustworthy
    assert_same(after.result, whole)
    was = liquidatable_on(small.anvil, small, everybody)
    assert below_one(before) == was
    assert below_one(after) == now
    assert len(now - was) >= 10
    assert after.result.snapshot.what_if == (f"on a fork: {payload.steps[0]}",)
    without = rescanned(before, parse_whatif(set_lt=["WETH=70%"]), options(small))
    assert_same(after.result, without.result)
    assert replace(after.result.snapshot, what_if=(), seconds={}) == replace(before.result.snapshot, seconds={})
    assert not set(after.result.warnings) - set(before.result.warnings)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_fork_of_twenty_thousand_borrowers_asks_little_of_the_endpoint(toolchain: Toolchain) -> None:
    seen: Counter[str] = Counter()

    def count(request: Request) -> None:
        seen[request["method"]] += 1

    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, "3.6", toolchain=toolchain)
        populate(market, 20_000)
        with proxy(anvil.url, count) as url:
            before, after = scan_fork(options(market, url), Payload((cut(market),)))
        assert seen.total() <= MOST_REQUESTS, seen
        with forked(market, block_of(before), Payload((cut(market),))) as node:
            assert_same(after.result, whole_scan(market, node))


def deeds(market: DevMarket) -> list[Call]:
    """Find calls that change all that a lens answers, each kind by another account, by trying them on the market."""
    made = Deeds(market, random.Random(5))
    sheets = read_sheets(market, priced_members(market, market.members))
    infos = market.reserves.values()
    calls: list[Call] = [
        (HELPER, i.asset, calldata("mint(address,uint256)", HELPER, 10 ** (i.decimals + 9))) for i in infos
    ]
    calls += [(HELPER, i.asset, calldata("approve(address,uint256)", market.pool, 2**255)) for i in infos]
    assert _goes(market, calls)
    taken: set[str] = set()
    for name, fits, deed in (
        ("off", lambda s: len(s.collateral) > 1, made.collateral_off),
        ("emode", lambda s: not s.debts or s.emode > 0, made.emode),
        ("transfer", lambda s: bool(s.collateral), made.transfer),
        ("supply", lambda s: bool(s.debts), made.supply),
        ("borrow", lambda s: bool(s.variable), made.borrow),
        ("repay", lambda s: bool(s.variable), made.repay_part),
        ("newcomer, collateral on", lambda s: "WETH" in s.collateral, made.newcomer),
        ("liquidation", lambda s: s.health < WAD and s.data.debt > 10**11, made.liquidate_part),
    ):
        for sheet in (s for s in sheets if s.address not in taken and fits(s)):
            if _goes(market, steps := list(deed(sheet))):
                calls += steps
                taken.add(sheet.address)
                break
        else:
            raise AssertionError(f"nobody can do this: {name}")
    return calls


def _goes(market: DevMarket, calls: Sequence[Call]) -> bool:
    """Do calls; where one reverts, none is done."""
    before = market.snapshot()
    try:
        for sender, to, data in calls:
            market.chain.send_data(to, data, sender=sender)
        market.chain.flush()
    except DevchainError:
        market.revert(before)
        return False
    return True


def test_everything_that_an_account_can_do_is_seen(
    small: DevMarket, rollback: Callable[[DevMarket], DevMarket]
) -> None:
    market = rollback(small)
    market.set_price("ETH", market.answer("ETH") * 90 // 100)
    start = market.snapshot()
    calls = deeds(market)
    market.revert(start)
    payload = Payload((*map(transaction, calls), Wait(3 * 86_400), cut(market, "DAI", 7_500)))
    before, after = check(market, payload)
    state = [
        scanned.result.frames["accounts"].select("position", "debt_raw", "emode_category")
        for scanned in (before, after)
    ]
    assert state[1].height == state[0].height + 1  # who never borrowed before
    assert after.reads[0].market.timestamp == before.reads[0].market.timestamp + 3 * 86_400


def test_a_change_without_a_log_is_seen(small: DevMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ForkNode.run

    def and_more(node: ForkNode, payload: Payload) -> Block:
        head = run(node, payload)
        # scaled debt of an account grows by a bit: OpenZeppelin's balances are slot 52 of the token (UserState)
        token, holder = small.reserves["USDC"].vtoken, debtor
        for slot in range(60):
            key = "0x" + _keccak(bytes(12) + bytes.fromhex(holder[2:]) + slot.to_bytes(32, "big")).hex()
            value = node.rpc("eth_getStorageAt", token, key, "latest")
            if int(value, 16) % 2**120:
                node.rpc("anvil_setStorageAt", token, key, f"0x{int(value, 16) + 10**6:064x}")
                return head
        raise AssertionError("the balance is somewhere else")

    sheets = read_sheets(small, priced_members(small, small.members))
    debtor = next(s.address for s in sheets if s.variable.keys() == {"USDC"} and s.health > 2 * WAD)
    monkeypatch.setattr(ForkNode, "run", and_more)
    before, after = scan_fork(options(small), Payload((cut(small),)))
    rows = [s.result.frames["accounts"].filter(position=debtor)["debt_raw"].item() for s in (before, after)]
    assert int(rows[1]) > int(rows[0])
    assert after.result.snapshot.complete is False  # the token's total knows nothing of it


def _keccak(data: bytes) -> bytes:
    from eth_utils.crypto import keccak

    return bytes(keccak(data))


def no_time(request: Request) -> Say | None:
    """Refuse a call at another time."""
    if request["method"] == "eth_call" and len(request["params"]) > 3:
        return refuse("too many arguments, want at most 3", -32602)
    return None


def no_storage(request: Request) -> None:
    """Leave changes to storage out without a word."""
    if request["method"] == "eth_call":
        for own in (request["params"] + [{}] * 3)[2].values():
            own.pop("stateDiff", None)


def sly(request: Request) -> None:
    """Leave changes to storage out of everything but the probe."""
    if request["method"] == "eth_call" and request["params"][0].get("to") != "0x" + b"liqbands.world......".hex():
        no_storage(request)


@pytest.mark.parametrize(
    ("rule", "word"),
    [(no_time, "want at most 3"), (no_storage, "ignores changes to storage"), (sly, "eth_call left out changes to")],
)
def test_an_endpoint_that_cannot_assume_changes_is_read_through_the_fork(
    tiny: DevMarket, rule: Callable[[Request], Say | None], word: str
) -> None:
    with proxy(tiny.anvil.url, rule) as url:
        _, after = check(tiny, Payload((Wait(86_400), cut(tiny))), url, extent="points")
    assert any(word in warning for warning in after.result.warnings), after.result.warnings


def test_what_a_fork_does_not_tell_of_itself_shows_in_the_accounts_that_it_is_asked_about(
    tiny: DevMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ForkNode, "accounts", lambda node: {})
    _, after = check(tiny, Payload((cut(tiny),)), extent="points")
    assert any("the fork says otherwise" in warning for warning in after.result.warnings)


@pytest.fixture(scope="module")
def tiny(toolchain: Toolchain) -> Iterator[DevMarket]:
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, "3.0", toolchain=toolchain)
        populate(market, 60)
        anvil.rpc("anvil_mine", hex(70))
        yield market


def test_a_transaction_that_reverts_is_named_with_its_reason(small: DevMarket) -> None:
    stranger = Transaction("0x" + "51" * 20, small.core.configurator, cut(small).data, name="--tx 2 of 2")
    with pytest.raises(PayloadFailed, match=r"--tx 2 of 2 .* reverted: CallerNotRiskOrPoolAdmin\(\)"):
        scan_fork(options(small), Payload((cut(small), stranger)))
    nobody = Transaction(small.chain.sender, "0x" + "52" * 20, b"\1\2\3\4", name="--tx")
    with pytest.raises(PayloadFailed, match="is no contract on chain 31337"):
        scan_fork(options(small), Payload((nobody,)))
    poor = Transaction("0x" + "51" * 20, "0x" + "53" * 20, value=10**30, name="--tx")
    with pytest.raises(PayloadFailed, match=r"cannot be sent: .*[Ii]nsufficient funds"):
        scan_fork(options(small), Payload((poor,)))
    with pytest.raises(WrongChainError, match="made for chain 1, and 31337"):
        scan_fork(options(small), Payload((cut(small),), chain_id=1))


def test_a_reason_of_an_old_market_is_named(tiny: DevMarket) -> None:
    stranger = Transaction("0x" + "51" * 20, tiny.core.configurator, cut(tiny).data, name="--tx")
    with pytest.raises(PayloadFailed, match="CALLER_NOT_RISK_OR_POOL_ADMIN"):
        scan_fork(options(tiny), Payload((stranger,)))


def test_both_scans_are_computed_for_a_stated_time(tiny: DevMarket) -> None:
    before, after = scan_fork(options(tiny, for_timestamp="+2d", extent="factor"), Payload((cut(tiny), Wait(86_400))))
    moments = [
        scanned.result.frames["liquidation_points"]["for_timestamp"].drop_nulls().unique().to_list()
        for scanned in (before, after)
    ]
    assert moments == [[before.result.snapshot.block_timestamp + 2 * 86_400]] * 2
    with pytest.raises(ConfigError, match="before the fork's own time"):
        scan_fork(options(tiny, for_timestamp="+1h"), Payload((Wait(86_400),)))


def test_the_key_of_a_url_is_nowhere_to_be_seen_and_the_node_ends(
    tiny: DevMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def interrupted(node: ForkNode, payload: Payload) -> Block:
        pids.append(node.pid)
        assert b"s3cret" not in Path(f"/proc/{node.pid}/cmdline").read_bytes()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, proxy(tiny.anvil.url, lambda request: None) as url:
        patched.setattr(ForkNode, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fork_scan.scan_fork(options(tiny, url), Payload((cut(tiny),)))
    assert not Path(f"/proc/{pids[0]}").exists()

    def down(request: Request) -> Say | None:
        return refuse("no more", -32000) if request["method"] == "eth_getStorageAt" else None

    with proxy(tiny.anvil.url, down) as url, pytest.raises(ChainError) as caught:
        scan_fork(options(tiny, url), Payload((cut(tiny),)))
    assert "s3cret" not in str(caught.value)
