"""Scan a block, run a payload on a fork of it, and scan what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from scanner.chain.differences import AccountState, differences
from scanner.chain.forked import ForkReader, Through
from scanner.chain.interface import Block, Reader
from scanner.chain.reader import RpcReader, open_reader
from scanner.chain.spec import EndpointSpec, specs_of
from scanner.chain.world import World
from scanner.config import cache_dir
from scanner.devchain.toolchain import find_anvil
from scanner.errors import ChainError, OverridesRefused
from scanner.fork.around import common_moment, need_node, scan_around
from scanner.fork.node import ForkNode
from scanner.fork.payload import Payload
from scanner.options import ScanOptions
from scanner.pipeline import Scanned, scan_source
from scanner.protocols.interface import MarketRead
from scanner.protocols.registry import find_protocol
from scanner.reading import Listener, Silence
from scanner.risk.rules import Answers
from scanner.sources import SHARE, Session, Source, open_source

__all__ = ["scan_fork"]

_ON_THE_FORK: Final = 5
"""Accounts of a market that the fork itself is asked about: each costs it requests, one after the other."""


def scan_fork(options: ScanOptions, payload: Payload, listener: Listener | None = None) -> tuple[Scanned, Scanned]:
    """Scan a block before and after a payload: the block as it is, then a fork of it, which is named by the same block.

    Without ``for_timestamp`` each is computed at its own time, which differs by what the payload waits; with it both at
    that time, counted from the block. Raises what ``scan`` raises; ConfigError for a recording, PayloadFailed when a
    transaction of the payload reverts, DevchainError where anvil cannot be had.
    """
    need_node(options)
    specs = [spec for spec in specs_of(options.rpc_urls) if "calls" in spec.roles]
    hear = listener or Silence()
    find_anvil(cache_dir(), getattr(hear, "note", None) or (lambda message: None))  # told before the block is read

    def after(before: Scanned, block: Block, session: Session) -> Scanned:
        hear.stage("running the payload on a fork")
        with _start(specs, block, before.result.snapshot.chain_id) as node:
            head = node.run(payload)
            moment = common_moment(options, block, head)
            pinned = replace(options, block=block.hash, prove="none", for_timestamp=moment)
            with open_reader(node.url) as fork:
                return _AfterScan(pinned, node, fork, block, before, hear, session).run()

    return scan_around(options, payload, hear, after, "on a fork")


def _start(specs: Sequence[EndpointSpec], block: Block, chain_id: int) -> ForkNode:
    """Fork the first endpoint that can be forked."""
    *others, last = specs
    for spec in others:
        try:
            return ForkNode(spec.url, block, chain_id)
        except ChainError:
            continue
    return ForkNode(last.url, block, chain_id)


@dataclass
class _AfterScan:
    """The scan of a fork, by the quickest way that the endpoints offer and the fork confirms."""

    options: ScanOptions  # at the block that was forked
    node: ForkNode
    fork: RpcReader
    block: Block
    before: Scanned
    hear: Listener
    session: Session

    def run(self) -> Scanned:
        """Scan. Raises what ``scan`` raises."""
        accounts = self.node.accounts()
        warnings: list[str] = []
        for through, world in self._ways(accounts, warnings):
            try:
                after = self._scan(through, world, accounts)
            except OverridesRefused as refusal:
                if through == "none":
                    raise
                warnings.append(f"parts of the fork were read from itself, slowly: {refusal}")
                continue
            if through != "none" and (wrong := self._differing(after)):
                warnings.append(f"the fork says otherwise of {', '.join(wrong)}: all was read from it, slowly")
                continue
            return replace(after, result=replace(after.result, warnings=(*after.result.warnings, *warnings)))
        raise AssertionError("the fork itself can always be read")

    def _ways(
        self, accounts: Mapping[str, AccountState], warnings: list[str]
    ) -> Iterator[tuple[Through, World | None]]:
        try:
            with self._open() as source:
                changes = differences(source.direct, accounts)
        except OverridesRefused as refusal:
            warnings.append(f"the fork was read from itself, slowly: {refusal}")
        else:
            head = self.fork.block
            if head.timestamp != self.block.timestamp:
                yield "all", World(changes, head.timestamp, head.number)
                yield "timeless", World(changes)
            else:
                yield "all", World(changes)
        yield "none", None

    def _scan(self, through: Through, world: World | None, accounts: Mapping[str, AccountState]) -> Scanned:
        with self._open(world, lambda upstream: ForkReader(upstream, self.fork, through)) as source:
            if world is not None and (left := differences(source.direct, accounts)):
                raise OverridesRefused(
                    f"{', '.join(source.direct.hosts)}: eth_call left out changes to {', '.join(left)}"
                )
            source.known.update((read.market.market_id, read.owners) for read in self.before.reads)
            return scan_source(source, self.options, self.hear)

    def _open(
        self, world: World | None = None, fork: Callable[[Reader], Reader] | None = None
    ) -> AbstractContextManager[Source]:
        return open_source(
            self.options.rpc_urls,
            chain=self.options.chain,
            block=self.options.block,
            record=None,
            replay=None,
            quorum=self.options.quorum,
            share=1.0 if self.options.verify == "all" else SHARE,
            session=self.session,
            world=world,
            fork=fork,
        )

    def _differing(self, after: Scanned) -> list[str]:
        """Name accounts that the contract on the fork itself values otherwise, of those where it matters most."""
        if self.options.verify == "none":
            return []
        return [
            name for was, read in zip(self.before.reads, after.reads, strict=True) for name in self._wrong(was, read)
        ]

    def _wrong(self, was: MarketRead, read: MarketRead) -> Sequence[str]:
        health = _health(read)
        named = read.positions.accounts.select("row", "position").join(
            was.positions.accounts.select("position").with_columns(_health(was)["health_factor_wad"].alias("was")),
            on="position",
            how="left",
            validate="1:1",
        )
        judged = health.filter(pl.col("health_factor").is_not_null()).join(named, on="row", validate="1:1")
        moved = pl.col("health_factor_wad").ne_missing(pl.col("was"))
        chosen = judged.sort(~moved, (pl.col("health_factor") - 1).abs(), "row").head(_ON_THE_FORK)["row"].to_list()
        protocol = find_protocol(read.market.protocol)
        return protocol.verify(self.fork, read.market, read.positions, health, sorted(chosen))


def _health(read: MarketRead) -> pl.DataFrame:
    return read.rules.health(read.positions, Answers(read.market.answers))
