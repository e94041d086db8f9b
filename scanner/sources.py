"""Open the chain that a command reads: RPC endpoints, recorded or not, or a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scanner.beside import heed_interrupts
from scanner.chain.ahead import AheadReader, Hints
from scanner.chain.deadline import Deadline
from scanner.chain.interface import Block, Reader
from scanner.chain.learned import Learned, LearnedStore
from scanner.chain.options import Options
from scanner.chain.replay import RecordingReader, ReplayReader
from scanner.chain.spec import ROLES, EndpointSpec, specs_of
from scanner.config import EndpointConfig, expected_chain
from scanner.errors import ConfigError, WrongChainError
from scanner.kept import kept_path, load_kept, save_kept

if TYPE_CHECKING:
    from scanner.chain.pool import PoolReader
    from scanner.chain.reader import RpcReader
    from scanner.chain.translog import TransportLog
    from scanner.chain.world import Assumed

__all__ = ["ENDPOINTS", "SHARE", "Session", "Source", "begin", "configured", "open_source"]

ENDPOINTS: Final = "endpoints"
"""Folder of what was learned of endpoints."""

SHARE: Final = 0.05
"""Of what lenses answer, how much a quorum compares."""


@dataclass
class Source:
    """A reader, and the notes of its recording: read from a replay, written to a new recording.

    ``direct`` is what is behind the reader, which may record and ask ahead; ``pool`` the same where several endpoints
    are read. What is asked of this block only is asked within ``aside``. ``end`` is called when nothing is left to
    read: whether the block is still there is then found out beside what follows. ``forked_at``: the block that a fork
    begins after, where the reader stands on one; ``known``: by market root, whom a scan of that block read.
    """

    reader: Reader
    direct: Reader
    aside: Callable[[], AbstractContextManager[None]] = nullcontext
    end: Callable[[], None] = lambda: None
    replayed: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    pool: PoolReader | None = None
    forked_at: int | None = None
    known: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the endpoints: who was left out, who failed."""
        return () if self.pool is None else self.pool.notes

    @property
    def assurance(self) -> str | None:
        """What a quorum compared, and how probably it finds a change; None without one."""
        return None if self.pool is None else self.pool.assurance


@dataclass
class Session:
    """What the tries of one scan share.

    folder: where what is learned of endpoints and of markets is kept between scans. told: hears what is waited for.
    quarantined: hosts that gave wrong answers, with what they did. learned: what each endpoint takes, by URL.
    """

    deadline: Deadline = field(default_factory=Deadline)
    log: TransportLog | None = None
    folder: Path | None = None
    told: Callable[[str], None] | None = None
    quarantined: dict[str, str] = field(default_factory=dict)
    learned: dict[str, Learned] = field(default_factory=dict, repr=False)

    def learned_of(self, url: str) -> Learned:
        """Give what is known of an endpoint, to be read and written."""
        if url not in self.learned:
            self.learned[url] = Learned() if self.folder is None else LearnedStore(self.folder / ENDPOINTS).load(url)
        return self.learned[url]

    def keep(self) -> None:
        """Write down what was learned, where it is kept."""
        if self.folder is not None:
            for url, learned in self.learned.items():
                LearnedStore(self.folder / ENDPOINTS).save(url, learned)

    def hints_file(self, about: Sequence[str]) -> Path | None:
        """Name the file of what the last scan of the same asked; None where nothing is kept."""
        return None if self.folder is None or not about else kept_path(self.folder / "questions", *about)


@contextmanager
def begin(
    time_limit: float | None = None, transport_log: str | Path | None = None, folder: Path | None = None
) -> Iterator[Session]:
    """Start the clock of a scan, and its log; keep what is learned in a folder.

    Raises ConfigError for a log that cannot be written.
    """
    heed_interrupts()
    session = Session(Deadline(time_limit), folder=folder)
    try:
        if transport_log is not None:
            from scanner.chain.translog import TransportLog

            session.log = TransportLog(transport_log)
        yield session
    finally:
        session.keep()
        if session.log is not None:
            session.log.close()


