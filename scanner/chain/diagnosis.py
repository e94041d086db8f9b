"""What endpoints mean for a scan together: one chain, enough of them for each role and for the quorum. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from scanner.chain.spec import EndpointSpec
from scanner.chain.traits import Traits
from scanner.chain.verdicts import FEW_RANGE, EndpointReport, judge

__all__ = ["Diagnosis", "diagnose"]

_ASKED: Final[tuple[Literal["calls", "logs"], ...]] = ("calls", "logs")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is to be said of all of them.

    usable: a scan can be done, in their roles and with the quorum; None where too few said anything. wrong_chain: why
    they cannot be used, or not together. quorum: how many have to give the same answers.
    """

    endpoints: tuple[EndpointReport, ...]
    usable: bool | None
    wrong_chain: str | None
    advice: tuple[str, ...]
    quorum: int = 1


def diagnose(
    probed: Sequence[Traits],
    expected_chain_id: int | None = None,
    *,
    specs: Sequence[EndpointSpec] | None = None,
    quorum: int = 1,
) -> Diagnosis:
    """Judge endpoints beside each other. specs: how each in turn is configured; without, for everything."""
    heads = [head for traits in probed if (head := traits.number("head")) is not None]
    specs = specs or [EndpointSpec(f"http://{traits.host}") for traits in probed]
    highest = max(heads, default=None)
    endpoints = tuple(judge(traits, highest, spec.roles) for traits, spec in zip(probed, specs, strict=True))
    places = Counter(spec.place for spec in specs)
    twice = list(dict.fromkeys(spec.host for spec in specs if places[spec.place] > 1))
    served = [_enough((one.serves(role) for one in endpoints), quorum) for role in _ASKED]
    usable = False if False in served or (quorum > 1 and twice) else None if None in served else True
    advice = [*_needs(endpoints, served, quorum, twice), *_advice(endpoints, quorum)]
    return Diagnosis(endpoints, usable, _chains(probed, expected_chain_id), tuple(advice), quorum)


def _enough(able: Iterable[bool | None], needed: int) -> bool | None:
    """Say whether as many can do something; None where it is not known of some, and depends on them."""
    counts = Counter(able)
    return True if counts[True] >= needed else None if counts[True] + counts[None] >= needed else False


def _needs(
    endpoints: Sequence[EndpointReport], served: Sequence[bool | None], quorum: int, twice: Sequence[str]
) -> Iterable[str]:
    """Say what is lacking for a scan, or that the quorum can be met."""
    if quorum > 1 and twice:
        yield f"quorum {quorum} cannot be met: {' and '.join(twice)} would agree with itself; name each server once"
        return
    for role, enough in zip(_ASKED, served, strict=True):
        if enough:
            continue
        able = sum(one.serves(role) is True for one in endpoints)
        if enough is None:
            continue
        if quorum > 1:
            fault = f"quorum {quorum} cannot be met: for {role} {able} of {len(endpoints)} endpoints will do"
            yield f"{fault}; add endpoints of other hosts, or lower the quorum"
        elif any((one.calls if role == "calls" else one.logs) is not False for one in endpoints):
            yield f"the endpoints that can give {role} have no role {role}: add it to roles in the configuration file"
        elif role == "calls":
            yield "no endpoint can be read from: check the URLs, or use another endpoint"
            return
        else:
            yield "no endpoint gives logs: add one that does, or import a list of borrowers"
    if None in served:
        silent = " and ".join(one.traits.host for one in endpoints if None in map(one.serves, _ASKED))
        yield f"it depends on {silent}, which said nothing to judge by: run doctor again later"
    if quorum > 1 and all(served):
        yield f"quorum {quorum} can be met: enough endpoints of different hosts for calls and for logs"


def _chains(probed: Sequence[Traits], expected: int | None) -> str | None:
    served = [(traits.host, number) for traits in probed if (number := traits.number("chain_id")) is not None]
    if expected is not None:
        wrong = [f"{host} serves chain {number}, not {expected}" for host, number in served if number != expected]
        return "; ".join(wrong) + ": use an RPC URL of that chain" if wrong else None
    if len({number for _, number in served}) > 1:
        listed = ", ".join(f"{host} serves chain {number}" for host, number in served)
        return f"the endpoints are of different chains: {listed}; give those of one chain"
    return None


def _advice(endpoints: Sequence[EndpointReport], quorum: int) -> Iterable[str]:
    if quorum == 1 and len({one.traits.host for one in endpoints if one.serves("calls")}) > 1:
        yield "--quorum 2 compares endpoints of different hosts, so that a lying one is caught"
    logs = [one for one in endpoints if one.serves("logs")]
    ranges = [width for one in logs if (width := one.traits.number("log_blocks")) is not None]
    if ranges and max(ranges) < FEW_RANGE and all(_few(one) for one in logs):
        yield "the log ranges are narrow: an endpoint with a wider one finds borrowers sooner the first time"


def _few(one: EndpointReport) -> bool:
    return any(finding.name == "log range" and finding.level == "warn" for finding in one.findings)
