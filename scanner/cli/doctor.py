"""The doctor command: probe each endpoint, keep what a scan can use of it, and say what it means."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, Final

from scanner import __version__
from scanner.beside import beside
from scanner.chain.learned import LearnedStore
from scanner.chain.spec import EndpointSpec
from scanner.cli.curtain import remember
from scanner.cli.files import check_file, save
from scanner.cli.options import Output, Probing, Talk
from scanner.config import config_file, data_dir, expected_chain, load_file, resolve_endpoints, text_columns
from scanner.errors import ConfigError, WrongChainError
from scanner.options import parse_duration
from scanner.render.progress import Progress
from scanner.sources import ENDPOINTS, Session, begin, configured

if TYPE_CHECKING:
    from scanner.chain.diagnosis import Diagnosis
    from scanner.chain.traits import Traits

__all__ = ["run_doctor"]

UNUSABLE = 3
_AT_ONCE = 8
_SAID_EVERY: Final = 1.0  # seconds between two words on what is looked at, where nothing changes


def run_doctor(options: Probing, output: Output, talk: Talk, form: str) -> int:
    """Probe the endpoints side by side; exit 0 when a scan can be done with them."""
    check_file(output.output)
    if options.transport_log is not None:
        check_file(str(options.transport_log))
    columns = text_columns()
    file = load_file(config_file(options.config))
    named = options.chain or file.chain
    expected = expected_chain(named)
    specs = configured(resolve_endpoints(options.rpc_url, named, file))
    remember(spec.url for spec in specs)
    quorum = options.quorum if options.quorum is not None else file.quorum if file.quorum is not None else 1
    if quorum < 1:
        raise ConfigError(f"--quorum {quorum}: give 1, which compares nothing, or more")
    now = int(time.time())
    with (
        Progress(enabled=talk.progress and not talk.quiet) as progress,
        begin(parse_duration(options.time_limit), options.transport_log) as session,
    ):
        probed = _probe_all(specs, session, progress)
    from scanner.chain.diagnosis import diagnose

    diagnosis = diagnose(probed, expected, specs=specs, quorum=quorum)
    if talk.verbose:
        for traits in probed:
            parts = ", ".join(f"{part} {spent:.2f} s" for part, spent in traits.seconds.items())
            print(f"{traits.host}: {traits.requests} requests, {parts}", file=sys.stderr)
    shown = _write(diagnosis, output, form, columns, now)
    if diagnosis.wrong_chain is not None:
        if shown:
            return WrongChainError.exit_code
        raise WrongChainError(diagnosis.wrong_chain)
    return 0 if diagnosis.usable else UNUSABLE


def _write(diagnosis: Diagnosis, output: Output, form: str, columns: int | None, now: int) -> bool:
    """Write the report or the document; say whether it was shown to a reader, who need not be told again."""
    if form == "json":
        from scanner.export.doctor import doctor_json

        save(output.output, doctor_json(diagnosis, now, __version__))
        return False
    from scanner.render.console import show
    from scanner.render.doctor import DoctorReport

    if output.output == "-":
        show(DoctorReport(diagnosis), columns=columns)
        return True
    text = io.StringIO()
    show(DoctorReport(diagnosis), text, columns=columns)
    save(output.output, text.getvalue().encode())
    return False


def _probe_all(specs: Sequence[EndpointSpec], session: Session, progress: Progress) -> list[Traits]:
    """Probe some at a time, and say what each is looked at for."""
    looked_at: dict[int, str] = {}
    guard = threading.Lock()
    turns = threading.Semaphore(_AT_ONCE)

    def say() -> None:
        with guard:
            progress.note("; ".join(f"{specs[at].host}: {what}" for at, what in sorted(looked_at.items())) or "waiting")

    def heard(at: int, what: str) -> None:
        with guard:
            looked_at[at] = what
        say()

    def in_turn(at: int) -> Traits:
        with turns:
            heard(at, "connecting")
            try:
                return _probe(specs[at], session, partial(heard, at))
            finally:
                with guard:
                    looked_at.pop(at, None)

    progress.stage("probing")
    probing = [beside(partial(in_turn, at)) for at in range(len(specs))]
    while wait(probing, timeout=_SAID_EVERY).not_done:
        say()
    return [probe.result() for probe in probing]


def _probe(spec: EndpointSpec, session: Session, heard: Callable[[str], None]) -> Traits:
    """Probe anew what is known, and keep what was found for the next scan."""
    from scanner.chain.soundings import PASSING  # only now, when something is on the screen: web3 takes a while to load
    from scanner.chain.traits import probe

    store = LearnedStore(data_dir() / ENDPOINTS)
    learned = store.load(spec.url)
    traits = probe(spec, learned=learned, heard=heard, deadline=session.deadline, log=session.log)
    if traits.number("chain_id") is not None:
        # what could not be asked this time is still as it was
        asked = not any(trait.value is None and trait.kind in PASSING for trait in traits.found.values())
        store.save(spec.url, learned, anew=asked)
    return traits
