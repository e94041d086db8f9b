"""Scan a fork: what accounts are like after transactions that have not happened."""

from scanner.fork.files import parse_payload
from scanner.fork.payload import Payload, Transaction, Wait
from scanner.fork.scan import scan_fork
from scanner.fork.simulate import scan_simulated

__all__ = ["Payload", "Transaction", "Wait", "parse_payload", "scan_fork", "scan_simulated"]
