"""Edit a recorded price as if the node had answered it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eth_utils.crypto import keccak

from scanner.chain.recording import LensKey, lens_key, load
from scanner.protocols.aave_v3.oracle_lens import UNMOVED, moved_item, price_lens
from scanner.protocols.aave_v3.oracle_proof import tried
from scanner.protocols.aave_v3.oracle_stub import overrides_for_answer
from scanner.results import FactorInfo
from tests.reference.recorded import Recorded

__all__ = ["edit_feed"]

_ANSWER, _ROUND, _PRICE = (
    keccak(text=f)[:4] for f in ("latestAnswer()", "latestRoundData()", "getAssetPrice(address)")
)


def edit_feed(source: Path, target: Path, feed: FactorInfo, answer: int, factors: tuple[FactorInfo, ...]) -> None:
    """Let one feed, and everything that is computed from it, answer something else; the accounts stay as they are."""
    raw, recording = Recorded(source), load(source)
    moved = {feed.feed_address: answer}
    asset_sources = {bytes(12) + bytes.fromhex(a[2:]): raw.sources[i] for i, a in raw.assets.items()}
    asked = {to for to, data, _ in recording.calls if data == _ANSWER}
    formulas = {to: raw.formula(to) for to in asked if raw.number(to, "latestAnswer()")}
    followers = {to for to, formula in formulas.items() if formula(moved) != formula({})}

    for (to, data, overrides), value in recording.calls.items():
        of = asset_sources.get(data[4:], to) if data[:4] == _PRICE else to
        if of in followers and data[:4] in (_ANSWER, _ROUND, _PRICE) and isinstance(value, bytes):
            at = 32 if data == _ROUND else 0
            changed = value[:at] + formulas[of](moved).to_bytes(32, "big") + value[at + 32 :]
            recording.calls[to, data, overrides] = changed

    today = {f.feed_address: f.answer for f in factors}
    assert recording.lenses.pop(_key(raw, factors, today)) == _records(raw, factors, today)
    edited = {**today, **moved}
    recording.lenses[_key(raw, factors, edited)] = _records(raw, factors, edited)
    recording.save(target)


def _key(raw: Recorded, factors: Sequence[FactorInfo], state: Mapping[str, int]) -> LensKey:
    """Name the lens that moves feeds while the oracle's wiring is proven."""
    stubs: dict[str, bytes] = {}
    for f in factors:
        stubs |= overrides_for_answer(f.feed_address, state[f.feed_address], f.decimals, f.answer_at or raw.timestamp)
    return lens_key(price_lens(raw.oracle, [raw.assets[int(key)] for key in raw.prices], stubs))


def _records(raw: Recorded, factors: Sequence[FactorInfo], state: Mapping[str, int]) -> dict[bytes, bytes]:
    """Say what it answers: each asset's price as the feeds are, then at each answer of each feed."""
    found = {UNMOVED: _prices(raw, 0, state)}
    for f in factors:
        now = state[f.feed_address]
        moves = [_prices(raw, i, {**state, f.feed_address: to}) for i, to in enumerate(tried(now))]
        found[moved_item(f.feed_address, now, tried(now))] = b"".join(moves)
    return found


def _prices(raw: Recorded, move: int, state: Mapping[str, int]) -> bytes:
    prices = enumerate(raw.prices_at(state).values())
    return b"".join((move << 216 | i << 200 | price).to_bytes(32, "big") for i, price in prices)
