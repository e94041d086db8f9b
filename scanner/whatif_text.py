"""Read what-ifs as people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeVar

from scanner.errors import ConfigError
from scanner.units import BPS

__all__ = ["Setting", "Shock", "WhatIf", "parse_whatif", "percent"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FARTHEST: Final = 10 * 366 * 86_400
_LARGEST: Final = 10_000  # percent up: beyond, a mistake is likelier than a stress
_NUMBER: Final = r"([0-9]{1,15}(?:\.[0-9]{1,18})?)"


@dataclass(frozen=True, slots=True)
class Shock:
    """A factor (or a ratio such as wstETH/ETH) that moves: by ``ratio``, or to a price in dollars."""

    name: str
    ratio: Fraction | None = None  # 0.9 for -10 %
    price_usd: Fraction | None = None

    @property
    def text(self) -> str:
        """Write the shock as the command line takes it."""
        if self.ratio is not None:
            return f"{self.name}={_decimal((self.ratio - 1) * 100):+}%"
        return f"{self.name}={_decimal(self.price_usd or Fraction(0))}usd"


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter: of a reserve (symbol, id or asset) or of an e-mode category; to a value or by a difference.

    A bonus is what is paid above 100 %: 500 for 5 %.
    """

    key: str
    bps: int
    relative: bool = False


@dataclass(frozen=True)
class WhatIf:
    """What is changed. Empty: nothing."""

    shocks: tuple[Shock, ...] = ()
    thresholds: tuple[Setting, ...] = ()
    bonuses: tuple[Setting, ...] = ()
    emode_thresholds: tuple[Setting, ...] = ()  # key: the category's number
    emode_bonuses: tuple[Setting, ...] = ()
    seconds: int = 0  # later than the block

    def __bool__(self) -> bool:
        return self != WhatIf()


def percent(bps: int) -> str:
    """Write basis points as percent."""
    return f"{_decimal(Fraction(bps, 100))}%"


def parse_whatif(
    shock: Sequence[str] = (),
    set_lt: Sequence[str] = (),
    set_bonus: Sequence[str] = (),
    set_emode: Sequence[str] = (),
    time: str | None = None,
) -> WhatIf:
    """Read what-ifs as the command line takes them, each text one or several with commas between.

    Shocks ``ETH=-10%``, ``wstETH/ETH=-2.85%``, ``ETH=1600usd``; thresholds ``USDC=76%``, ``LINK=-1%`` (percentage
    points); bonuses ``USDC=5%`` above 100 %; e-modes ``1:lt=92%``, ``1:bonus=2%``; time ``+30d``. Raises ConfigError.
    """
    modes = [_emode(text) for text in _parts(set_emode)]
    return WhatIf(
        shocks=_once([_shock(text) for text in _parts(shock)], lambda one: one.name, "--shock"),
        thresholds=_settings([_setting("--set-lt", text, "USDC=76%") for text in _parts(set_lt)], "--set-lt"),
        bonuses=_settings([_setting("--set-bonus", text, "USDC=5%") for text in _parts(set_bonus)], "--set-bonus"),
        emode_thresholds=_settings([setting for name, setting in modes if name == "lt"], "--set-emode"),
        emode_bonuses=_settings([setting for name, setting in modes if name == "bonus"], "--set-emode"),
        seconds=_seconds(time),
    )


def _parts(texts: Sequence[str]) -> list[str]:
    given = (texts,) if isinstance(texts, str) else texts
    return [part.strip() for text in given for part in text.split(",")]


def _named(option: str, text: str, example: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip() or not value.strip():
        raise ConfigError(f"{option} {text!r}: give it as {example}")
    return name.strip(), value.strip()


def _shock(text: str) -> Shock:
    name, value = _named("--shock", text, "ETH=-10%, wstETH/ETH=-2.85% or ETH=1600usd")
    name = "/".join(side.strip() for side in name.split("/"))
    if price := re.fullmatch(_NUMBER + "usd", value, re.IGNORECASE):
        if Fraction(price[1]) == 0:
            raise ConfigError(f"--shock {text}: a price of 0 is no price: the protocol would not value anything at it")
        return Shock(name, price_usd=Fraction(price[1]))
    move = re.fullmatch(r"([+\-\u2212])" + _NUMBER + r"\s*%", value)
    if move is None:
        if re.fullmatch(_NUMBER + r"\s*%", value):
            raise ConfigError(f"--shock {text}: up or down? Give {name}=-{value} or {name}=+{value}")
        if re.fullmatch(r"[+-]?" + _NUMBER, value):
            raise ConfigError(f"--shock {text}: a unit is missing: give {name}=-10% or {name}=1600usd")
        raise ConfigError(f"--shock {text}: give it as {name}=-10% or {name}=1600usd")
    size = Fraction(move[2])
    if move[1] != "+" and size >= 100:
        raise ConfigError(f"--shock {text}: a price falls by less than 100%")
    if size > _LARGEST:
        raise ConfigError(f"--shock {text}: a shock is at most +{_LARGEST}%")
    return Shock(name, ratio=1 + (size if move[1] == "+" else -size) / 100)


def _setting(option: str, text: str, example: str) -> Setting:
    name, value = _named(option, text, f"{example}, or in percentage points {example.replace('=', '=+')}")
    written = re.fullmatch(r"([+\-\u2212]?)" + _NUMBER + r"\s*%", value)
    if written is None:
        raise ConfigError(
            f"{option} {text}: give a percentage, such as {example}, or +1% for a percentage point more than now"
        )
    bps = Fraction(written[2]) * 100
    if bps.denominator != 1:
        raise ConfigError(f"{option} {text}: the protocol keeps whole basis points: at most two decimals")
    if bps > 100 * BPS:
        raise ConfigError(f"{option} {text}: that is more than any parameter can be")
    return Setting(name, int(bps) if written[1] in ("", "+") else -int(bps), relative=bool(written[1]))


def _emode(text: str) -> tuple[str, Setting]:
    written = re.fullmatch(r"([0-9]{1,3})\s*:\s*(lt|bonus)\s*=(.*)", text)
    if written is None:
        raise ConfigError(
            f"--set-emode {text!r}: give the category's number, lt or bonus, such as 1:lt=92% or 1:bonus=2%"
        )
    setting = _setting("--set-emode", f"{written[1]}:{written[2]}={written[3]}", f"{written[1]}:{written[2]}=92%")
    return written[2], Setting(str(int(written[1])), setting.bps, setting.relative)


def _seconds(text: str | None) -> int:
    if text is None:
        return 0
    later = re.fullmatch(r"\+([0-9]{1,12})([smhd])", text.strip())
    if later is None:
        raise ConfigError(f"--time {text}: give how much later than the block: +12s, +5m, +1h, +30d")
    seconds = int(later[1]) * _UNITS[later[2]]
    if seconds > _FARTHEST:
        raise ConfigError(f"--time {text} is more than ten years after the block: what is computed means nothing")
    return seconds


_T = TypeVar("_T")


def _settings(settings: list[Setting], option: str) -> tuple[Setting, ...]:
    return _once(settings, lambda setting: setting.key, option)


def _once(found: list[_T], name: Callable[[_T], str], option: str) -> tuple[_T, ...]:
    names = [name(one) for one in found]
    for one in names:
        if names.count(one) > 1:
            raise ConfigError(f"{option}: {one} is given twice")
    return tuple(found)


def _decimal(value: Fraction) -> Decimal:
    """Write a fraction, which all came from decimals, without an exponent."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return Decimal(f"{exact.normalize():f}")
