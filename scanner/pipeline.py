"""Reader + protocol + risk → ScanResult."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from typing import Any, Final

from scanner import __version__
from scanner.assess import Prepared, prepare
from scanner.config import data_dir
from scanner.errors import (
    BlockUndone,
    ConfigError,
    DecodeError,
    EndpointQuarantined,
    ProofMismatch,
    RecordingError,
    suggest,
)
from scanner.options import ScanOptions, parse_duration, parse_timestamp
from scanner.protocols.interface import MarketRead
from scanner.reading import Listener, Silence, read_market, remember_idle
from scanner.rescan import Checked, Scanned, assessed, rescanned, result_of
from scanner.results import ContractAnswer, ProofReport, ScanResult, Snapshot
from scanner.sources import SHARE, Session, Source, begin, open_source
from scanner.targets import Target, recorded_targets, resolve_targets
from scanner.verify import choose_rows

__all__ = ["ScanOptions", "Scanned", "assessed", "rescanned", "scan", "scan_read", "scan_source"]


def _targets(source: Source, options: ScanOptions) -> list[Target]:
    """Resolve the markets asked for; a recording names its own when none is."""
    if source.replayed:
        return recorded_targets(source.reader, source.notes, options.markets, options.protocol, options.only)
    targets = resolve_targets(source.reader, options.markets, options.protocol, options.from_block)
    source.notes["targets"] = [{"root": target.root, "name": target.name} for target in targets]
    return targets


def _draw(source: Source, options: ScanOptions) -> str:
    """Give what the accounts to verify are drawn by: a secret, since a node that knew them could lie of the others.

    A recording brings that of its scan; one without any has all accounts verified, or the draw of earlier versions.
    """
    if options.verify == "sample" and not source.replayed:
        source.notes.setdefault("draw", secrets.token_hex(16))
    return str(source.notes.get("draw", source.reader.block.hash))


def _prove(
    source: Source, target: Target, read: MarketRead, options: ScanOptions, hear: Listener
) -> ProofReport | None:
    """Hold what was read against the block's state root, if that is asked for."""
    if options.prove == "none":
        return None
    if source.replayed:
        raise ConfigError("a recording holds no proofs: --prove needs a node")
    hear.stage("proving against the state root")
    report = target.protocol.prove(source.direct, read.market, read.positions, read.totals, options.prove)
    lacking = [total.symbol for total in read.totals if not total.complete]
    if lacking and options.discover and not read.positions.skipped.height:
        raise ProofMismatch(
            f"{', '.join(source.reader.hosts)}: the state root proves debt of {', '.join(lacking)} that nobody who was "
            "found has: logs were left out, now or when the index was filled, or an imported list lacks accounts. "
            "Read them again, with another endpoint: liqbands index --rebuild"
        )
    return report


@contextmanager
def _answers_of_the_contract() -> Iterator[None]:
    """Say what it means that a recording lacks what the contract says of an account."""
    try:
        yield
    except RecordingError as error:
        raise RecordingError(f"an account to verify was not verified when this was recorded: {error}") from error


@contextmanager
def _answers_of(source: Source, options: ScanOptions) -> Iterator[None]:
    """Say whose answer has another shape than it must have. Where all is to be proven, that is proof enough."""
    try:
        yield
    except DecodeError as error:
        if source.replayed:
            raise
        hosts = ", ".join(source.reader.hosts)
        told = f"{hosts}: {str(error).removeprefix(f'{hosts}: ')}"
        if options.prove == "none":
            raise DecodeError(f"{told}; try another endpoint") from error
        raise ProofMismatch(f"{told}: no state root proves such an answer; use another endpoint") from error


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


_RESTARTS: Final = 3


def scan(options: ScanOptions | None = None, *, listener: Listener | None = None, **changes: Any) -> ScanResult:
    """Scan one block and give its frames.

    Takes ``ScanOptions``, or their fields as keywords: ``scan(rpc_urls=["http://..."], markets=["0x..."])``.
    Raises ScannerError: ConfigError for wrong options, ChainError when the node failed, DataError for damaged input.
    An incomplete scan is a result whose ``trustworthy`` is false, never an error. A block that is undone in mid-scan is
    given up for the newest one, unless it was asked for by number or hash.
    """
    known = [field.name for field in fields(ScanOptions)]
    for name in changes:
        if name not in known:
            raise ConfigError(f"scan() takes no option {name!r}; {suggest(name, known)}")
    return scan_read(replace(options or ScanOptions(), **changes), listener=listener).result


