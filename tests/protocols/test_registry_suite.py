"""What every protocol has to keep, checked on its recordings. A new protocol gets its to-do list from here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from jsonschema import Draft202012Validator

from scanner import ScanResult, scan
from scanner.chain.replay import ReplayReader
from scanner.cli.commands import DEMO
from scanner.config import CHAINS
from scanner.export.documents import accounts_json, accounts_ndjson, scan_json
from scanner.export.schemas import load
from scanner.frames import FRAMES, conform
from scanner.protocols.registry import REGISTRY

FOLDER = Path(__file__).parents[1] / "recordings"
RECORDINGS = {path.stem: path for path in (DEMO, *sorted(FOLDER.glob("*.rec")))}
SIDES = {"collateral", "debt", "stable_debt"}
P = ["chain_id", "protocol", "market_id", "position"]
R = ["chain_id", "protocol", "market_id", "reserve"]


@dataclass(frozen=True)
class Replayed:
    """A recorded scan, and who was asked for."""

    slug: str
    result: ScanResult
    owners: list[str]

    def frame(self, name: str) -> pl.DataFrame:
        return self.result.frames[name]


@cache
def replay(name: str) -> Replayed:
    path = RECORDINGS[name]
    with ReplayReader(path) as reader:
        owners = [owner for market in reader.recording.notes["owners"].values() for owner in market]
    result = scan(replay=path, verify="all")
    return Replayed(result.markets[0].protocol, result, owners)


@pytest.fixture(params=list(RECORDINGS))
def replayed(request: pytest.FixtureRequest) -> Replayed:
    return replay(request.param)


@pytest.mark.parametrize("slug", list(REGISTRY))
def test_every_protocol_has_a_recording(slug: str) -> None:
    assert any(name.startswith(slug) and replay(name).slug == slug for name in RECORDINGS)


@pytest.mark.parametrize("slug", list(REGISTRY))
def test_deployments_are_unique_and_on_known_chains(slug: str) -> None:
    everywhere = [d for protocol in REGISTRY.values() for d in protocol.deployments]
    assert len({d.name for d in everywhere}) == len(everywhere)
    assert len({(d.chain_id, d.root) for d in everywhere}) == len(everywhere)
    for deployment in REGISTRY[slug].deployments:
        assert CHAINS[deployment.chain] == deployment.chain_id


def test_frames_keep_their_schemas(replayed: Replayed) -> None:
    assert replayed.result.frames.keys() == FRAMES.keys()
    for name, frame in replayed.result.frames.items():
        assert conform(frame, name).equals(frame)
        assert frame.height or name in ("skipped", "bands_by"), name


def test_accounts_in_are_accounts_out_and_skipped(replayed: Replayed) -> None:
    skipped = replayed.frame("skipped").filter(pl.col("what") == "position")
    told = [*replayed.frame("accounts")["position"], *skipped["position"]]
    assert sorted(told) == sorted(replayed.owners)


def test_every_leg_names_a_listed_reserve_and_a_listed_account(replayed: Replayed) -> None:
    legs = replayed.frame("legs")
    assert legs.join(replayed.frame("reserves"), on=R, how="anti").is_empty()
    assert legs.join(replayed.frame("accounts"), on=P, how="anti").is_empty()
    assert set(legs["side"]) <= SIDES
    assert (
        legs.filter(pl.col("side") != "collateral")["liquidation_threshold"].null_count()
        == legs.filter(pl.col("side") != "collateral").height
    )


def test_whatever_breaks_names_an_account_and_what_moves_it(replayed: Replayed) -> None:
    accounts = replayed.frame("accounts").filter(pl.col("status").is_in(["healthy", "liquidatable", "blocked"]))
    factors = {info.factor for info in replayed.result.factors}
    for name in ("exposures", "liquidation_points", "triggers", "seizures"):
        frame = replayed.frame(name)
        if name != "exposures":
            assert frame.join(accounts, on=P, how="anti").is_empty(), name
        if "factor" in frame.columns:
            assert set(frame["factor"]) <= factors | {"now"}
    reserves = replayed.frame("reserves").rename({"reserve": "debt_reserve"})
    assert replayed.frame("seizures").join(reserves, on=["market_id", "debt_reserve"], how="anti").is_empty()


def test_health_is_the_contracts_own_answer_of_every_account(replayed: Replayed) -> None:
    (market,) = replayed.result.markets
    assert market.verified_accounts == replayed.frame("accounts").height > 300
    assert market.mismatches == ()


def test_no_debt_is_missing(replayed: Replayed) -> None:
    for market in replayed.result.markets:
        assert market.complete
        assert {proof.reserve for proof in market.completeness} <= set(replayed.frame("reserves")["reserve"])
        for proof in market.completeness:
            assert proof.proof in ("exact", "bounded")
            assert proof.missing == proof.scaled_total - proof.scaled_read
            assert proof.proof == "bounded" or proof.missing == 0


def test_health_below_one_and_status_are_one_thing(replayed: Replayed) -> None:
    wad = pl.col("health_factor_wad").cast(pl.Float64)
    accounts = replayed.frame("accounts")
    judged = accounts.filter(pl.col("health_factor_wad").is_not_null())
    below = judged.filter(pl.col("health_factor_wad").str.len_chars() < 19)
    assert below.height
    assert set(below["status"]) <= {"liquidatable", "blocked"}
    assert set(judged.join(below, on=P, how="anti")["status"]) == {"healthy"}
    assert set(accounts.filter(pl.col("health_factor_wad").is_null())["status"]) <= {"no_debt", "unpriced"}
    assert below.filter(wad >= 1e18).is_empty()
    assert below.filter((pl.col("status") == "blocked") == pl.col("blocked_by").is_null()).is_empty()


def test_triggers_lie_on_their_side_of_todays_answer(replayed: Replayed) -> None:
    today = replayed.frame("reserves").select(*R, pl.col("answer").cast(pl.Int128))
    triggers = replayed.frame("triggers").join(today, on=R, how="left", validate="m:1")
    trigger = pl.col("trigger_price").cast(pl.Int128)
    assert triggers.filter((pl.col("direction") == "down") & (trigger >= pl.col("answer"))).is_empty()
    assert triggers.filter((pl.col("direction") == "up") & (trigger <= pl.col("answer"))).is_empty()
    assert set(triggers["direction"]) == {"down", "up"}


def test_bands_hold_every_account_with_a_trigger_and_add_up(replayed: Replayed) -> None:
    points = replayed.frame("liquidation_points").filter(pl.col("trigger_answer").is_not_null())
    bands = replayed.frame("bands")
    for (factor, direction), mine in points.group_by("factor", "direction"):
        rows = bands.filter(factor=factor, direction=direction).sort("band")
        assert rows["account_count"].sum() == rows["cumulative_account_count"].max()
        assert rows["cumulative_seizable_usd"].max() == pytest.approx(rows["seizable_collateral_usd"].sum())
        assert rows["account_count"].sum() <= mine.height


def test_one_best_call_per_account_and_path(replayed: Replayed) -> None:
    best = replayed.frame("seizures").group_by(*P, "factor").agg(pl.col("best").sum())
    assert set(best["best"]) == {1}


def test_documents_keep_their_schemas(replayed: Replayed) -> None:
    Draft202012Validator(load("scan")).validate(json.loads(scan_json(replayed.result)))
    Draft202012Validator(load("accounts")).validate(json.loads(accounts_json(replayed.result)))
    validator = Draft202012Validator(load("ndjson"))
    for line in b"".join(accounts_ndjson(replayed.result)).splitlines()[::10]:  # a row's schema costs a millisecond
        validator.validate(json.loads(line))


def test_a_replay_is_the_same_every_time(replayed: Replayed) -> None:
    name = next(name for name in RECORDINGS if replay(name) is replayed)
    again = scan(replay=RECORDINGS[name], extent="factor", factor=replayed.result.selected_factor)
    for frame in ("reserves", "legs", "accounts", "skipped"):
        assert again.frames[frame].equals(replayed.frame(frame)), frame
    for frame in ("exposures", "bands", "dense_bands", "liquidation_points"):
        mine = replayed.frame(frame).filter(factor=again.selected_factor)
        assert again.frames[frame].equals(mine), frame
