"""What an HTTP answer means."""

from __future__ import annotations

import time

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


def test_a_long_message_is_read_at_its_beginning() -> None:
    started = time.perf_counter()
    failure = _failure("eth_getLogs", {"code": 10**300, "message": "rate limit exceeded " + "method " * 500_000})
    assert time.perf_counter() - started < 2
    assert failure.kind is Kind.RATE_LIMITED
    assert len(str(failure)) < 500


@pytest.mark.parametrize("pad", range(1_970, 2_001))
def test_a_secret_that_is_cut_in_two_is_not_shown(pad: int) -> None:
    """Others before it become one sign each, so that the end comes to where it is shown."""
    answers, url = Answers("node.example", Redactor("https://node.example/s3cretkey")), "https://node.example/s3cretkey"
    message = (url * 100)[:pad] + url * 100
    assert "s3c" not in str(answers.failure("eth_call", message))
    assert "s3c" not in str(answers.malformed("eth_call", msgspec.Raw(f'"{message}"'.encode())))
