"""The doctor command: probe each endpoint, keep what a scan can use of it, and say what it means."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from scanner import __version__
from scanner.beside import beside, heed_interrupts
from scanner.chain.learned import LearnedStore
from scanner.chain.spec import EndpointSpec
from scanner.chain.traits import Traits, probe
from scanner.chain.verdicts import diagnose
from scanner.cli.commands import progress_of
from scanner.cli.curtain import remember
from scanner.cli.files import check_file, save
from scanner.cli.options import Output, Talk
from scanner.config import config_file, data_dir, expected_chain, load_file, resolve_endpoints, text_columns
from scanner.errors import WrongChainError
from scanner.export.doctor import doctor_json
from scanner.render.console import show
from scanner.render.doctor import DoctorReport
from scanner.sources import ENDPOINTS, configured

__all__ = ["run_doctor"]

UNUSABLE = 3
_AT_ONCE = 8


def run_doctor(
    rpc_urls: Sequence[str], chain: str | None, config: str | None, output: Output, talk: Talk, form: str
) -> int:
    """Probe the endpoints side by side; exit 0 when a scan can be done with them."""
    check_file(output.output)
    columns = text_columns()
    file = load_file(config_file(config))
    named = chain or file.chain
    expected = expected_chain(named)
    specs = configured(resolve_endpoints(rpc_urls, named, file))
    remember(spec.url for spec in specs)
    now = int(time.time())
    guard = threading.Lock()
    turns = threading.Semaphore(_AT_ONCE)
    heed_interrupts()
    with progress_of(talk) as progress:

        def heard(words: str) -> None:
            with guard:
                progress.stage(words)

        def in_turn(spec: EndpointSpec) -> Traits:
            with turns:
                return _probe(spec, heard)

        probing = [beside(partial(in_turn, spec)) for spec in specs]
        diagnosis = diagnose([probe.result() for probe in probing], expected)
    if form == "json":
        save(output.output, doctor_json(diagnosis, now, __version__))
    elif output.output == "-":
        show(DoctorReport(diagnosis), columns=columns)
    else:
        text = io.StringIO()
        show(DoctorReport(diagnosis), text, columns=columns)
        save(output.output, text.getvalue().encode())
    if diagnosis.wrong_chain is not None:
        raise WrongChainError(diagnosis.wrong_chain)
    return 0 if diagnosis.usable else UNUSABLE


def _probe(spec: EndpointSpec, heard: Callable[[str], None]) -> Traits:
    """Probe anew what is known, and keep what was found for the next scan."""
    store = LearnedStore(data_dir() / ENDPOINTS)
    learned = store.load(spec.url)
    traits = probe(spec, learned=learned, heard=lambda what: heard(f"probing {spec.host}: {what}"))
    if traits.number("chain_id") is not None:
        store.save(spec.url, learned, anew=True)
    return traits