@contextmanager
def open_source(
    rpc_urls: Sequence[str | EndpointSpec],
    *,
    chain: str | None,
    block: str | int,
    record: str | Path | None,
    replay: str | Path | None,
    quorum: int = 1,
    share: float = SHARE,
    session: Session | None = None,
    limits: Options | None = None,
    about: Sequence[str] = (),
    world: Assumed | None = None,
    fork: Callable[[Reader], Reader] | None = None,
) -> Iterator[Source]:
    """Open endpoints at a block, or a recording, which has its own block.

    A recording is written only when the block ends without an error. ``quorum``, ``share``: how many endpoints have to
    agree, and on how much of what lenses answer. ``about`` names what is going to be read: what the last scan of the
    same asked is then asked at once. ``world`` is what calls assume beside the block's state; ``fork`` gives the
    reader of a fork around that of the endpoints. Raises ConfigError, WrongChainError, ChainError or RecordingError;
    EndpointQuarantined when it should be tried again, with that host in ``session.quarantined``.
    """
    expected = expected_chain(chain)
    if replay is not None:
        if record is not None:
            raise ConfigError("--record and --replay cannot go together")
        with ReplayReader(Path(replay)) as replayed:
            if expected is not None and replayed.chain_id != expected:
                raise WrongChainError(f"{replay} was recorded on chain {replayed.chain_id}, not on {chain}")
            yield Source(replayed, replayed, replayed=True, notes=dict(replayed.recording.notes))
        return
    target = None if record is None else Path(record)
    if target is not None and not target.parent.is_dir():
        raise ConfigError(f"cannot record to {target}: there is no folder {target.parent}")
    specs = specs_of(rpc_urls)
    if not specs:
        raise ConfigError("no RPC URL: give rpc_urls='http://...' (the environment is not read here), or replay=FILE")
    from scanner.chain.several import open_several

    session = session or Session()
    hints_file = session.hints_file((*about, *(spec.url for spec in specs)) if about else ())
    hints = None if hints_file is None else load_kept(hints_file, Hints)
    opener = _opener(session, limits, () if hints is None else hints.blocks, world)
    opened: RpcReader | PoolReader
    pool: PoolReader | None = None
    if len(specs) == 1 and quorum == 1 and specs[0].roles == frozenset(ROLES):
        opened = opener(specs[0], block, expected_chain_id=expected)
    else:
        opened = pool = open_several(
            specs,
            block,
            opener,
            expected_chain_id=expected,
            quorum=quorum,
            share=share,
            quarantined=session.quarantined,
        )
    with opened:
        ahead = AheadReader(opened if fork is None else fork(opened), hints)
        recorder = None if target is None else RecordingReader(ahead)

        def end() -> None:
            ahead.end()
            opened.end()

        forked_at = None if fork is None else opened.block.number
        source = Source(recorder or ahead, opened, ahead.aside, end, pool=pool, forked_at=forked_at)
        yield source
        if recorder is not None and target is not None:
            recorder.recording.notes = source.notes
            recorder.save(target)
        noted = ahead.noted
        if hints_file is not None and noted not in (None, hints):
            save_kept(hints_file, noted)


def _opener(
    session: Session, limits: Options | None, also: Sequence[int], world: Assumed | None
) -> Callable[..., RpcReader]:
    """Give the function that opens an endpoint as a part of a session."""
    from scanner.chain.reader import open_reader

    def opened(spec: EndpointSpec, block: int | str | Block, **expected: Any) -> RpcReader:
        known = session.learned_of(spec.url)
        return open_reader(
            spec,
            block,
            options=limits,
            learned=known,
            also=also,
            deadline=session.deadline,
            log=session.log,
            told=session.told,
            world=world,
            **expected,
        )

    return opened


def configured(endpoints: Iterable[str | EndpointConfig]) -> tuple[EndpointSpec, ...]:
    """Turn what ``resolve_endpoints`` gives into specs. Raises ConfigError for what cannot be meant."""
    return specs_of(one if isinstance(one, str) else _configured(one) for one in endpoints)


def _configured(given: EndpointConfig) -> EndpointSpec:
    return EndpointSpec(
        given.rpc_url(),
        roles=frozenset(ROLES if given.roles is None else given.roles),  # type: ignore[arg-type]  # checked there
        requests_per_second=given.requests_per_second,
        compute_units_per_second=given.compute_units_per_second,
        concurrency=given.concurrency,
    )
