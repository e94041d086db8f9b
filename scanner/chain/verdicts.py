"""What the traits of an endpoint mean for a scan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scanner.chain.kinds import Kind
from scanner.chain.soundings import UNCAPPED, Trait
from scanner.chain.spec import ROLES, Role
from scanner.chain.traits import Traits

__all__ = ["FEW_RANGE", "EndpointReport", "Finding", "Level", "judge"]

Level = Literal["good", "warn", "bad", "unknown"]

_OLD_HEAD: Final = 120  # seconds
_FEW_BLOCKS: Final = 3  # that endpoints may differ by
FEW_RANGE: Final = 1_000
"""Blocks of a log range; fewer make the first scan long."""
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
    """What is to be said of one endpoint. calls: accounts can be read from it; logs: borrowers can be found.

    None where it did not say, as one that throttles. roles: what the configuration has it asked for.
    """

    traits: Traits
    findings: tuple[Finding, ...]
    calls: bool | None
    logs: bool | None
    roles: frozenset[Role] = frozenset(ROLES)

    def serves(self, role: Literal["calls", "logs"]) -> bool | None:
        """Say whether it is asked for something and can do it; None where that is not known."""
        able = self.calls if role == "calls" else self.logs
        return able if role in self.roles else False


_UNANSWERED: Final[Mapping[Kind, str]] = {
    Kind.UNAUTHORIZED: "not authorised",
    Kind.PLAN_EXHAUSTED: "not in the plan",
    Kind.RATE_LIMITED: "throttled",
    Kind.TIMEOUT: "timed out",
    Kind.DISCONNECTED: "connection lost",
    Kind.SERVER: "server error",
    Kind.NOT_RPC: "no JSON-RPC",
    Kind.OUT_OF_TIME: "out of time",
    Kind.UNREACHABLE: "no connection",
}
_NO_WORD: Final = frozenset({Kind.RATE_LIMITED, Kind.OUT_OF_TIME})
"""Kinds after which nothing is known of an endpoint, good or bad."""


def judge(traits: Traits, highest: int | None, roles: frozenset[Role] = frozenset(ROLES)) -> EndpointReport:
    """Say what one endpoint can be used for; ``highest`` is the newest block that any endpoint has."""
    for name, label in (("chain_id", "answer"), ("head", "head")):
        if traits.number(name) is None:
            return _unanswered(label, traits[name], traits, roles)
    findings = (_lag(traits, traits.number("head") or 0, highest), *(rule(traits) for rule in _RULES))
    if roles != frozenset(ROLES):
        findings = (_roles(traits, roles), *findings)
    bad = {finding.name for finding in findings if finding.level == "bad"}
    return EndpointReport(traits, findings, "archive" not in bad, "log range" not in bad, roles)


def _unanswered(label: str, trait: Trait, traits: Traits, roles: frozenset[Role]) -> EndpointReport:
    shown = _UNANSWERED.get(trait.kind, "none") if trait.kind is not None else "none"
    able = None if trait.kind in _NO_WORD else False
    finding = Finding(label, "unknown" if able is None else "bad", shown, trait.note)
    return EndpointReport(traits, (finding,), able, able, roles)


def _roles(traits: Traits, roles: frozenset[Role]) -> Finding:
    shown = ", ".join(role for role in ("calls", "logs", "archive") if role in roles)
    wanted = [what for role, what in (("calls", "accounts"), ("logs", "borrowers")) if role in roles]
    meaning = f"the configuration has it asked for {' and '.join(wanted)}"
    depth, head = traits.number("archive"), traits.number("head") or 0
    if "archive" in roles and depth is not None and depth < head:
        return Finding("roles", "warn", shown, f"{meaning}, and first for old blocks, whose state it has not")
    return Finding("roles", "good", shown, meaning + (", and first for old blocks" if "archive" in roles else ""))


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
    if width >= FEW_RANGE:
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


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"
