"""The document of `liqbands doctor`: what endpoints can do, and what that means for a scan."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scanner.chain.diagnosis import Diagnosis
from scanner.chain.spec import ROLES
from scanner.chain.traits import NAMES
from scanner.chain.verdicts import EndpointReport

__all__ = ["doctor_document", "doctor_json"]

_SCHEMA_VERSION: Final = "1.0"


def doctor_document(diagnosis: Diagnosis, now: int, version: str) -> dict[str, Any]:
    """Build the document: UNIX time of the probing, version of this program. No snapshot: no block was read."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "kind": "doctor",
        "tool_version": version,
        "probed_at": now,
        "usable": diagnosis.usable if diagnosis.wrong_chain is None else False,
        "wrong_chain": diagnosis.wrong_chain,
        "quorum": diagnosis.quorum,
        "advice": list(diagnosis.advice),
        "endpoints": [_endpoint(one) for one in diagnosis.endpoints],
    }


def doctor_json(diagnosis: Diagnosis, now: int, version: str) -> bytes:
    """Write the document."""
    return msgspec.json.format(msgspec.json.encode(doctor_document(diagnosis, now, version)), indent=2) + b"\n"


def _endpoint(one: EndpointReport) -> dict[str, Any]:
    return {
        "host": one.traits.host,
        "roles": [role for role in ROLES if role in one.roles],
        "calls": one.calls,
        "logs": one.logs,
        "traits": {name: {"value": one.traits[name].value, "note": one.traits[name].note or None} for name in NAMES},
        "findings": [
            {"name": said.name, "level": said.level, "shown": said.shown, "meaning": said.meaning}
            for said in one.findings
        ],
    }
