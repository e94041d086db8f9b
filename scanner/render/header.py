"""What must be known to trust the picture: where it was read, whether it is complete, whether it was verified."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from rich.style import Style

from scanner.render.ink import Ink
from scanner.render.lines import Drawing, Line, flow, wrap
from scanner.render.words import accounts, age, clean, count, money, percent, price, short_address, span
from scanner.results import FactorInfo, MarketSummary, ReserveProof, ScanResult
from scanner.views import eip55, factor_info

__all__ = ["Header", "completeness_words", "trust_chunks", "warning_lines", "what_if_lines"]

Chunk = tuple[str, Style]
_WARNINGS = 8
_LAST = timedelta(days=2_900_000)  # since 1970: about the last date that has four digits of year


class Header(Drawing):
    """Chain, block and age; a line per market with its completeness and verification."""

    def __init__(self, result: ScanResult, *, now: int) -> None:
        self.result = result
        self.now = now

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        where = self._where(ink)
        markets = [[*self._market(market, ink), *trust_chunks(market, ink)] for market in self.result.markets]
        if len(lines := flow(where, width)) == 1:
            yield from lines
        else:
            yield from flow([*where, *(chunk for market in markets[:1] for chunk in market)], width)
            markets = markets[1:]
        for chunks in markets:
            yield from flow(chunks, width, indent=1)
        if (seconds := _ahead(self.result)) > 0:
            amber = ink.role("warn", bold=True)
            chunks = [(_later(self.result, seconds), amber), ("not at the block's time", amber)]
            yield from flow(chunks, width, indent=1)
        yield from what_if_lines(self.result.snapshot.what_if, ink, width)
        if self.result.snapshot.complete is False and all(market.complete for market in self.result.markets):
            yield Line((" INCOMPLETE ", ink.badge("bad")), (" the scan could not read everything", ink.role("bad")))

    def _where(self, ink: Ink) -> list[Chunk]:
        snapshot = self.result.snapshot
        chunks = [(" liqbands ", ink.badge("brand"))]
        for market in self.result.markets[:1]:
            chunks.append((_name(market), ink.bold))
            chunks.append((f"rev {market.revision}", ink.bold))
        chunks += [
            (f"chain {snapshot.chain_id}", ink.dim),
            (f"block {count(snapshot.block_number)} {short_address(snapshot.block_hash)}", ink.dim),
        ]
        old = age(self.now - snapshot.block_timestamp)
        if snapshot.source == "recording":
            return [*chunks, (" recorded block ", ink.badge("warn"))]
        agreed = [(f"{snapshot.quorum} endpoints agree", ink.role("good"))] if snapshot.quorum > 1 else []
        return [*chunks, (old, ink.dim), *agreed]

    def _market(self, market: MarketSummary, ink: Ink) -> list[Chunk]:
        chunks = []
        if len(self.result.markets) > 1:
            chunks.append((f"{_name(market)} rev {market.revision}", ink.bold))
        elif market.completeness and (info := factor_info(self.result)):
            chunks.append((_spot(info), ink.role("spot", bold=True)))
        chunks.append((accounts(market.account_count), ink.plain))
        debt = "debt unknown in dollars" if market.debt_usd is None else f"${money(market.debt_usd)} debt"
        return [*chunks, (debt, ink.plain)]


def _ahead(result: ScanResult) -> int:
    """Give the seconds from the block to the time that triggers hold at."""
    times = [result.frames[name]["for_timestamp"].max() for name in ("liquidation_points", "triggers")]
    return max((time for time in times if isinstance(time, int)), default=0) - result.snapshot.block_timestamp


def _later(result: ScanResult, seconds: int) -> str:
    at = timedelta(seconds=result.snapshot.block_timestamp + seconds)
    when = f" ({datetime(1970, 1, 1, tzinfo=UTC) + at:%Y-%m-%d %H:%M:%S} UTC)" if at < _LAST else ""
    return f"triggers at +{span(seconds)}{when}"


def _name(market: MarketSummary) -> str:
    return f"{clean(market.protocol)} {eip55(clean(market.name, 42))}"  # a market without a name shows its address


def _spot(info: FactorInfo) -> str:
    return f"{clean(info.factor, 20)} {price(info.price_usd)}"


def trust_chunks(market: MarketSummary, ink: Ink) -> list[Chunk]:
    """Say how complete a market was read and what the contract said to our numbers."""
    words, role = completeness_words(market)
    chunks = [(words, ink.role(role, bold=role == "bad"))]
    if not market.completeness and not market.unread:
        chunks = [("not the whole market", ink.dim)]
    if market.mismatches:
        wrong, checked = count(len(market.mismatches)), count(max(market.verified_accounts, len(market.mismatches)))
        return [*chunks, (f"MISMATCH {wrong} of {checked} differ from the contract", ink.role("bad", bold=True))]
    if market.verified_accounts:
        checked = count(market.verified_accounts)
        chunks.append((f"verified {checked} of {checked}", ink.role("good")))
    else:
        chunks.append(("not verified", ink.dim))
    if market.proven:
        chunks.append((f"proven {count(market.proven.accounts)} of {count(market.proven.of)}", ink.role("good")))
    return chunks


def completeness_words(market: MarketSummary) -> tuple[str, str]:
    """Give the words for a market's completeness and their role: good, warn (below 1 % missing) or bad."""
    broken = [proof for proof in market.completeness if not proof.complete]
    if not broken and not market.unread:
        bounded = sum(proof.proof != "exact" for proof in market.completeness)
        return ("complete 100 %" + (f" ({bounded} bounded)" if bounded else ""), "good")
    words = []
    worst = max(broken, key=_share, default=None)
    if worst is not None:
        words.append(_missing(worst) + (f" and of {len(broken) - 1} more" if len(broken) > 1 else ""))
    if market.unread:
        words.append(f"{count(market.unread)} accounts unread")
    role = "warn" if worst is not None and _share(worst) < 0.01 and not market.unread else "bad"
    return "INCOMPLETE " + ", ".join(words), role


def _share(proof: ReserveProof) -> float:
    return abs(proof.missing) / proof.scaled_total if proof.scaled_total else 1.0


def _missing(proof: ReserveProof) -> str:
    symbol = clean(proof.symbol, 16)
    if proof.missing < 0:
        return f"{percent(_share(proof))} more {symbol} debt read than there is"
    return f"{percent(_share(proof))} of {symbol} debt missing"


def what_if_lines(changes: Iterable[str], ink: Ink, width: int) -> Iterable[Line]:
    """Give what was changed before computing: the numbers below are of no block."""
    if said := [clean(text, 120) for text in changes]:
        badge = (" what if ", ink.badge("warn"))
        yield from wrap("; ".join(said), ink.role("warn", bold=True), width, head=badge)


def warning_lines(warnings: Iterable[str], ink: Ink, width: int) -> Iterable[Line]:
    """Give warnings, broken between words; the documents have them all."""
    said = list(warnings)
    for text in said[:_WARNINGS]:
        yield from wrap(
            eip55(clean(text, 600)), ink.role("warn"), width, head=(" warning ".ljust(18), ink.badge("warn"))
        )
    if len(said) > _WARNINGS:
        yield Line((f" and {len(said) - _WARNINGS} more warnings", ink.role("warn")))
