"""What an HTTP answer means."""

from __future__ import annotations

import msgspec
import pytest

from scanner.chain.answers import Answers
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.redact import Redactor
from scanner.chain.transport import HttpAnswer


def _failure(method: str, error: dict[str, object]) -> RpcFailure:
    answers = Answers("node.example", Redactor("https://node.example/key"))
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": error})
    outcome = answers.single(method, 1, HttpAnswer(200, body))
    assert isinstance(outcome, RpcFailure)
    return outcome


@pytest.mark.parametrize("code", [3, -32000, -32015, -32603])
@pytest.mark.parametrize("message", ["execution reverted", "Internal error", "VM error"])
def test_what_a_contract_returned_is_its_answer_however_the_node_words_it(code: int, message: str) -> None:
    failure = _failure("eth_call", {"code": code, "message": message, "data": "0x08c379a0"})
    assert (failure.kind, failure.data) == (Kind.REVERTED, bytes.fromhex("08c379a0"))


def test_an_error_without_returned_bytes_is_the_nodes_own() -> None:
    assert _failure("eth_call", {"code": -32603, "message": "Internal error"}).kind is Kind.SERVER
    assert _failure("eth_getLogs", {"code": -32603, "message": "Internal error", "data": "0x08"}).kind is Kind.SERVER


def test_a_limit_that_quotes_bytes_stays_a_limit() -> None:
    failure = _failure("eth_call", {"code": -32005, "message": "rate limit exceeded", "data": "0x00"})
    assert failure.kind is Kind.RATE_LIMITED
