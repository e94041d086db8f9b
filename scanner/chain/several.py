"""Open several endpoints at one block: who serves it is used, who does not is left out with a word, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Final, Protocol

from scanner.beside import beside
from scanner.chain.agreement import ONE_MORE, named
from scanner.chain.blocks import block_parameter, moves
from scanner.chain.interface import Block
from scanner.chain.members import Member, Members, PinnedReader, all_failed, plain_reason, reason_of
from scanner.chain.pool import PoolReader
from scanner.chain.quorum import QuorumReader
from scanner.chain.spec import EndpointSpec
from scanner.errors import (
    BlockUnavailable,
    BlockUndone,
    ChainError,
    ConfigError,
    EndpointQuarantined,
    QuorumLost,
    ScannerError,
    WrongChainError,
)

__all__ = ["Opener", "open_several"]


class Opener(Protocol):
    """Opens an endpoint at a block as a user writes it, or at one that another endpoint named."""

    def __call__(
        self,
        endpoint: EndpointSpec,
        block: int | str | Block,
        /,
        *,
        expected_chain_id: int | None,
        expected_genesis: str | None,
    ) -> PinnedReader: ...


_KEPT: Final = 128  # blocks whose state a node keeps without being an archive
_BEHIND: Final = 3  # blocks that an endpoint may be behind another one and still name the block
_RECENT: Final = ("latest", "safe", "finalized")


def open_several(
    specs: Sequence[EndpointSpec],
    block: int | str,
    opener: Opener,
    *,
    expected_chain_id: int | None = None,
    quorum: int = 1,
    share: float = 0.05,
    quarantined: Mapping[str, str] | None = None,
) -> PoolReader:
    """Pin all endpoints to the block that the first one to have it names, which the others are given time for.

    An endpoint that fails or lags is left out, with a note; one of another chain is a mistake that is told at once.
    With a ``quorum`` above one, answers are compared: a ``share`` of those of lenses, all others in full.
    ``quarantined``: hosts that gave wrong answers before, with what they did; they are not opened.

    Raises ConfigError, WrongChainError, QuorumLost when too few are left, EndpointQuarantined when the block that the
    first one names is another one for the majority, ChainError that lists why each failed.
    """
    _check(specs, quorum)
    notes = [f"{host} was left out: {reason}" for host, reason in (quarantined or {}).items()]
    left = [spec for spec in specs if spec.host not in (quarantined or {})]
    if old := _is_old(block):
        left.sort(key=lambda spec: "archive" not in spec.roles)
    if len(left) < quorum:
        raise QuorumLost(f"{quorum} endpoints have to agree and {len(left)} are left: {'; '.join(notes)}")
    if not left:
        raise ChainError(f"no endpoint is left: {'; '.join(notes)}")
    failures: list[tuple[EndpointSpec, ChainError]] = []
    members = _open(left, block, opener, expected_chain_id, failures)
    if moves(block) and (newest := _far_ahead(members)) is not None:
        # whoever is asked first names the block, and it is far behind the others
        notes.append(
            f"{members[0].host} is behind {newest.host}, which was asked for the block: {_heads(members[0], newest)}"
        )
        for member in members:
            member.reader.close()
        failures.clear()
        left.sort(key=lambda spec: spec is not newest.spec)
        members = _open(left, block, opener, expected_chain_id, failures)
    try:
        if quorum > 1:
            _compare_hashes(members, failures, opener, quorum, notes)
        if len(members) < quorum:
            told = [*notes, *(f"{spec.host} was left out: {reason_of(spec.host, error)}" for spec, error in failures)]
            raise QuorumLost(
                f"{quorum} endpoints have to agree and {len(members)} can be read at this block: {'; '.join(told)}"
                f"{_advice(block, [error for _, error in failures])}"
            )
        notes += [f"{spec.host} was left out: {plain_reason(spec.host, error)}" for spec, error in failures]
        together = Members(members, old=old, notes=notes)
        return QuorumReader(together, quorum, share) if quorum > 1 else PoolReader(together)
    except BaseException:
        for member in members:
            member.reader.close()
        raise


def _far_ahead(members: Sequence[Member]) -> Member | None:
    """Give the endpoint with the newest block where the first one is far behind it."""
    heads = {member.host: head for member in members if (head := member.reader.head) is not None}
    newest = max(members, key=lambda member: heads.get(member.host, 0))
    return newest if heads.get(newest.host, 0) - heads.get(members[0].host, 2**63) > _BEHIND else None


def _heads(first: Member, newest: Member) -> str:
    return f"their newest blocks are {first.reader.head} and {newest.reader.head}"


def _check(specs: Sequence[EndpointSpec], quorum: int) -> None:
    if not any("calls" in spec.roles for spec in specs):
        raise ConfigError("no endpoint has the role calls: give it to one at least")
    if quorum == 1:
        return
    places: dict[str, list[str]] = {}
    for spec in specs:
        places.setdefault(spec.place, []).append(spec.host)
    for hosts in places.values():
        if len(hosts) > 1:
            names = list(dict.fromkeys(hosts))
            given = f"{names[0]} is given {len(hosts)} times" if len(names) == 1 else f"{named(names)} are one endpoint"
            raise ConfigError(f"--quorum {quorum}: {given}, and would agree with itself: give another one in its place")
    for role in ("calls", "logs"):
        able = sum(role in spec.roles for spec in specs)
        if able < quorum:
            raise ConfigError(
                f"--quorum {quorum} needs {quorum} endpoints of different hosts for {role}, and there "
                f"{'is' if able == 1 else 'are'} {able}: give more with --rpc-url"
            )


def _open(
    specs: Sequence[EndpointSpec],
    block: int | str,
    opener: Opener,
    expected_chain_id: int | None,
    failures: list[tuple[EndpointSpec, ChainError]],
) -> list[Member]:
    """Open the first endpoint that has the block, then the others at its block, all at once."""
    waiting = list(specs)
    first: Member | None = None
    while first is None:
        if not waiting:
            raise all_failed([(failed.host, error) for failed, error in failures])
        spec = waiting.pop(0)
        try:
            reader = opener(spec, block, expected_chain_id=expected_chain_id, expected_genesis=None)
            first = Member(reader, spec)
        except ChainError as error:
            failures.append((spec, error))
    like = first.reader
    futures = [(spec, beside(partial(_open_like, opener, spec, like, first.host))) for spec in waiting]
    members = [first]
    wrong: ScannerError | None = None
    for spec, future in futures:
        try:
            reader = future.result()
        except ChainError as error:
            failures.append((spec, error))
        except ScannerError as error:
            wrong = wrong or error
        else:
            members.append(Member(reader, spec))
    if wrong is not None:
        for member in members:
            member.reader.close()
        raise wrong
    return members


def _open_like(opener: Opener, spec: EndpointSpec, like: PinnedReader, host: str) -> PinnedReader:
    """Open an endpoint at the block of another one's reader. Raises WrongChainError that names both."""
    try:
        return opener(spec, like.block, expected_chain_id=like.chain_id, expected_genesis=like.genesis_hash)
    except WrongChainError as error:
        raise WrongChainError(f"{error}; {host} was opened before: all endpoints have to serve one chain") from error


