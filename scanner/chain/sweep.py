"""Run jobs that may come back smaller, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol, TypeVar

from scanner.chain.failures import RpcFailure

__all__ = ["Work", "sweep"]

J = TypeVar("J")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Work(Protocol[J, R_co]):
    """Jobs, how to do one, and what becomes of one that failed."""

    def take(self) -> J | None:
        """Give the next job; None when there is none now. A job that fails or answers in part may bring new ones."""
        ...

    async def ask(self, job: J) -> R_co:
        """Do one job."""
        ...

    def failed(self, job: J, failure: RpcFailure) -> None:
        """Queue the job again in parts, or raise."""
        ...


async def sweep(work: Work[J, R], concurrency: int) -> AsyncGenerator[tuple[J, R], None]:
    """Do all jobs, at most ``concurrency`` at once, and give each result when it comes.

    The consumer may queue more jobs before it asks for the next result. Any other error than RpcFailure, and
    whatever ``failed`` raises, cancels the jobs in flight.
    """
    running: dict[asyncio.Task[R], J] = {}
    try:
        while True:
            while len(running) < concurrency and (job := work.take()) is not None:
                running[asyncio.ensure_future(work.ask(job))] = job
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                job = running.pop(task)
                try:
                    result = task.result()
                except RpcFailure as failure:
                    work.failed(job, failure)
                else:
                    yield job, result
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
