"""What goes wrong in which scan: drawn from a seed, nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, Literal

from scanner.chain.failures import Kind
from scanner.devchain.market import Kind as Revision
from tests.chaos import caps, ends, lies
from tests.chaos import faults as f
from tests.chaos.proxy import Fault

__all__ = ["COUNT", "SMOKE", "Lie", "Scenario", "Sort", "scenario"]

COUNT: Final = 500

Sort = Literal["recoverable", "unrecoverable", "liar"]
Draw = random.Random
Faults = tuple[Fault, ...]


_LIES: Final = (lies.FalseBytes, lies.DroppedLogs, lies.OldState)


@dataclass(frozen=True)
class Lie:
    """A changed balance, to be turned into storage slots of a real market: whose, on which side, and times what."""

    side: str  # debt | collateral
    victim: float  # which of those who have some, as a share
    percent: int  # of the truth
    totals: bool  # whether the sum that is checked lies, too


@dataclass(frozen=True)
class Scenario:
    """One scan and its misfortune.

    ``endpoints``: the faults of each. ``liar``: which of them lies, ``lie``: what about, beside its faults. ``words``:
    what the error says, as a pattern. ``sampled``: a quorum compares next to nothing of what lenses answer.
    """

    seed: int
    sort: Sort
    revision: Revision
    endpoints: tuple[Faults, ...]
    block: str = "latest"
    warm: bool = False
    verify: str = "sample"
    quorum: int = 1
    prove: str = "none"
    liar: int = 0
    lie: Lie | None = None
    sampled: bool = False
    words: str = ""
    options: dict[str, float | int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Name the faults, each once."""
        found = [fault.name for endpoint in self.endpoints for fault in endpoint]
        if self.lie is not None:
            found.append(f"changed {self.lie.side}" + ("" if self.lie.totals else ", honest totals"))
        if len(self.endpoints) > 1 and self.sort == "recoverable":
            found.append("fail-over" if self.quorum == 1 else "quorum of honest ones")
        if self.prove != "none" and self.sort == "recoverable":
            found.append("proofs of honest state")
        return tuple(dict.fromkeys(found))

    @property
    def main(self) -> frozenset[str]:
        """Name the faults that this scenario is there for: not those that come on top of what nothing cures."""
        if self.sort == "recoverable":
            return frozenset(self.names)
        if self.sort == "unrecoverable":
            return frozenset((self.endpoints[0][0].name,))
        wrong = [fault.name for fault in self.endpoints[self.liar] if isinstance(fault, _LIES)]
        return frozenset(wrong or (self.names[-1],))

    @property
    def subtle(self) -> bool:
        """Say whether a liar's lies may be about what nobody asks."""
        return any(isinstance(fault, lies.FalseBytes | lies.DroppedLogs) for fault in self.endpoints[self.liar])

    @property
    def reorganises(self) -> f.Reorg | None:
        """Give the reorganisation that happens in it."""
        found = [fault for endpoint in self.endpoints for fault in endpoint if isinstance(fault, f.Reorg)]
        return found[0] if found else None


# -- recoverable ------------------------------------------------------------------------------------------------------

