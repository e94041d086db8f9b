"""Edit a recorded price as if the node had answered it."""

from __future__ import annotations

from pathlib import Path

from eth_utils.crypto import keccak

from scanner.chain.interface import Call
from scanner.chain.recording import call_key, load
from scanner.protocols.aave_v3.oracle_proof import shifted
from scanner.protocols.aave_v3.oracle_stub import overrides_for_answer
from scanner.results import FactorInfo
from tests.reference.recorded import Recorded

__all__ = ["edit_feed"]

_ANSWER, _ROUND, _PRICE = (
    keccak(text=f)[:4] for f in ("latestAnswer()", "latestRoundData()", "getAssetPrice(address)")
)


def _digest(feed: FactorInfo, answer: int, timestamp: int) -> str:
    """Give the key of the overrides that move a feed while the oracle's wiring is proven."""
    overrides = overrides_for_answer(feed.feed_address, shifted(answer), feed.decimals, feed.answer_at or timestamp)
    return call_key(Call(feed.feed_address, b""), overrides)[2]


def edit_feed(source: Path, target: Path, feed: FactorInfo, answer: int, factors: tuple[FactorInfo, ...]) -> None:
    """Let one feed, and everything that is computed from it, answer something else; the accounts stay as they are."""
    raw, recording = Recorded(source), load(source)
    moved = {feed.feed_address: answer}
    proofs = {_digest(f, f.answer, raw.timestamp): f for f in factors}
    asset_sources = {bytes(12) + bytes.fromhex(a[2:]): raw.sources[i] for i, a in raw.assets.items()}
    asked = {to for to, data, _ in recording.calls if data == _ANSWER}
    formulas = {to: raw.formula(to) for to in asked if raw.number(to, "latestAnswer()")}
    followers = {to for to, formula in formulas.items() if formula(moved) != formula({})}

    calls = {}
    for (to, data, overrides), value in recording.calls.items():
        proof = proofs[overrides] if overrides else None
        of = asset_sources.get(data[4:], to) if data[:4] == _PRICE else to
        if of in followers and data[:4] in (_ANSWER, _ROUND, _PRICE) and isinstance(value, bytes):
            state = dict(moved)
            if proof is not None:
                state[proof.feed_address] = shifted(state.get(proof.feed_address, proof.answer))
            at = 32 if data == _ROUND else 0
            value = value[:at] + formulas[of](state).to_bytes(32, "big") + value[at + 32 :]
        if proof is not None and proof.factor == feed.factor:
            overrides = _digest(feed, answer, raw.timestamp)
        calls[to, data, overrides] = value
    recording.calls = calls
    recording.save(target)