def scan_read(chosen: ScanOptions, *, listener: Listener | None = None, session: Session | None = None) -> Scanned:
    """Scan as ``scan`` does, and give what was read too. Raises what ``scan`` raises.

    session: of who scans block after block; its deadline and its log are taken then.
    """
    clock = _Clock()
    with (
        begin(parse_duration(chosen.time_limit), chosen.transport_log, data_dir())
        if session is None
        else nullcontext(session)
    ) as session:
        session.told = getattr(listener, "note", None)
        for left in reversed(range(_RESTARTS + 1)):
            try:
                with open_source(
                    chosen.rpc_urls,
                    chain=chosen.chain,
                    block=chosen.block,
                    record=chosen.record,
                    replay=chosen.replay,
                    quorum=chosen.quorum,
                    share=1.0 if chosen.verify == "all" else SHARE,
                    session=session,
                    about=(chosen.chain or "", chosen.protocol or "", *chosen.markets),
                ) as source:
                    return scan_source(source, chosen, listener, clock)
            except EndpointQuarantined as wrong:
                if not left:
                    raise
                session.quarantined[wrong.host] = wrong.reason
                (listener or Silence()).stage(f"{wrong.host} gave a wrong answer: starting again without it")
            except BlockUndone:
                from scanner.chain.blocks import moves  # what a replay need not load

                if not left or not moves(chosen.block):
                    raise
                (listener or Silence()).stage("the block was reorganised away: starting again")
    raise AssertionError("the last try ends the loop")


def scan_source(
    source: Source, options: ScanOptions, listener: Listener | None = None, clock: _Clock | None = None
) -> Scanned:
    """Scan the block that a source stands at."""
    hear, clock, chain = listener or Silence(), clock or _Clock(), source.reader
    targets = _targets(source, options)
    timestamp = parse_timestamp(options.for_timestamp, chain.block.timestamp)
    clock.lap("open")
    markets: list[Prepared] = []
    checks: list[Checked] = []
    answers: dict[str, ContractAnswer] = {}
    for target in targets:
        with _answers_of(source, options):
            read = read_market(source, target, options, hear)
        if target is targets[-1] and options.verify == options.prove == "none" and not options.only:
            source.end()
        clock.lap("read")
        hear.stage("computing")
        prepared = prepare(read, timestamp, options)
        clock.lap("compute")
        rows = choose_rows(prepared.health, read.positions.accounts, options.verify, _draw(source, options))
        hear.stage("verifying against the contract", len(rows))
        # the accounts are drawn anew for each block, hence aside
        with _answers_of(source, options), _answers_of_the_contract(), source.aside():
            mismatches = target.protocol.verify(chain, read.market, read.positions, prepared.health, rows)
            if options.only:
                answers |= target.protocol.contract_answers(chain, read.market, read.owners)
        with _answers_of(source, options):
            proven = _prove(source, target, read, options, hear)
        remember_idle(source, target, read, options, prepared.health)
        clock.lap("verify")
        markets.append(prepared)
        checks.append(Checked(len(rows), tuple(mismatches), proven))
    source.end()
    hear.stage("computing")
    if source.assurance is not None:
        source.notes["agreed"] = {"endpoints": options.quorum, "assurance": source.assurance}
    agreed = source.notes.get("agreed", {})  # a replay says what was compared when it was recorded
    snapshot = Snapshot(
        chain_id=chain.chain_id,
        block_number=chain.block.number,
        block_hash=chain.block.hash,
        block_timestamp=chain.block.timestamp,
        complete=None,
        tool_version=__version__,
        rpc_hosts=tuple(chain.hosts),
        seconds=clock.seconds,
        source="recording" if source.replayed else "rpc",
        reading=chain.way or "single",
        quorum=agreed.get("endpoints", 1),
        assurance=agreed.get("assurance"),
    )
    result = result_of(snapshot, markets, checks, options)
    clock.lap("compute")
    result = replace(result, contract_answers=answers, warnings=(*source.warnings, *result.warnings))
    return Scanned(result, tuple(prepared.read for prepared in markets), tuple(source.warnings))
