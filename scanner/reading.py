"""Read a market and everybody in it: discovery, positions, the completeness proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import polars as pl

from scanner.beside import beside
from scanner.chain.interface import LogQuery, Reader
from scanner.config import data_dir
from scanner.discovery import Candidates, discover
from scanner.errors import ScannerError
from scanner.options import ScanOptions
from scanner.protocols.interface import LogDiscovery, Market, MarketRead
from scanner.results import ReserveProof
from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Positions
from scanner.sources import Source
from scanner.store.files import index_path
from scanner.store.index import BorrowerIndex
from scanner.targets import Target

__all__ = ["Listener", "Silence", "open_index", "read_market", "remember_idle"]


class Listener(Protocol):
    """Hears how far a scan is."""

    def stage(self, name: str, total: int | None = None) -> None: ...

    def update(self, done: int, total: int | None = None) -> None: ...


class Silence:
    """Hears nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def update(self, done: int, total: int | None = None) -> None:
        pass


@contextmanager
def open_index(chain: Reader, target: Target, file: str | Path | None) -> Iterator[BorrowerIndex]:
    """Open a market's borrower index, in the data folder unless a file is named."""
    slug = target.protocol.slug
    path = Path(file) if file else index_path(data_dir(), chain.chain_id, chain.genesis_hash, slug, target.root)
    with BorrowerIndex(
        path,
        chain_id=chain.chain_id,
        genesis_hash=chain.genesis_hash,
        protocol=slug,
        market_id=target.root,
        first_block=target.first_block,
    ) as index:
        yield index


def read_market(source: Source, target: Target, options: ScanOptions, listener: Listener | None = None) -> MarketRead:
    """Find and read every position of a market, and what the protocol says they sum up to.

    Accounts that the last complete scan saw without debt are read only when the proof misses debt without them. When
    it does with them too, logs that an earlier scan kept are read once more: the node may have lagged then. The
    market is read while borrowers are found, and its oracle, whose proof is many small requests, beside the accounts.
    """
    hear = listener or Silence()
    chain, protocol = source.reader, target.protocol
    hear.stage("reading the market")
    unknown = options.verify == "all"
    reading = beside(lambda: protocol.read_market(chain, target.root, target.name, newest_for_unknown=unknown))
    oracle = beside(lambda: _oracle(source, target, reading.result(), options))
    try:
        found = _candidates(source, target, options, hear, reading)
    except ScannerError:
        reading.result()  # what is wrong with the market says more
        raise
    market = reading.result()

    def read(owners: Sequence[str]) -> tuple[Positions, Sequence[ReserveProof]]:
        hear.stage("reading accounts", len(owners))
        positions = protocol.read_positions(chain, market, owners, hear.update)
        return positions, () if options.only else protocol.debt_totals(chain, market, positions)

    owners = found.active
    positions, totals = read(owners)
    if found.idle and not all(total.complete for total in totals):
        owners = [*found.active, *found.idle]
        positions, totals = read(owners)
    if found.doubtful and any(total.missing > total.tolerance for total in totals) and not positions.skipped.height:
        found = _candidates(source, target, options, hear, reading, again=True)
        if not {*found.active, *found.idle} <= set(owners):
            owners = [*found.active, *found.idle]
            positions, totals = read(owners)
    source.notes.setdefault("owners", {})[target.root] = owners
    return MarketRead(market, protocol.rules(market), oracle.result(), positions, totals, owners)


def _oracle(source: Source, target: Target, market: Market, options: ScanOptions) -> OracleGraph:
    graph = target.protocol.oracle_graph(source.reader, market)
    return graph.with_factors(options.factors) if options.factors else graph


def _candidates(
    source: Source,
    target: Target,
    options: ScanOptions,
    listener: Listener,
    market: Future[Market],
    *,
    again: bool = False,
) -> Candidates:
    """Give the owners to read; a recording brings its own. Raises at once what reading the market beside it raises.

    again: read the logs again that were read only once as yet.
    """
    chain = source.reader

    def heard(done: int, total: int) -> None:
        if market.done():
            market.result()
        listener.update(done, total)

    if source.replayed:
        recorded = source.notes["owners"][target.root]
        return Candidates([owner for owner in options.only if owner in recorded] if options.only else recorded, [])
    if options.only:
        return Candidates(list(options.only), [])
    with open_index(chain, target, options.index_file) as index:
        listener.stage("debt without an owner: reading the logs again" if again else "finding borrowers")
        wanted = target.protocol.discovery(chain, target.root)
        if again:
            index.doubt()
        found = discover(chain, wanted, index, read_logs=options.discover, progress=heard)
        if again:
            index.settle()
    if source.forked_at is None:
        return found
    return _on_fork(chain, wanted, found, source.forked_at, source.known.get(target.root, found.active))


def _on_fork(
    chain: Reader, wanted: LogDiscovery, found: Candidates, forked_at: int, known: Sequence[str]
) -> Candidates:
    """Take whom the scan before the fork read, and who borrows on it: an index may reach beyond the fork's blocks."""
    query = LogQuery(wanted.addresses, wanted.topics, forked_at + 1, chain.block.number)
    news = {item.owner for _, logs in chain.logs(query) for item in wanted.decode(logs)}
    active = [*known, *sorted(news.difference(known))]
    return replace(found, active=active, idle=sorted({*found.active, *found.idle}.difference(active)))


def remember_idle(source: Source, target: Target, read: MarketRead, options: ScanOptions, health: pl.DataFrame) -> None:
    """After a complete scan, note who has no debt, so that the next one need not read them."""
    if (
        source.replayed
        or source.forked_at is not None
        or options.only
        or read.positions.skipped.height
        or not all(total.complete for total in read.totals)
    ):
        return
    idle = read.positions.accounts["position"].filter(~health["has_debt"]).to_list()
    if not idle:
        return
    with open_index(source.reader, target, options.index_file) as index:
        index.mark_idle(idle, source.reader.block.number, source.reader.block.hash)
