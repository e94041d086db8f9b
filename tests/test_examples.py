"""The examples run, on the demo's recording, and those that act on a real market."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scanner import scan
from scanner.cli.commands import DEMO
from scanner.config import cache_dir, child_environment
from scanner.devchain import Anvil, DevMarket, deploy_market, install, populate
from scanner.devchain.deeds import HELPER
from scanner.devchain.market import KINDS, Kind
from scanner.devchain.sheet import priced_members
from scanner.devchain.tx import calldata
from scanner.errors import RpcError
from scanner.export.documents import accounts_json, scan_document
from scanner.units import WAD
from tests.chain.peers import options_of, where

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent


def run(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    path = f"{BIN}{os.pathsep}/usr/bin{os.pathsep}/bin"
    words = [str(word) for word in command]
    environment = {"PATH": path, "HOME": "/", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def ndjson() -> str:
    done = run(BIN / "liqbands", "accounts", "--replay", DEMO, "--format", "ndjson", "--no-progress")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+\.\w+)\)", readme)) == names
    assert all(name in Path(__file__).read_text(encoding="utf-8") for name in names)


def test_scan_to_frames() -> None:
    done = run(sys.executable, EXAMPLES / "scan_to_frames.py", "--replay", DEMO)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert "ETH at $2,100.00" in lines[0]
    assert re.fullmatch(r"down to \$1,890\.00: \d+ accounts, \$[\d,]+ seizable", lines[-1])
    document = scan_document(scan(replay=DEMO, verify="none", extent="factor", factor="ETH"))
    (eth,) = [factor for factor in document["factors"] if factor["factor"] == "ETH"]
    falls = [band for band in eth["bands"] if band["direction"] == "down" and band["lower_price_usd"] >= 1_890]
    assert sum(band["account_count"] for band in falls) == int(lines[-1].split()[3])


def test_bot_candidates(ndjson: str) -> None:
    done = run(sys.executable, EXAMPLES / "bot_candidates.py", "--within", "3", text=ndjson)
    assert done.returncode == 0, done.stderr
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    assert {call["when"] for call in calls} >= {"now", "ETH"}
    assert all(int(call["receive_raw"]) > 0 and int(call["repay_raw"]) > 0 for call in calls)


def test_bot_candidates_refuses_an_incomplete_scan(ndjson: str) -> None:
    broken = ndjson.replace('"complete":true', '"complete":false', 1)
    done = run(sys.executable, EXAMPLES / "bot_candidates.py", text=broken)
    assert done.returncode == 1
    assert "incomplete" in done.stderr


@pytest.mark.parametrize(("now", "fall", "code"), [("10M", "50M", 0), ("1000", "50M", 1), ("10M", "1M", 1)])
def test_ci_check(now: str, fall: str, code: int) -> None:
    done = run(EXAMPLES / "ci" / "check.sh", now, fall, "--replay", DEMO)
    assert done.returncode == code, done.stderr
    assert re.search(r"max_seizable now +(kept|broken) +\$[\d,]+", done.stdout)


def test_bot_candidates_says_when_nothing_came() -> None:
    done = run(sys.executable, EXAMPLES / "bot_candidates.py", text="")
    assert done.returncode == 1
    assert "nothing came in" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "usage"), (("1000",), "usage"), (("--replay", "x"), "usage"), (("ten", "1"), "give dollars")],
)
def test_ci_check_refuses_limits_that_are_no_number(arguments: tuple[str, ...], said: str) -> None:
    done = run(EXAMPLES / "ci" / "check.sh", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_ci_check_keeps_the_exit_codes_apart() -> None:
    node = ("--rpc-url", "http://127.0.0.1:9", "--market", "0x" + "11" * 20)
    assert run(EXAMPLES / "ci" / "check.sh", "1000", "1000", *node).returncode == 3
    assert run(EXAMPLES / "ci" / "check.sh", "1000", "1000", "--replay", DEMO, "--bands", "5").returncode == 2


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.json"
    assert run(BIN / "liqbands", "scan", "--replay", DEMO, "--format", "json", "-o", path).returncode == 0
    return path


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed: pip install matplotlib")
def test_plot_bands(scanned: Path, tmp_path: Path) -> None:
    sizes = []
    for more in ((), ("--factor", "BTC"), ("--within", "5")):
        done = run(sys.executable, EXAMPLES / "plot_bands.py", scanned, *more, "-o", tmp_path / "bands.png")
        assert done.returncode == 0, done.stderr
        picture = (tmp_path / "bands.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n")
        sizes.append(len(picture))
    assert len(set(sizes)) == 3, "each shows something else"
    done = run(sys.executable, EXAMPLES / "plot_bands.py", scanned, "--factor", "ETHE", "-o", tmp_path / "none.png")
    assert done.returncode == 1
    assert "no factor 'ETHE' in this document; it has" in done.stderr
    assert not (tmp_path / "none.png").exists()


def test_plot_bands_takes_scan_documents_only(tmp_path: Path, ndjson: str) -> None:
    for name, text in (("accounts.json", '{"kind": "accounts", "selected_factor": "ETH"}'), ("a.ndjson", ndjson)):
        (tmp_path / name).write_text(text)
        done = run(sys.executable, EXAMPLES / "plot_bands.py", tmp_path / name)
        assert done.returncode == 1
        assert done.stderr.strip() == "give a scan document: what liqbands scan --format json writes"


def test_plot_bands_says_what_it_needs(scanned: Path, tmp_path: Path) -> None:
    without = f"import sys, runpy; sys.modules['matplotlib'] = None; sys.argv = ['plot', {str(scanned)!r}]\n"
    done = run(
        sys.executable, "-c", without + f"runpy.run_path({str(EXAMPLES / 'plot_bands.py')!r}, run_name='__main__')"
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "this example draws with matplotlib: pip install matplotlib"


# -- the bot ----------------------------------------------------------------------------------------------------------


def test_the_bot_is_short() -> None:
    assert len((EXAMPLES / "liquidation_bot.py").read_text(encoding="utf-8").splitlines()) < 80


def below_one(market: DevMarket) -> list[str]:
    """Ask the contract who may be liquidated; accounts that it cannot price cannot be."""
    members = [member.address for member in priced_members(market, market.members)]
    data = market.account_data(members)
    return [address for address, one in zip(members, data, strict=True) if one.health_factor < WAD]


def takes_a_call(market: DevMarket, account: str, pairs: Iterable[tuple[str, str]]) -> bool:
    """Try to liquidate an account by each pair of collateral and debt, as somebody with money."""
    signature = "liquidationCall(address,address,address,uint256,bool)"
    for collateral, debt in pairs:
        data = calldata(signature, collateral, debt, account, 2**256 - 1, False)
        try:
            market.anvil.rpc("eth_call", {"from": HELPER, "to": market.pool, "data": "0x" + data.hex()}, "latest")
        except RpcError:
            continue
        return True
    return False


@pytest.mark.chain
@pytest.mark.parametrize("kind", KINDS)
def test_liquidation_bot_leaves_nobody_who_is_not_blocked(kind: Kind, tmp_path: Path) -> None:
    toolchain = install(cache_dir())
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, kind, toolchain=toolchain)
        populate(market, 180)
        market.set_price("ETH", market.answer("ETH") * 85 // 100)
        market.chain.send(market.core.configurator, "setReservePause(address,bool)", market.reserves["DAI"].asset, True)
        market.chain.flush()
        open_before = below_one(market)
        follow = [BIN / "liqbands", "accounts", "--follow", "--quotes", "--format", "ndjson", "--for-timestamp", "+1s"]
        follow += [*where(market, tmp_path / "index.sqlite"), "--verify", "none", "--poll", "0.02s", "-q"]
        environment = child_environment(LIQBANDS_DATA_DIR=str(tmp_path))
        with subprocess.Popen(list(map(str, follow)), stdout=subprocess.PIPE, env=environment) as stream:
            bot = [sys.executable, str(EXAMPLES / "liquidation_bot.py"), market.anvil.url]
            done = subprocess.run(bot, stdin=stream.stdout, capture_output=True, text=True, check=False, timeout=120)
            assert stream.stdout is not None
            stream.stdout.close()
            assert stream.wait(10) == 0, "the stream ends with its consumer"
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.fullmatch(r"\d+ liquidations; 0 accounts are left that could not be liquidated\n", done.stdout)

        left = below_one(market)
        print(f"{kind}: {len(open_before)} below one before, {len(left)} after; {done.stdout}")
        assert len(open_before) - len(left) >= 20
        assert left, "some have to do with a paused reserve"
        result = scan(options_of(market, tmp_path / "other.sqlite"))
        accounts: dict[str, Any] = {
            one["account"].lower(): one for one in json.loads(accounts_json(result))["accounts"]
        }
        assert {one["status"] for one in accounts.values()} <= {"healthy", "blocked", "unpriced", "no_debt"}
        for info in market.reserves.values():
            market.chain.send(info.asset, "mint(address,uint256)", HELPER, 10**9 * 10**info.decimals)
        for info in market.reserves.values():
            market.chain.send(info.asset, "approve(address,uint256)", market.pool, 2**256 - 1, sender=HELPER)
        market.chain.flush()
        for account in left:
            one = accounts[account]
            assert one["status"] == "blocked"
            assert not takes_a_call(
                market, account, ((c["asset"], d["asset"]) for c in one["collateral"] for d in one["debt"])
            )
