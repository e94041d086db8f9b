"""A check's verdict for continuous integration: GitHub annotations, JUnit XML, SARIF."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

import msgspec

from scanner.export.markdown import escape
from scanner.findings import details, headline, one_line
from scanner.verdict import Finding, Verdict

__all__ = ["failure_annotation", "failure_summary", "github_annotations", "junit", "sarif"]

_AT_MOST: Final = 10
"""Annotations of a kind that GitHub shows per step; it drops the others without a word."""
_SARIF: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_FAILURES: Final = {
    2: "wrong usage or configuration",
    3: "the node or the chain failed",
    4: "data cannot be used",
}
_MEANINGS: Final = {
    "max_new_liquidatable": "More accounts become liquidatable than allowed",
    "max_liquidatable": "More accounts have a health factor below one than allowed",
    "max_seizable": "More collateral is seizable than allowed",
    "max_largest_account": "A single account has more seizable collateral than allowed",
    "max_bad_debt": "More debt exceeds its collateral than allowed",
    "max_unpriced_debt": "More debt cannot be valued than allowed",
    "require_verified": "Fewer accounts were compared with the contract than required",
    "data": "Data is incomplete or differs from the contract",
}


def github_annotations(verdict: Verdict) -> list[str]:
    """Write workflow commands, one a line: an error per broken limit, a warning per one that cannot be judged.

    GitHub shows ten of each per step: where there are more, the last one says how many are left out.
    """
    broken = [(finding.name, _message(finding, verdict)) for finding in verdict.of("broken")]
    broken += [("data", fault.text) for fault in verdict.faults]
    open_ = [(finding.name, _message(finding, verdict)) for finding in verdict.of("unjudged")]
    open_ += [("data", fault.text) for fault in verdict.forgiven]
    return [*_bounded("error", broken), *_bounded("warning", open_)]


def failure_annotation(code: int, said: str) -> str:
    """Write the workflow command of a check that came to no verdict: its exit code and what was said."""
    return _command("error", "liqbands check", f"{_failure(code)}: {one_line(said)}")


def failure_summary(code: int, said: str) -> str:
    """Write the step summary of a check that came to no verdict."""
    return f"## liqbands check: {_failure(code)}\n\n{escape(said)}\n"


def _failure(code: int) -> str:
    return f"{_FAILURES.get(code, 'no verdict')} (exit code {code})"


def _message(finding: Finding, verdict: Verdict) -> str:
    return "\n".join([headline(finding), *details(finding, verdict)])


def _bounded(command: str, notes: Sequence[tuple[str, str]]) -> list[str]:
    lines = [_command(command, f"liqbands {name}", text) for name, text in notes[:_AT_MOST]]
    if len(notes) > _AT_MOST:
        left = len(notes) - _AT_MOST + 1
        text = f"{left} more are not shown here: GitHub shows {_AT_MOST} a step. The step summary and the log have all."
        lines[-1] = _command(command, "liqbands", text)
    return lines


def _command(command: str, title: str, message: str) -> str:
    """Write a workflow command; source of the escapes: actions/toolkit, packages/core/src/command.ts."""
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    value = one_line(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{command} title={value}::{data}"


def junit(verdict: Verdict) -> bytes:
    """Write JUnit XML: a case per limit and one for the data; a broken limit is a failure, what is open an error."""
    cases = [_case(finding, verdict) for finding in verdict.findings]
    data = ElementTree.Element("testcase", classname="liqbands.data", name="complete and verified")
    if verdict.faults:
        faults = "; ".join(fault.text for fault in verdict.faults)
        ElementTree.SubElement(data, "error", type="data", message=one_line(faults))
    suite = ElementTree.Element(
        "testsuite",
        name="liqbands check",
        tests=str(len(cases) + 1),
        failures=str(len(verdict.of("broken"))),
        errors=str(len(verdict.of("unjudged")) + bool(verdict.faults)),
    )
    suite.extend([data, *cases])
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _case(finding: Finding, verdict: Verdict) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"liqbands.{finding.limit}", name=one_line(finding.name))
    if finding.outcome != "holds":
        tag = "failure" if finding.outcome == "broken" else "error"
        told = ElementTree.SubElement(case, tag, type=finding.limit, message=headline(finding))
        told.text = "\n".join(details(finding, verdict, 100))
    return case


def sarif(verdict: Verdict, file: str) -> bytes:
    """Write SARIF 2.1.0. ``file`` is where the limits stand, relative to the repository: a result needs a place.

    All are at that one place, so each result has a fingerprint: by the place alone GitHub would take them for one.
    """
    rules: dict[str, str] = {}
    results = []
    told = [(f.limit, f.name, _message(f, verdict), f.outcome) for f in verdict.findings if f.outcome != "holds"]
    told += [("data", fault.text, one_line(fault.text), "broken") for fault in verdict.faults]
    for rule, name, text, outcome in told:
        rules.setdefault(rule, _MEANINGS.get(rule, "A quantity is farther from the baseline than allowed"))
        results.append(
            {
                "ruleId": rule,
                "level": "error" if outcome == "broken" else "warning",
                "message": {"text": text},
                "locations": [
                    {"physicalLocation": {"artifactLocation": {"uri": quote(file)}, "region": {"startLine": 1}}},
                ],
                "partialFingerprints": {"primaryLocationLineHash": sha256(name.encode()).hexdigest()},
            }
        )
    driver: dict[str, Any] = {
        "name": "liqbands",
        "version": verdict.after.snapshot.tool_version,
        "rules": [{"id": rule, "shortDescription": {"text": text}} for rule, text in rules.items()],
    }
    document = {"$schema": _SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
