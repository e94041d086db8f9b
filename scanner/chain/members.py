"""Endpoints that stand at the same block: whom to ask for what, whom no more, and what it means when all failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from scanner.chain.failures import RpcFailure
from scanner.chain.interface import Reader
from scanner.chain.kinds import Kind
from scanner.chain.provable import Provable
from scanner.chain.spec import EndpointSpec, Role
from scanner.errors import BlockUnavailable, BlockUndone, ChainError, DecodeError, NoProofs, OverridesRefused, RpcError

__all__ = [
    "Member",
    "Members",
    "PinnedReader",
    "Task",
    "Work",
    "all_failed",
    "kind_of",
    "listed",
    "may_switch",
    "plain_reason",
    "reason_of",
]

Task = Literal["calls", "logs", "proofs"]
"""What an endpoint is asked for. Proofs are asked of those with the role calls."""

_FOR_ALL: Final = frozenset({Kind.UNREACHABLE, Kind.RATE_LIMITED, Kind.BLOCK_UNKNOWN, Kind.NOT_RPC, Kind.DISCONNECTED})
"""Failures that say nothing of the work: whoever has one is asked last for any."""


class PinnedReader(Reader, Provable, Protocol):
    """A reader of one endpoint, as ``RpcReader`` is."""

    @property
    def by_hash(self) -> bool:
        """Whether the block is named by its hash in every call, so that no other one can answer."""
        ...

    @property
    def head(self) -> int | None:
        """Number of the newest block when it was opened; None where the endpoint did not say."""
        ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


@dataclass(eq=False)
class Member:
    """An endpoint that is in use. ``failed``: what it failed at, for which it is asked last."""

    reader: PinnedReader
    spec: EndpointSpec
    failed: set[Task] = field(default_factory=set)
    served: bool = False

    @property
    def host(self) -> str:
        """Host and port."""
        return self.spec.host


class Members:
    """The endpoints in use, in the order in which they were given. Used from several threads.

    old: the block is beyond what a node without an archive keeps, so archives go first. ``notes`` is what a user should
    know of them.
    """

    def __init__(self, members: Iterable[Member], *, old: bool = False, notes: Iterable[str] = ()) -> None:
        self._members = list(members)
        self._removed: list[Member] = []
        self._closed = False
        self._old = old
        self._guard = threading.Lock()
        self.notes = list(notes)

    def order(self, task: Task) -> list[Member]:
        """List who may be asked for something, the one to ask first before the others."""
        role = _role(task)
        with self._guard:
            if self._closed:  # a thread that nobody waits for any more would open connections again
                raise ChainError("the reader is closed")
            able = [member for member in self._members if role in member.spec.roles]
            return sorted(
                able,
                key=lambda one: (
                    not one.failed.isdisjoint({task, role}),
                    self._old and "archive" not in one.spec.roles,
                ),
            )

    @property
    def single(self) -> bool:
        """Whether there was one from the start."""
        return len(self._members) + len(self._removed) == 1

    def all(self) -> list[Member]:
        """List everybody in use."""
        with self._guard:
            return list(self._members)

    def demote(self, member: Member, task: Task, error: ChainError) -> None:
        """Ask a member last from now on, and note why."""
        if isinstance(error, OverridesRefused):
            return  # what it is asked without them it may answer
        with self._guard:
            known = task in member.failed
            member.failed |= {"calls", "logs", "proofs"} if kind_of(error) in _FOR_ALL else {task}
            if not known and len(self._members) > 1:
                self.notes.append(
                    f"{member.host} failed at reading {task}, others were asked: {plain_reason(member.host, error)}"
                )

    def remove(self, member: Member, note: str) -> None:
        """Use a member no more."""
        with self._guard:
            if member in self._members:
                self._members.remove(member)
                self._removed.append(member)
                self.notes.append(note)

    def close(self) -> None:
        """Close the connections of everybody who is or was in use."""
        with self._guard:
            self._closed = True
            everybody = [*self._members, *self._removed]
        for member in everybody:
            member.reader.close()

    def work(self, task: Task) -> Work:
        """Begin a piece of work that one member after the other may be asked for."""
        return Work(self, task)


class Work:
    """Something that is asked of the next endpoint, and goes on there, when one fails."""

    def __init__(self, members: Members, task: Task) -> None:
        self._members = members
        self._task: Task = task
        self._asked: set[Member] = set()
        self.failures: list[tuple[str, ChainError]] = []

    def next(self) -> Member | None:
        """Give whom to ask now; None when all were."""
        for member in self._members.order(self._task):
            if member not in self._asked:
                self._asked.add(member)
                return member
        return None

    def pass_over(self, member: Member) -> None:
        """Take a member for asked."""
        self._asked.add(member)

    def one(self) -> Member:
        """Give whom to ask now. Raises ChainError that lists why the others failed."""
        member = self.next()
        if member is None:
            raise self.exhausted()
        return member

    def failed(self, member: Member, error: ChainError | DecodeError) -> None:
        """Note a failure. Raises it where another endpoint would not help, or there never was one."""
        if isinstance(error, DecodeError) and self._members.single:
            raise DecodeError(f"{member.host}: {reason_of(member.host, error)}") from error
        if not isinstance(error, DecodeError) and not may_switch(error):
            raise error
        self.note(member, error)

    def note(self, member: Member, error: ChainError | DecodeError) -> None:
        """Note a failure, whatever it is. An answer of another shape than it must have is none."""
        failure = _caused(RpcError(str(error)), error) if isinstance(error, DecodeError) else error
        self._members.demote(member, self._task, failure)
        self.failures.append((member.host, failure))

    def exhausted(self) -> ChainError:
        """Make the error for work that every endpoint failed at."""
        if not self.failures:
            return ChainError(f"no endpoint is left that has the role {_role(self._task)}; give another one")
        return all_failed(self.failures)


def kind_of(error: BaseException) -> Kind | None:
    """Give what a failure means; None where no request was behind it."""
    failure = _failure_of(error)
    return None if failure is None else failure.kind


def _failure_of(error: BaseException) -> RpcFailure | None:
    """Give the failed request behind an error; None where there was none."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, RpcFailure):
        seen = seen.__cause__
    return seen