def _compare_hashes(
    members: list[Member],
    failures: list[tuple[EndpointSpec, ChainError]],
    opener: Opener,
    quorum: int,
    notes: list[str],
) -> None:
    """Find out which hash the endpoints give that have another block: the majority is right, if it is large enough."""
    like = members[0].reader
    number, ours = like.block.number, [member.host for member in members]
    others: dict[str, list[EndpointSpec]] = {}
    for spec in [spec for spec, error in failures if isinstance(error, BlockUndone)]:
        try:
            with closing(
                opener(spec, number, expected_chain_id=like.chain_id, expected_genesis=like.genesis_hash)
            ) as reader:
                if reader.block.hash != like.block.hash:
                    others.setdefault(reader.block.hash, []).append(spec)
        except ChainError:
            continue  # why it failed before is told
    if not others:
        return
    found, most = max(others.items(), key=lambda entry: len(entry[1]))
    theirs = [spec.host for spec in most]
    what = f"the hash of block {number}"
    if len(ours) > len(theirs) and len(ours) >= quorum:
        for spec in (spec for specs in others.values() for spec in specs):
            failures[:] = [entry for entry in failures if entry[0] is not spec]
            notes.append(f"{spec.host} was left out: it disagrees with {' and '.join(ours)} about {what}")
    elif len(theirs) > len(ours) and len(theirs) >= quorum:
        raise EndpointQuarantined(ours[0], f"it disagrees with {' and '.join(theirs)} about {what}")
    else:
        raise QuorumLost(
            f"{' and '.join(ours)} and {' and '.join(theirs)} disagree about {what}: {like.block.hash} and {found}; "
            f"{ONE_MORE}"
        )


def _advice(block: int | str, failures: Sequence[ChainError]) -> str:
    """Say what helps where an endpoint does not have one of the newest blocks yet."""
    wanted = block_parameter(block)
    newest = wanted == "latest" if isinstance(wanted, str) else -_KEPT < wanted < 0
    if newest and any(isinstance(error, BlockUnavailable) for error in failures):
        return "; a block that is a little older may be there on all of them: try --block -5 or --block finalized"
    return ""


def _is_old(block: int | str) -> bool:
    """Tell whether a block may be older than what a node keeps that is no archive: one asked for by name may be."""
    wanted = block_parameter(block)
    return wanted not in _RECENT if isinstance(wanted, str) else not -_KEPT < wanted < 0