_PASSING: Final[Sequence[Callable[[Draw], Fault]]] = (
    lambda r: f.RateLimit("plain", _rate(r)),
    lambda r: f.RateLimit("after", _rate(r)),
    lambda r: f.RateLimit("date", _rate(r)),
    lambda r: f.RateLimit("infura", _rate(r)),
    lambda r: f.RateLimit("item", _rate(r)),
    lambda r: f.ServerError(500, _rate(r)),
    lambda r: f.ServerError(r.choice((502, 503, 520, 522)), _rate(r)),
    lambda r: f.ServerError(504, _rate(r)),
    lambda r: f.ServerError(200, _rate(r)),
    lambda r: f.Reset(_rate(r), late=r.random() < 0.5),
    lambda r: f.Cut(_rate(r), whole=False),
    lambda r: f.Cut(_rate(r), whole=True),
    lambda r: f.Slow(_rate(r), r.choice((0.02, 0.05, 0.2))),
    lambda r: f.Slow(0.015, 2.5),
    lambda r: f.Html(_rate(r)),
    lambda r: f.WrongId(_rate(r), r.choice(("other", "missing", "null"))),
    lambda r: f.WrongId(_rate(r), "swapped"),
    lambda r: f.Shuffled(r.choice(("order", "twice"))),
    lambda r: f.Shuffled("missing", _rate(r)),
    lambda r: f.Forgetful(Kind.BLOCK_UNKNOWN, r.randrange(9), _rate(r)),
    lambda r: f.Lag(r.randint(1, 3), _rate(r)),
    lambda r: f.Lag(r.randint(1, 3), _rate(r), silent=True),
)
_STANDING: Final[Sequence[Callable[[Draw], Fault]]] = (
    lambda r: caps.FewBlocks(r.choice((1, 5, 10, 20, 50)), r.randrange(99), verbatim=r.random() < 0.3),
    lambda r: caps.FewBlocks(r.choice((3, 10, 30)), r.randrange(99)),
    lambda r: caps.FewResults(r.randint(20, 40), r.randrange(9)),
    lambda r: caps.SmallAnswers(r.choice((20_000, 25_000, 40_000)), r.randrange(9)),
    lambda r: caps.SmallRequests(r.choice((20_000, 24_000))),
    lambda r: caps.GasCap(r.choice((7, 10, 20, 50)) * 10**5, "silent"),
    lambda r: caps.GasCap(r.choice((7, 10, 20, 50)) * 10**5, "error", r.randrange(9)),
    lambda r: caps.GasCap(r.choice((7, 10, 20, 50)) * 10**5, "revert"),
    lambda r: caps.GasCap(r.choice((20, 50, 300)) * 10**5, "refuse", r.randrange(9)),
    lambda r: caps.NoOverrides(ignored=False, words=r.randrange(9)),
    lambda r: caps.NoOverrides(ignored=True),
    lambda r: caps.NoOverrides(ignored=r.random() < 0.5, words=r.randrange(9), bare=True),
    lambda r: caps.NoHashes(flag_only=False),
    lambda r: caps.NoHashes(flag_only=True),
    lambda r: caps.NoBatch(r.choice((1, 1, 3))),
    lambda r: caps.Compressed(),
    lambda r: f.Lag(r.randint(1, 3), 1.0),
)
_REORGS: Final[Sequence[Callable[[Draw], Fault]]] = (
    lambda r: f.Reorg(r.randint(2, 17), r.randint(1, 20), "revert"),
    lambda r: f.Reorg(r.randint(2, 17), r.randint(1, 20), "reorg"),
    lambda r: f.Reorg(r.randint(2, 17), r.randint(1, 20), "rollback"),
)


def _forgets(draw: Draw) -> Fault:
    return f.Forgetful(Kind.STATE_MISSING, draw.randrange(9), 0.3)


def _rate(draw: Draw) -> float:
    return draw.choice((0.03, 0.06, 0.1, 0.15))


def _recoverable(seed: int, draw: Draw, turn: int) -> Scenario:
    kinds: Sequence[Callable[[Draw], Fault] | str] = (*_PASSING, *_STANDING, *_REORGS, "spare", "quorum", "proof")
    first = kinds[turn % len(kinds)]
    chosen = [] if isinstance(first, str) else [first(draw)]
    _add(chosen, draw, draw.choice((0, 1, 1, 2, 2, 3)), turn)
    endpoints: tuple[Faults, ...] = (tuple(chosen),)
    moves = first in _REORGS or any(isinstance(one, f.Lag) for one in chosen)
    block = "latest" if moves else draw.choice(("latest", "latest", "latest", "finalized", "safe", "-2"))
    verify = draw.choice(("sample", "sample", "all", "none"))
    if first == "spare":  # what nothing cures, or all too often, at one of two
        bad = draw.choice([*(make for make, _ in _BROKEN), _forgets])
        endpoints = ((bad(draw),), tuple(chosen)) if draw.random() < 0.7 else (tuple(chosen), (bad(draw),))
    elif first == "quorum":  # of two who are honest, each with troubles of its own
        others: list[Fault] = []
        _add(others, draw, draw.choice((0, 1, 2)), turn)
        endpoints = tuple(
            tuple(one for one in mine if not (isinstance(one, f.Lag) and one.rate == 1.0)) for mine in (chosen, others)
        )
        verify = "all"
    return Scenario(
        seed,
        "recoverable",
        draw.choice(("3.6", "3.0")),
        endpoints,
        block,
        warm=draw.random() < 0.4,
        verify=verify,
        quorum=2 if first == "quorum" else 1,
        prove="all" if first == "proof" else "none",
    )