def may_switch(error: ChainError) -> bool:
    """Tell whether another endpoint may do better: not about what a contract says, nor when time is up."""
    return kind_of(error) not in (Kind.REVERTED, Kind.OUT_OF_TIME)


def reason_of(host: str, error: Exception) -> str:
    """Say why an endpoint failed, without its host where the sentence begins with it."""
    return str(error).removeprefix(f"{host}: ")


def plain_reason(host: str, error: Exception) -> str:
    """Say why an endpoint failed as ``reason_of`` does, without advice: for where another one serves instead."""
    told = error.reason if isinstance(error, NoProofs) else str(error)
    failure = _failure_of(error)
    return (told if failure is None else told.replace(str(failure), failure.plain)).removeprefix(f"{host}: ")


def listed(failures: Iterable[tuple[str, ChainError]]) -> str:
    """List hosts with the reasons why they failed."""
    return "; ".join(f"{host}: {reason_of(host, error)}" for host, error in failures)


def all_failed(failures: list[tuple[str, ChainError]]) -> ChainError:
    """Make one error of many, of the class that tells what helps: another way to read, or another block."""
    last = failures[-1][1]
    if len(failures) == 1:
        return last
    whole = f"every endpoint failed: {listed(failures)}"
    kinds: tuple[tuple[type[ChainError], Callable[[Iterable[bool]], bool]], ...] = (
        (OverridesRefused, any),
        (BlockUndone, any),
        (BlockUnavailable, all),
    )
    for kind, enough in kinds:
        if enough(isinstance(error, kind) for _, error in failures):
            return _caused(kind(whole), last)
    return _caused(RpcError(whole), last)


def _role(task: Task) -> Role:
    return "calls" if task == "proofs" else task


def _caused(error: ChainError, cause: Exception) -> ChainError:
    error.__cause__ = cause
    return error
