"""What the traits of endpoints mean for a scan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from scanner.chain.soundings import UNCAPPED
from scanner.chain.traits import Traits

__all__ = ["Diagnosis", "EndpointReport", "Finding", "Level", "diagnose"]

Level = Literal["good", "warn", "bad", "unknown"]

_OLD_HEAD: Final = 120  # seconds
_FEW_BLOCKS: Final = 3  # that endpoints may differ by
_FEW_RANGE: Final = 1_000
_SLOW: Final = 0.5
_SMALL_BODY: Final = 900_000
_MUCH_GAS: Final = 50_000_000
_LITTLE_GAS: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about an endpoint: ``shown`` is the value in a few characters, ``meaning`` what it does to a scan."""

    name: str
    level: Level
    shown: str
    meaning: str


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """What is to be said of one endpoint. calls: accounts can be read from it; logs: borrowers can be found."""

    traits: Traits
    findings: tuple[Finding, ...]
    calls: bool
    logs: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is to be said of all of them.

    usable: a scan can be done. wrong_chain: why they cannot be used, or not together.
    """

    endpoints: tuple[EndpointReport, ...]
    usable: bool
    wrong_chain: str | None
    advice: tuple[str, ...]


def diagnose(probed: Sequence[Traits], expected_chain_id: int | None = None) -> Diagnosis:
    """Judge endpoints beside each other."""
    heads = [head for traits in probed if (head := traits.number("head")) is not None]
    endpoints = tuple(_judge(traits, max(heads, default=None)) for traits in probed)
    usable = any(one.calls for one in endpoints) and any(one.logs for one in endpoints)
    return Diagnosis(endpoints, usable, _chains(probed, expected_chain_id), tuple(_advice(endpoints)))


def _judge(traits: Traits, highest: int | None) -> EndpointReport:
    chain = traits["chain_id"]
    if chain.value is None:
        return EndpointReport(traits, (Finding("connection", "bad", "no", chain.note),), calls=False, logs=False)
    head = traits.number("head")
    if head is None:
        return EndpointReport(traits, (Finding("head", "bad", "none", traits["head"].note),), calls=False, logs=False)
    findings = (_lag(traits, head, highest), *(rule(traits) for rule in _RULES))
    bad = {finding.name for finding in findings if finding.level == "bad"}
    return EndpointReport(traits, findings, calls="archive" not in bad, logs="log range" not in bad)


def _lag(traits: Traits, head: int, highest: int | None) -> Finding:
    behind = (highest or head) - head
    age = traits["head_age"].value
    seconds = age if isinstance(age, int | float) else 0.0
    if behind > _FEW_BLOCKS:
        return Finding("head", "warn", f"{behind:,} behind", "lags the others: --block finalized reads from it too")
    if seconds > _OLD_HEAD:
        meaning = "the newest block is old: the node lags, this machine's clock is fast, or it is a local chain"
        return Finding("head", "warn", f"{_span(seconds)} old", meaning)
    if seconds < -15:
        meaning = "this machine's clock is slow, or it is a local chain"
        return Finding("head", "warn", f"{_span(-seconds)} ahead", meaning)
    return Finding("head", "good", f"{_span(max(seconds, 0))} old", "at the tip of the chain")


def _syncing(traits: Traits) -> Finding:
    if traits["syncing"].value is True:
        return Finding("syncing", "warn", "yes", "its state is behind: wait until it has caught up")
    if traits["syncing"].value is None:
        return _unknown("syncing", traits, "the node does not say whether it has caught up")
    return Finding("syncing", "good", "no", "it has caught up")


def _finalized(traits: Traits) -> Finding:
    final = traits.number("finalized")
    if final is None or final == 0:
        return Finding("final blocks", "warn", "unknown", "blocks 64 behind the head are taken for final")
    behind = (traits.number("head") or 0) - final
    return Finding("final blocks", "good", f"{behind:,} behind", "what is found up to there is kept in the index")


def _latency(traits: Traits) -> Finding:
    least, middle = traits["latency"].value, traits["latency_median"].value
    if not isinstance(least, float) or not isinstance(middle, float):
        return _unknown("latency", traits, "no answer to be timed")
    level: Level = "good" if middle <= _SLOW else "warn"
    meaning = "least and median of 5" if level == "good" else "least and median of 5; slow: a scan waits for it often"
    return Finding("latency", level, f"{least * 1e3:.1f}, {middle * 1e3:.1f} ms", meaning)


def _overrides(traits: Traits) -> Finding:
    match traits["overrides"].value:
        case True:
            return Finding("overrides", "good", "yes", "accounts are read by lens, thousands in a call")
        case False if traits["deployless"].value is True:
            return Finding("overrides", "good", "no", "accounts are read by a lens that is created for each call")
        case False:
            meaning = "accounts are read by many calls, through Multicall3 where it is deployed: slower"
            return Finding("overrides", "warn", "no", meaning)
    return _unknown("overrides", traits, "the next scan tries")


def _deployless(traits: Traits) -> Finding:
    if traits["deployless"].value is True:
        return Finding("deployless", "good", "yes", "serves where overrides are refused")
    if traits["overrides"].value is True:
        return Finding("deployless", "good", "no", "not needed: overrides are taken")
    return Finding("deployless", "warn", _no(traits, "deployless"), "code cannot be run as a contract being created")


def _by_hash(traits: Traits) -> Finding:
    if traits["by_hash"].value is True:
        return Finding("block by hash", "good", "yes", "every answer is of the one block (EIP-1898)")
    return Finding("block by hash", "warn", _no(traits, "by_hash"), "read by number, its hash checked before and after")


def _gas(traits: Traits) -> Finding:
    cap = traits.number("gas_cap")
    if cap is None:
        return _unknown("gas", traits, "found out while reading")
    level: Level = "good" if cap >= _LITTLE_GAS else "warn"
    much = cap >= _MUCH_GAS
    meaning = "thousands of accounts a call" if much else f"about {cap // 20_000:,} accounts a call"
    more = " or more" if traits["gas_cap"].note == UNCAPPED else ""
    return Finding("gas", level, f"{cap / 1e6:,.4g} M{more}", meaning)


def _batch(traits: Traits) -> Finding:
    size = traits["batch"].value
    if isinstance(size, int) and size > 1:
        shown = f"{size} or more" if traits["batch"].note == UNCAPPED else str(size)
        return Finding("batch", "good", shown, "small questions go together in one request")
    if size is False:
        return Finding("batch", "warn", "no", "small questions go one by one: some more requests")
    return _unknown("batch", traits, "small questions may go one by one")


def _body(traits: Traits) -> Finding:
    size = traits.number("request_bytes")
    if size is None:
        return _unknown("request size", traits, "requests are made smaller when one is refused")
    level: Level = "good" if size >= _SMALL_BODY else "warn"
    return Finding(
        "request size", level, f"{size / 1e6:g} MB", "enough" if level == "good" else "accounts in more calls"
    )


def _logs(traits: Traits) -> Finding:
    width, head = traits.number("log_blocks"), traits.number("head") or 0
    if width is None and traits["log_blocks"].value is False:
        meaning = "no borrower is found here: give another endpoint too, or a list (liqbands index --import)"
        return Finding("log range", "bad", "no", _because(meaning, traits, "log_blocks"))
    if width is None:
        return _unknown("log range", traits, "borrowers may not be found here")
    if width > head:
        return Finding("log range", "good", "all blocks", "borrowers are found in one request")
    if width >= _FEW_RANGE:
        shown = f"{width:,} blocks" + (" or more" if traits["log_blocks"].note == UNCAPPED else "")
        return Finding("log range", "good", shown, "borrowers are found in few requests")
    requests = -(-head // width)
    meaning = f"the first scan of a market over the whole chain takes up to {requests:,} requests; later ones few"
    return Finding("log range", "warn", f"{width:,} blocks", meaning)


def _archive(traits: Traits) -> Finding:
    trait, head = traits["archive"], traits.number("head") or 0
    depth = traits.number("archive")
    if trait.value is False:
        return Finding("archive", "bad", "no state", _because("no account can be read", traits, "archive"))
    if depth is None:
        return _unknown("archive", traits, "old blocks may not be readable")
    if depth >= head:
        return Finding("archive", "good", "all blocks", "any block can be scanned")
    seconds = traits["block_seconds"].value
    minutes = depth * float(seconds) / 60 if isinstance(seconds, int | float) else None
    within = f"within {minutes:,.0f} minutes of" if minutes is not None and minutes >= 2 else "near"
    level: Level = "good" if depth >= 64 else "warn"
    return Finding("archive", level, f"{depth:,} blocks", f"scan {within} the head, or use an archive node")


def _proofs(traits: Traits) -> Finding:
    if traits["proofs"].value is True:
        return Finding("proofs", "good", "yes", "--prove can check answers against the block's state root")
    return Finding("proofs", "warn", _no(traits, "proofs"), "no --prove here: compare endpoints with --quorum 2")


_RULES: Final[tuple[Callable[[Traits], Finding], ...]] = (
    _syncing,
    _finalized,
    _latency,
    _overrides,
    _deployless,
    _by_hash,
    _gas,
    _batch,
    _body,
    _logs,
    _archive,
    _proofs,
)


def _unknown(label: str, traits: Traits, meaning: str) -> Finding:
    name = {"gas": "gas_cap", "request size": "request_bytes", "log range": "log_blocks"}.get(label, label)
    return Finding(label, "unknown", "?", _because(meaning, traits, name))


def _because(meaning: str, traits: Traits, name: str) -> str:
    note = traits[name].note
    return f"{meaning} ({note})" if note else meaning


def _no(traits: Traits, name: str) -> str:
    return "no" if traits[name].value is False else "?"


def _chains(probed: Sequence[Traits], expected: int | None) -> str | None:
    served = [(traits.host, number) for traits in probed if (number := traits.number("chain_id")) is not None]
    if expected is not None:
        wrong = [f"{host} serves chain {number}, not {expected}" for host, number in served if number != expected]
        return "; ".join(wrong) + ": use an RPC URL of that chain" if wrong else None
    if len({number for _, number in served}) > 1:
        listed = ", ".join(f"{host} serves chain {number}" for host, number in served)
        return f"the endpoints are of different chains: {listed}; give those of one chain"
    return None


def _advice(endpoints: Sequence[EndpointReport]) -> list[str]:
    said = []
    if not any(one.calls for one in endpoints):
        said.append("no endpoint can be read from: check the URLs, or use another endpoint")
    elif not any(one.logs for one in endpoints):
        said.append("no endpoint gives logs: add one that does, or import a list of borrowers")
    if len(endpoints) > 1 and sum(one.calls for one in endpoints) > 1:
        said.append("--quorum 2 compares endpoints of different hosts, so that a lying one is caught")
    ranges = [width for one in endpoints if one.logs and (width := one.traits.number("log_blocks")) is not None]
    if ranges and max(ranges) < _FEW_RANGE and all(_few(one) for one in endpoints if one.logs):
        said.append("the log ranges are narrow: an endpoint with a wider one finds borrowers sooner the first time")
    return said


def _few(one: EndpointReport) -> bool:
    return any(finding.name == "log range" and finding.level == "warn" for finding in one.findings)


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"