def _add(chosen: list[Fault], draw: Draw, more: int, turn: int) -> None:
    """Add other kinds of faults to those chosen, and bring all into some order."""
    wanted = len(chosen) + more
    while len(chosen) < wanted:
        another = draw.choice([*_PASSING, *_STANDING])(draw)
        kinds = {type(one) for one in chosen}
        # call by call, each with a connection of its own and that often refused: right, but slow
        laborious = {caps.NoOverrides, caps.NoBatch} <= kinds | {type(another)}
        if type(another) not in kinds and not laborious:
            chosen.append(another)
    for place, one in enumerate(chosen):
        if isinstance(one, caps.FewBlocks):  # each provider's words have their turn
            chosen[place] = replace(one, words=turn // 3)
    draw.shuffle(chosen)


# -- unrecoverable ----------------------------------------------------------------------------------------------------

_LATE: Final = (1, 1, 4, 8, 14)
_BROKEN: Final[Sequence[tuple[Callable[[Draw], Fault], str]]] = (
    (
        lambda r: ends.Denied("auth refused", status=r.choice((401, 403)), since=r.choice(_LATE)),
        r"API key|authori[sz]ed",
    ),
    (
        lambda r: ends.Denied("auth refused", "Must be authenticated!", -32600, since=r.choice(_LATE)),
        r"API key|authenticated",
    ),
    (lambda r: ends.Amnesia(r.randrange(9), r.choice(_LATE)), r"pruned|archive|state"),
    (
        lambda r: ends.Denied("logs refused", "query returned more than 10000 results", -32005, method="eth_getLogs"),
        r"logs of block \d+|returned more than",
    ),
    (
        lambda r: ends.Denied(
            "no logs offered", "the method eth_getLogs does not exist/is not available", -32601, method="eth_getLogs"
        ),
        r"eth_getLogs",
    ),
    (
        lambda r: ends.Denied("always 500", status=r.choice((500, 502, 503)), page=b"oops", since=r.choice(_LATE)),
        r"HTTP status 50|server error",
    ),
    (
        lambda r: ends.Denied(
            "plan exhausted",
            "daily request count exceeded, request rate limited",
            -32005,
            r.choice((200, 429)),
            since=r.choice(_LATE),
        ),
        r"plan",
    ),
    (lambda r: ends.Denied("plan exhausted", status=402, since=r.choice(_LATE)), r"plan|402"),
    (lambda r: ends.Gone(r.randint(2, 16)), r"connect|connection"),
    # read one by one, it takes so many requests that a passing fault may strike at every attempt of one
    (lambda r: caps.GasCap(r.choice((110_000, 160_000, 200_000)), "silent"), r"(?i)gas|status 5"),
    (lambda r: caps.GasCap(r.choice((110_000, 160_000, 200_000)), "error", r.randrange(9)), r"(?i)gas|status 5"),
    (
        lambda r: ends.Amnesia(r.randrange(9), r.choice((1, 6, 10)), Kind.BLOCK_UNKNOWN),
        r"reorg|not known|unknown|state",
    ),
    (
        lambda r: ends.Denied("always HTML", page=b"<html>sign in</html>", since=r.choice(_LATE)),
        r"JSON-RPC",
    ),
    (lambda r: ends.Denied("always 429", status=429, since=r.choice(_LATE)), r"429|limit"),
    (
        lambda r: ends.Denied("429 for an hour", status=429, since=r.choice(_LATE), retry_after="3600"),
        r"429|limit",
    ),
    (
        lambda r: ends.Denied("never in time", status=200, since=r.choice(_LATE), seconds=0.6),
        r"in time|slow|time limit",
    ),
    (lambda r: f.WrongId(1.1, "other"), r"\bid\b|another (request|question)|JSON-RPC"),
    (lambda r: ends.Answers("no calls answered", "eth_call", None), r"unexpected|shape|result|null"),
)


def _unrecoverable(seed: int, draw: Draw, turn: int) -> Scenario:
    make, words = _BROKEN[turn % len(_BROKEN)]
    bad = make(draw)
    more = [draw.choice(_PASSING[:13])(draw)] if draw.random() < 0.3 and not isinstance(bad, f.WrongId) else []
    options: dict[str, float | int] = {"attempts": 3}
    if bad.name == "never in time":
        options = {"attempts": 2, "timeout": 0.3}
    return Scenario(
        seed,
        "unrecoverable",
        draw.choice(("3.6", "3.0")),
        ((bad, *more),),
        draw.choice(("latest", "latest", "finalized", "-2")),
        words=words,
        options=options,
    )


# -- liars ------------------------------------------------------------------------------------------------------------


def _liar(seed: int, draw: Draw, turn: int) -> Scenario:
    lie: Lie | None = None
    wrong: Faults = ()
    what = ("debt", "collateral", "bytes", "logs", "old", "debt", "collateral", "bytes", "old")[turn % 9]
    prove = turn % 2 == 1 and what in ("debt", "collateral", "bytes", "old")
    if what in ("debt", "collateral"):
        lie = Lie(what, draw.random(), draw.choice((0, 50, 99, 130)), totals=draw.random() < 0.8)
    elif what == "bytes":
        wrong = (lies.FalseBytes(draw.choice((0.6, 1.0))),)
    elif what == "logs":
        wrong = (lies.DroppedLogs(share=draw.choice((0.1, 0.5, 1.0))),)
    else:
        wrong = (lies.OldState(draw.choice((6, 8, 12))),)
    passing = (draw.choice(_PASSING[:11])(draw),) if draw.random() < 0.25 else ()
    endpoints: list[Faults] = [()] * (0 if prove else draw.choice((1, 1, 2)))
    liar = draw.randint(0, len(endpoints))
    endpoints.insert(liar, (*passing, *wrong))
    return Scenario(
        seed,
        "liar",
        draw.choice(("3.6", "3.0")),
        tuple(endpoints),
        "latest",
        warm=draw.random() < 0.3 and what != "logs",
        verify="sample" if prove else "all",
        quorum=1 if prove else 2,
        prove="all" if prove else "none",
        liar=liar,
        lie=lie,
        sampled=draw.random() < 0.4,
    )


@cache
def scenario(seed: int) -> Scenario:
    """Draw the scenario of a seed: six of ten recoverable, two not, two with a liar."""
    draw = random.Random(f"chaos {seed}")
    tens, place = divmod(seed, 10)
    if place < 6:
        return _recoverable(seed, draw, tens * 6 + place)
    if place < 8:
        return _unrecoverable(seed, draw, tens * 2 + place - 6)
    return _liar(seed, draw, tens * 2 + place - 8)


SMOKE: Final = (
    6,
    7,
    14,
    16,
    18,
    19,
    28,
    37,
    47,
    48,
    53,
    66,
    67,
    68,
    70,
    76,
    83,
    87,
    98,
    111,
    112,
    114,
    117,
    124,
    128,
    136,
    142,
    145,
    155,
    170,
    176,
    185,
    195,
    202,
    206,
    208,
    213,
    220,
    230,
    235,
    244,
    257,
    262,
    275,
    278,
    284,
    287,
    291,
    293,
    294,
    320,
    327,
    334,
    341,
    343,
    370,
    391,
    398,
    443,
    460,
)
"""Sixty of them for every test run, chosen after a run of all: every fault occurs and strikes where it can."""
