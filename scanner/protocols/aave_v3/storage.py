"""Where Aave v3 contracts keep what a scan reads: slots found in proven storage, and words taken apart.

Layouts differ by revision and fork, so a known place is only tried first. A place is told by proven words alone, never
by what was read: a lie cannot lead to a slot that agrees with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scanner.chain.proofs import ProvenState, mapping_slot
from scanner.errors import ChainError

__all__ = ["LISTED", "PoolStorage", "TokenStorage", "as_address", "balance", "find_tokens", "listed_key", "root_base"]

LISTED: Final = ("POOL", "PRICE_ORACLE")
"""Names under which the PoolAddressesProvider keeps addresses."""

_BASES: Final = range(151)
_ROOT_BASES: Final = range(21)
_POOL_HINT: Final = 52
_TOKEN_HINTS: Final = (52, 56)  # aTokens; debt tokens
_TOKEN_SLOTS: Final = 8
_IDS: Final = range(128)
_PROBED_IDS: Final = range(8)
_ADDRESS: Final = 2**160
_LONGEST_NAME: Final = 1024
_BALANCE_BITS: Final = 120
_DELEGATION_MODES: Final = 4


def as_address(word: int) -> str:
    """Read the address in the lower 160 bits of a word."""
    return f"0x{word % _ADDRESS:040x}"


def balance(word: int) -> int:
    """Give the scaled balance in the lower half of a user's word.

    Some tokens keep a delegation mode in its upper 8 bits (uint120 balance).
    """
    half = word % 2**128
    return half % 2**_BALANCE_BITS if half >> _BALANCE_BITS < _DELEGATION_MODES else half


def listed_key(name: str) -> int:
    """Give the mapping key of a name in the PoolAddressesProvider."""
    return int.from_bytes(name.encode().ljust(32, b"\0"), "big")


def root_base(state: ProvenState, root: str) -> int:
    """Find the PoolAddressesProvider's mapping of names to addresses. Raises ChainError."""
    slots = {base: [mapping_slot(listed_key(name), base) for name in LISTED] for base in _ROOT_BASES}
    words = state.words({root: [slot for own in slots.values() for slot in own]})[root]
    return _only(
        [base for base in _ROOT_BASES if all(0 < words[slot] < _ADDRESS for slot in slots[base])],
        f"the addresses that the market root {root} names",
    )


class PoolStorage:
    """Slots of a pool: consecutive mappings of reserves, user configurations, the list, e-modes, users' e-modes."""

    def __init__(self, state: ProvenState, pool: str) -> None:
        """Find them, and prove the list of reserves. Raises ChainError."""
        self._state = state
        self._pool = pool
        if not self._fits(_POOL_HINT, _IDS):
            fitting = self._fitting()
            self._fits(_only(fitting, f"the reserves of pool {pool}"), _IDS)

    base: int
    assets: Mapping[int, str]  # by id, as proven

    def reserve(self, asset: str) -> list[int]:
        """Give the first seven slots of a reserve's data."""
        first = mapping_slot(asset, self.base)
        return [first + offset for offset in range(7)]

    def user(self, account: str) -> tuple[int, int]:
        """Give the slots of an account's configuration and of its e-mode."""
        return mapping_slot(account, self.base + 1), mapping_slot(account, self.base + 4)

    def emode(self, category: int) -> int:
        """Give the first slot of an e-mode category."""
        return mapping_slot(category, self.base + 3)

    def _fitting(self) -> list[int]:
        slots = {base: [mapping_slot(number, base + 2) for number in _PROBED_IDS] for base in _BASES}
        words = self._state.words({self._pool: [slot for own in slots.values() for slot in own]})[self._pool]
        listed = [base for base in _BASES if any(words[slot] for slot in slots[base])]
        return [base for base in listed if self._fits(base, _PROBED_IDS)]

    def _fits(self, base: int, ids: range) -> bool:
        """Say whether a list lies here whose first asset has indexes and tokens in the mapping of reserves."""
        slots = [mapping_slot(number, base + 2) for number in ids]
        words = self._state.words({self._pool: slots})[self._pool]
        found = {number: words[slot] for number, slot in zip(ids, slots, strict=True) if words[slot]}
        if not found or max(found.values()) >= _ADDRESS:
            return False
        self.base, self.assets = base, {number: as_address(word) for number, word in found.items()}
        first = self.reserve(next(iter(self.assets.values())))
        data = self._state.words({self._pool: first})[self._pool]
        tokens = [data[first[4]], data[first[6]]]
        return all(data[slot] for slot in first[:4]) and all(0 < token < _ADDRESS for token in tokens)


@dataclass(frozen=True, slots=True)
class TokenStorage:
    """Slots of a token: users' balances, allowances, supply, name, symbol, decimals; stable debt has more behind."""

    base: int
    words: Mapping[int, int]  # of the slots from ``base`` that are no mappings

    def user(self, account: str) -> int:
        """Give the slot of an account's balance and what is kept beside it."""
        return mapping_slot(account, self.base)

    def stable_since(self, account: str) -> int:
        """Give the slot of the time when an account's stable debt was last updated."""
        return mapping_slot(account, self.base + 6)

    @property
    def supply(self) -> int:
        """Give the total supply: scaled, or the principal of stable debt."""
        return self.words[self.base + 2]

    @property
    def stable_terms(self) -> tuple[int, int]:
        """Give the average rate of stable debt and the time of its supply."""
        word = self.words[self.base + 7]
        return word % 2**128, word >> 128 & 2**40 - 1


def find_tokens(state: ProvenState, tokens: Mapping[str, int]) -> dict[str, TokenStorage]:
    """Find where tokens keep their users' balances, given their decimals. Raises ChainError.

    Told by name, symbol and decimals, three to five slots behind.
    """
    near = sorted({slot for base in _TOKEN_HINTS for slot in range(base, base + _TOKEN_SLOTS)})
    words = state.words(dict.fromkeys(tokens, near))
    found, unknown = {}, {}
    for token, decimals in tokens.items():
        fitting = [base for base in _TOKEN_HINTS if _is_token(words[token], base, decimals)]
        if len(fitting) == 1:
            found[token] = TokenStorage(fitting[0], words[token])
        else:
            unknown[token] = decimals
    if not unknown:
        return found
    words = state.words(dict.fromkeys(unknown, range(_BASES.stop + _TOKEN_SLOTS)))
    for token, decimals in unknown.items():
        fitting = [base for base in _BASES if _is_token(words[token], base, decimals)]
        found[token] = TokenStorage(_only(fitting, f"the balances of token {token}"), words[token])
    return found


def _is_token(words: Mapping[int, int], base: int, decimals: int) -> bool:
    return _is_text(words[base + 3]) and _is_text(words[base + 4]) and words[base + 5] % 256 == decimals


def _is_text(word: int) -> bool:
    """Say whether a word is what Solidity keeps in the slot of a text that is not empty."""
    if word % 2:
        return 31 < word // 2 <= _LONGEST_NAME
    length = word % 256 // 2
    return 0 < length < 32 and not word % 2 ** (8 * (32 - length)) >> 8


def _only(bases: Sequence[int], what: str) -> int:
    if len(bases) != 1:
        where = "in several places" if bases else "nowhere"
        raise ChainError(
            f"{what} cannot be proven: they lie {where} in the first {len(_BASES)} slots, so the contract has a storage"
            " layout that is not known; scan with --prove none"
        )
    return bases[0]
