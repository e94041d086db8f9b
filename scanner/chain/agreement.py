"""Ask several endpoints the same, and find out who is right where they differ."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from scanner.beside import beside
from scanner.chain.interface import Reverted
from scanner.chain.kinds import Kind
from scanner.chain.members import Member, Members, Task, Work, all_failed, kind_of, listed
from scanner.errors import (
    BlockUndone,
    ChainError,
    DecodeError,
    EndpointQuarantined,
    OverridesRefused,
    QuorumLost,
)

__all__ = ["ONE_MORE", "Agreement", "Question", "contrast", "named"]

ONE_MORE: Final = (
    "give one more endpoint, of another host (--rpc-url, or [[endpoint]] in liqbands.toml): the majority decides then"
)
"""What helps where as many say one thing as another."""

_SHOWN: Final = 12  # bytes of an answer
_REPLACED: Final = "give another endpoint in its place (--rpc-url, or [[endpoint]] in liqbands.toml)"

T = TypeVar("T")


class Question(Generic[T]):
    """What is asked, how, and how to say what two answers differ in.

    ``differ`` gives what it is about and what each of the two says: ("logs of blocks 1-9", "5", "4 logs").
    """

    def __init__(self, task: Task, ask: Callable[[Member], T], differ: Callable[[T, T], tuple[str, str, str]]) -> None:
        self.task: Task = task
        self.ask = ask
        self.differ = differ


class Agreement:
    """Lets an answer pass when ``quorum`` endpoints give it. Used from several threads.

    An endpoint that gives another one than so many others is used no more. Where answers of its own have passed on
    less than a full comparison, they are suspect: EndpointQuarantined is raised then, and QuorumLost when too few
    endpoints are left or none are in the majority. Both are raised again by whatever is asked afterwards.
    """

    def __init__(self, members: Members, quorum: int) -> None:
        self._members = members
        self._quorum = quorum
        self._verdict: ChainError | None = None
        self._wrong: dict[Member, str] = {}
        self._guard = threading.Lock()

    def check(self) -> None:
        """Raise what was raised before, for whoever had it pass unheard."""
        if self._verdict is not None:
            raise self._verdict

    def trust(self, member: Member) -> None:
        """Raise EndpointQuarantined where an endpoint was found out, by whichever thread, while it was read from."""
        self.check()
        if member not in self._members.all():
            reason = self._wrong.get(member, "it is not used any more")
            raise self.lose(EndpointQuarantined(member.host, reason))

    def settle(self, question: Question[T], given: Sequence[tuple[Member, T]] = ()) -> T:
        """Give the answer that enough endpoints give. ``given``: answers that are known already.

        Raises QuorumLost, EndpointQuarantined; OverridesRefused or BlockUndone when that is why too few answer.
        """
        answers = list(given)
        work = self._members.work(question.task)
        for member, _ in given:
            work.pass_over(member)
        while True:
            self.check()
            using = self._members.all()  # whoever another thread has found out meanwhile has no voice
            groups = _groups([(member, answer) for member, answer in answers if member in using])
            if groups and len(groups[0]) >= self._quorum:
                if len(groups) > 1:
                    self._quarantine(question, groups)
                groups[0][0][0].served = True
                return groups[0][0][1]
            missing = self._quorum - (len(groups[0]) if groups else 0)
            fresh = [one for _ in range(missing) if (one := work.next()) is not None]
            if not fresh:
                raise self._lost(question, groups, work)
            answers += self._ask(question, fresh, work)

    def too_few(self, what: str, count: int, work: Work) -> ChainError:
        """Make the error for fewer endpoints than a quorum that can do something."""
        reasons = f": {listed(work.failures)}" if work.failures else ""
        return self.lose(QuorumLost(f"{self._quorum} endpoints have to agree, and {count} can {what}{reasons}"))

    def lose(self, error: ChainError) -> ChainError:
        """Remember what ends the scan, the first of several, and give it."""
        with self._guard:
            self._verdict = self._verdict or error
            return self._verdict

    def _ask(self, question: Question[T], members: Sequence[Member], work: Work) -> list[tuple[Member, T]]:
        """Ask several at once; who fails does not answer, which is no dissent."""
        futures = [(member, beside(partial(question.ask, member))) for member in members]
        answers: list[tuple[Member, T]] = []
        for member, future in futures:
            try:
                answers.append((member, future.result()))
            except (ChainError, DecodeError) as error:
                if kind_of(error) is Kind.OUT_OF_TIME:
                    raise
                work.note(member, error)
        return answers

    def _quarantine(self, question: Question[T], groups: list[list[tuple[Member, T]]]) -> None:
        right = groups[0]
        hosts = [member.host for member, _ in right]
        served: list[tuple[Member, str]] = []
        for member, answer in (entry for group in groups[1:] for entry in group):
            what, ours, theirs = question.differ(right[0][1], answer)
            reason = f"it disagrees with {named(hosts)} about {what}: {theirs}, not {ours}"
            self._wrong[member] = reason
            if member.served:
                served.append((member, reason))
            self._members.remove(member, f"{member.host} is not used any more: {reason}")
        for role in ("calls", "logs"):
            able = self._members.order(role)
            if len(able) < self._quorum:
                left = f"only {named([member.host for member in able])} left" if able else "none is left"
                wrong = "; ".join(note for note in self._members.notes if "not used any more" in note)
                raise self.lose(QuorumLost(f"{self._quorum} endpoints have to agree and {left}: {wrong}; {_REPLACED}"))
        if served:
            raise self.lose(EndpointQuarantined(served[0][0].host, served[0][1]))

    def _lost(self, question: Question[T], groups: list[list[tuple[Member, T]]], work: Work) -> ChainError:
        failures = work.failures
        if len(groups) > 1:
            what, ours, theirs = question.differ(groups[0][0][1], groups[1][0][1])
            one, other = (named([member.host for member, _ in group]) for group in groups[:2])
            failed = f"; {listed(failures)}" if failures else ""
            return self.lose(
                QuorumLost(f"{one} and {other} disagree about {what}: {ours} and {theirs}{failed}; {ONE_MORE}")
            )
        for kind in (OverridesRefused, BlockUndone):
            if any(isinstance(error, kind) for _, error in failures):
                return all_failed(failures)
        return self.too_few("answer", len(groups[0]) if groups else 0, work)


def named(hosts: Sequence[str]) -> str:
    """List hosts in a sentence."""
    return " and ".join([", ".join(hosts[:-1]), hosts[-1]] if len(hosts) > 1 else hosts)


def _groups(answers: Sequence[tuple[Member, T]]) -> list[list[tuple[Member, T]]]:
    """Put equal answers together, the most frequent first."""
    groups: list[list[tuple[Member, T]]] = []
    for member, answer in answers:
        for group in groups:
            if group[0][1] == answer:
                group.append((member, answer))
                break
        else:
            groups.append([(member, answer)])
    return sorted(groups, key=len, reverse=True)


def contrast(ours: bytes | Reverted, theirs: bytes | Reverted) -> tuple[str, str]:
    """Show two answers in short, from a little before where they begin to differ."""
    one, other = (answer.data if isinstance(answer, Reverted) else answer for answer in (ours, theirs))
    differ = (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    first = next(differ, min(len(one), len(other)))
    return _shown(ours, first), _shown(theirs, first)


def _shown(answer: bytes | Reverted, first: int) -> str:
    data = answer.data if isinstance(answer, Reverted) else answer
    if len(data) <= _SHOWN:
        text = f"0x{data.hex()}"
    else:
        start = max(min(first - _SHOWN // 3, len(data) - _SHOWN), 0)
        before, after = "…" * (start > 0), "…" * (start + _SHOWN < len(data))
        text = f"0x{before}{data[start : start + _SHOWN].hex()}{after}"
    if isinstance(answer, Reverted):
        return f"a revert with {text}"
    return (
        f"{text} ({len(data)} bytes, the same before byte {first})"
        if len(data) > _SHOWN
        else f"{text} ({len(data)} bytes)"
    )
