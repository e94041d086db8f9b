"""Scan a block, and the block as a payload leaves it: simulated by the endpoint with every read, no fork needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from scanner.chain.forked import SimulatedReader
from scanner.chain.interface import Block
from scanner.chain.simulated import Simulation, Stage, Unsent
from scanner.errors import PayloadFailed, ScannerError, WrongChainError
from scanner.fork.around import common_moment, need_node, scan_around
from scanner.fork.payload import Payload, Transaction, Wait
from scanner.fork.reverts import revert_reason
from scanner.options import ScanOptions
from scanner.pipeline import Scanned, scan_source
from scanner.reading import Listener, Silence
from scanner.sources import SHARE, Session, open_source

__all__ = ["scan_simulated", "simulation_of"]


def scan_simulated(options: ScanOptions, payload: Payload, listener: Listener | None = None) -> tuple[Scanned, Scanned]:
    """Scan a block before and after a payload, as ``scan_fork`` does, by eth_simulateV1 of the endpoint.

    The method lets time pass between blocks: transactions come a second after the block at the earliest, and what they
    leave is read a second after the last one. Raises what ``scan`` raises; ConfigError for a recording, PayloadFailed
    when a transaction reverts, OverridesRefused where the endpoint does not simulate.
    """
    need_node(options)
    hear = listener or Silence()

    def after(before: Scanned, block: Block, session: Session) -> Scanned:
        chain_id = before.result.snapshot.chain_id
        if payload.chain_id not in (None, chain_id):
            raise WrongChainError(f"the payload was made for chain {payload.chain_id}, and {chain_id} is simulated")
        simulation = simulation_of(block, payload)
        moment = common_moment(options, block, simulation.head)
        hear.stage("simulating the payload")
        with open_source(
            options.rpc_urls,
            chain=options.chain,
            block=block.hash,
            record=None,
            replay=None,
            quorum=options.quorum,
            share=1.0 if options.verify == "all" else SHARE,
            session=session,
            world=simulation,
            fork=lambda upstream: SimulatedReader(upstream, simulation),
        ) as source:
            source.known.update((read.market.market_id, read.owners) for read in before.reads)
            pinned = replace(options, block=block.hash, prove="none", for_timestamp=moment)
            return scan_source(source, pinned, hear)

    return scan_around(options, payload, hear, after, "simulated")


def simulation_of(block: Block, payload: Payload) -> Simulation:
    """Put a payload's steps into blocks: a new one after each wait, at the time of the waits so far if that is later.

    Pure. Times are seconds, counted from ``block``.
    """
    stages: list[list[Transaction]] = []
    times: list[int] = []
    due, waited = block.timestamp, True
    for step in payload.steps:
        if isinstance(step, Wait):
            due += step.seconds
            waited = True
            continue
        if waited:
            times.append(max(due, (times[-1] if times else block.timestamp) + 1))
            stages.append([])
            waited = False
        stages[-1].append(step)
    done = [
        Stage(time, tuple(Unsent(step.sender, step.to, step.data, step.value) for step in steps))
        for time, steps in zip(times, stages, strict=True)
    ]
    last = max(due, (times[-1] if times else block.timestamp) + 1)
    return Simulation(block, done, last, _refusal([step for steps in stages for step in steps]))


def _refusal(transactions: Sequence[Transaction]) -> Callable[[int, str, bytes | None], ScannerError]:
    def refused(position: int, words: str, data: bytes | None) -> ScannerError:
        step = transactions[position]
        if data is None:
            return PayloadFailed(f"{step.name} ({step}) cannot be sent: {words}")
        reason = revert_reason(data) if data or "revert" in words else words or "it took all gas, or has no reason"
        return PayloadFailed(f"{step.name} ({step}) reverted: {reason}")

    return refused
