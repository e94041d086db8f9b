"""A real lending market on a local node: anvil, the protocol's own contracts, borrowers by the thousand."""

from __future__ import annotations

from scanner.devchain.actions import act
from scanner.devchain.anvil import Anvil
from scanner.devchain.market import DevMarket, deploy_market
from scanner.devchain.population import populate
from scanner.devchain.session import run_devchain
from scanner.devchain.toolchain import install

__all__ = ["Anvil", "DevMarket", "act", "deploy_market", "install", "populate", "run_devchain"]
