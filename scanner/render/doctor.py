"""What endpoints can do, and what that means for a scan: a block of lines for each, then the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len

from scanner.chain.diagnosis import Diagnosis
from scanner.chain.verdicts import EndpointReport, Finding
from scanner.render.ink import Ink
from scanner.render.lines import Drawing, Line, flow, style_of, wrap
from scanner.render.words import clean, count

__all__ = ["DoctorReport"]

_MARKS: Final = {"good": ("ok", "good"), "warn": ("!", "warn"), "bad": ("no", "bad"), "unknown": ("?", "dim")}
_NARROW: Final = 60  # columns below which a meaning stands under its finding
_LIMIT: Final = 400  # cells of what an endpoint said


class DoctorReport(Drawing):
    """All endpoints, one after the other."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        for one in self.diagnosis.endpoints:
            yield from _head(one, ink, width)
            for finding in one.findings:
                yield from _finding(finding, one.findings, ink, width)
            yield Line()
        yield from self._verdict(ink, width)

    def _verdict(self, ink: Ink, width: int) -> Iterable[Line]:
        wrong, usable = self.diagnosis.wrong_chain, self.diagnosis.usable
        if wrong is not None:
            yield from wrap(clean(wrong, _LIMIT), ink.role("bad"), width, head=(" wrong chain ", ink.badge("bad")))
        else:
            these = "these endpoints" if len(self.diagnosis.endpoints) > 1 else "this endpoint"
            asked = f", quorum {self.diagnosis.quorum}" if self.diagnosis.quorum > 1 else ""
            text, role = {
                True: (f"a scan can be done with {these}{asked}", "good"),
                False: (f"no scan can be done with {these}{asked}", "bad"),
                None: (f"not known whether a scan can be done with {these}{asked}", "warn"),
            }[usable]
            yield from wrap(text, ink.role(role, bold=True), width, head=("", ink.plain))
        for said in self.diagnosis.advice:
            yield from wrap(clean(said, _LIMIT), ink.plain, width, head=(" ", ink.plain))


def _head(one: EndpointReport, ink: Ink, width: int) -> Iterable[Line]:
    traits = one.traits
    chunks = [(" liqbands doctor ", ink.badge("brand")), (clean(traits.host), ink.bold)]
    chain, head, client = traits.number("chain_id"), traits.number("head"), traits["client"].value
    if chain is not None:
        chunks.append((f"chain {chain}", ink.dim))
    if head is not None:
        chunks.append((f"block {count(head)}", ink.dim))
    if isinstance(client, str) and client:
        chunks.append((clean(client, 50), ink.dim))
    yield from flow(chunks, width)


def _finding(finding: Finding, all_of_them: tuple[Finding, ...], ink: Ink, width: int) -> Iterable[Line]:
    mark, role = _MARKS[finding.level]
    style = style_of(ink, role)
    label = max(len(one.name) for one in all_of_them)
    shown = max(cell_len(clean(one.shown, 20)) for one in all_of_them)
    first = Line(
        (f" {mark:<3}", style), (f"{finding.name:<{label}}  ", ink.plain), (clean(finding.shown, 20), ink.bold)
    )
    meaning = clean(finding.meaning, _LIMIT)
    if width < _NARROW:
        yield first
        yield from wrap(meaning, ink.dim, width, head=("     ", ink.plain))
        return
    indent = 4 + label + 2 + shown + 2
    first.pad(indent, ink.plain)
    for order, line in enumerate(wrap(meaning, ink.dim, width - indent)):
        start = first if order == 0 else Line((" " * indent, ink.plain))
        yield start.extend(line)
