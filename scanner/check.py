"""Hold facts against limits: what is broken, by whom, and what cannot be judged. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import fsum
from typing import Final, Literal

import polars as pl

from scanner.errors import ConfigError, DataError
from scanner.facts import HURT, Facts, shortfall_usd
from scanner.limits import Allowed, At, Limits, Tolerance
from scanner.verdict import Finding, Outcome, Span, Verdict, largest_first, named, newly_hurt, newly_unpriced

__all__ = ["judge", "refuse_incomparable"]
Reproduce = Callable[[Finding], str]


def judge(
    before: Facts | None,
    after: Facts,
    limits: Limits,
    baseline: Facts | None = None,
    *,
    shocked: Mapping[At, Facts] | None = None,
    reproduce: Reproduce | None = None,
    allow_incomplete: bool = False,
) -> Verdict:
    """Judge ``after`` by limits; before it is a what-if, a fork, or the baseline.

    shocked: the facts of ``after`` with each of ``limits.places`` moved. Raises ConfigError where a limit lacks what it
    compares with, DataError where a baseline is of another market.
    """
    places = shocked or {}
    if baseline is not None:
        _same_markets(baseline, after)
    refuse_incomparable(limits, changes=before is not None, baseline=baseline is not None)
    compared = before if before is not None else baseline
    newly, lost = None, 0
    if compared is not None and (compared.accounts is not None or limits.max_new_liquidatable is not None):
        newly, lost = newly_hurt(compared, after), newly_unpriced(compared, after)
    since = baseline if before is not None and baseline is not None and baseline.accounts is not None else None
    start = compared if compared is not None and compared.accounts is not None else after
    findings = [
        *_new(limits, newly, lost),
        *([] if since is None else _new(limits, newly_hurt(since, after), newly_unpriced(since, after), since.name)),
        *_liquidatable(limits, after, lost),
        *(_at(_SEIZABLE, start, after, each.at, each.allowed, places) for each in limits.max_seizable),
        *(_at(_LARGEST, start, after, each.at, each.allowed, places) for each in limits.max_largest_account),
        *(_at(_BAD_DEBT, start, after, each.at, each.allowed, places) for each in limits.max_bad_debt),
        *_unpriced(limits, after),
        *_verified(limits, before, after),
        *(_within(tolerance, baseline, after) for tolerance in limits.baseline if baseline is not None),
    ]
    if reproduce is not None:
        findings = [
            finding if finding.outcome == "holds" else replace(finding, reproduce=reproduce(finding))
            for finding in findings
        ]
    faults = list(after.faults)
    for other, name in ((before, "before the change"), (baseline, "the baseline")):
        if other is not None:
            told = [fault.text for fault in faults]
            faults += [replace(f, text=f"{name}: {f.text}") for f in other.faults if f.text not in told]
    excused = [
        fault for fault in faults if allow_incomplete or (fault.kind == "incomplete" and not limits.require_complete)
    ]
    return Verdict(
        after=after,
        before=before,
        baseline=baseline,
        findings=tuple(findings),
        faults=tuple(fault for fault in faults if fault not in excused),
        forgiven=tuple(excused),
        newly=newly,
        newly_unpriced=lost,
    )


def refuse_incomparable(limits: Limits, *, changes: bool, baseline: bool) -> None:
    """Raise ConfigError where a limit lacks what it compares with: a change, or an earlier scan."""
    if limits.max_new_liquidatable is not None and not (changes or baseline):
        raise ConfigError(
            "max_new_liquidatable compares two states: give a what-if (such as --set-lt USDC=76%), --fork, or "
            "--baseline FILE, a document of liqbands accounts --format json"
        )
    if limits.baseline and not baseline:
        raise ConfigError(
            "[check.baseline] compares with an earlier scan: give --baseline FILE, or leave the table out"
        )


def _same_markets(baseline: Facts, after: Facts) -> None:
    if baseline.snapshot.chain_id != after.snapshot.chain_id:
        raise DataError(
            f"the baseline {baseline.name} is of chain {baseline.snapshot.chain_id}, this scan of chain "
            f"{after.snapshot.chain_id}: compare the same chain"
        )
    if baseline.snapshot.what_if:
        raise DataError(
            f"the baseline {baseline.name} is no scan of a chain as it was: "
            f"{'; '.join(baseline.snapshot.what_if)[:200]}; give one without a what-if or fork"
        )
    if set(baseline.markets) != set(after.markets):
        raise DataError(
            f"the baseline {baseline.name} is of {', '.join(sorted(baseline.markets)) or 'no market'}, this scan of "
            f"{', '.join(sorted(after.markets))}: compare the same markets"
        )


def _accounts(number: int) -> str:
    return f"{number:,} account{'' if number == 1 else 's'}"


def _new(limits: Limits, newly: pl.DataFrame | None, lost: int, since: str = "") -> list[Finding]:
    allowed = limits.max_new_liquidatable
    if allowed is None or newly is None:
        return []
    outcome: Outcome = "broken" if newly.height > allowed else "unjudged" if lost else "holds"
    verb = "becomes" if newly.height == 1 else "become"
    reason = f"{_accounts(newly.height)} {verb} liquidatable{f' since {since}' if since else ''}"
    if lost:
        reason += f"; of {_accounts(lost)} without a price after the change nobody can tell"
    return [
        Finding(
            "max_new_liquidatable", outcome, "accounts", newly.height, allowed, str(allowed), reason, accounts=newly
        )
    ]


def _liquidatable(limits: Limits, after: Facts, lost: int) -> list[Finding]:
    allowed = limits.max_liquidatable
    if allowed is None:
        return []
    count = sum(after.totals[status].account_count for status in HURT)
    rows = None
    if after.accounts is not None:
        hurt = after.accounts.filter(pl.col("status").is_in(HURT))
        rows = largest_first(hurt.with_columns(pl.col("debt_usd").alias("amount_usd")))
    reason = f"{_accounts(count)} with a health factor below one"
    reason += f"; of {_accounts(lost)} without a price after the change nobody can tell" if lost else ""
    outcome: Outcome = "broken" if count > allowed else "unjudged" if lost else "holds"
    return [Finding("max_liquidatable", outcome, "accounts", count, allowed, str(allowed), reason, accounts=rows)]


@dataclass(frozen=True)
class _Measure:
    """What a limit at a move measures: the amount of each account, and how amounts make the value."""

    limit: str
    amounts: Callable[[pl.DataFrame], pl.DataFrame]
    value: Callable[[list[float]], float]
    words: str


def _seized(accounts: pl.DataFrame) -> pl.DataFrame:
    """Give what the best call of each liquidatable account seizes; one that has no call adds nothing."""
    rows = accounts.filter(pl.col("status") == "liquidatable")
    return rows.with_columns(pl.col("seizable_usd").fill_null(0.0).alias("amount_usd"))


def _short(accounts: pl.DataFrame) -> pl.DataFrame:
    priced = accounts.filter(pl.col("status") != "unpriced")
    rows = priced.with_columns(shortfall_usd(priced).alias("amount_usd"))
    return rows.filter(pl.col("amount_usd").is_null() | (pl.col("amount_usd") > 0))


_SEIZABLE: Final = _Measure("max_seizable", _seized, fsum, "seizable")
_LARGEST: Final = _Measure(
    "max_largest_account", _seized, lambda amounts: max(amounts, default=0.0), "seizable of one account"
)
_BAD_DEBT: Final = _Measure("max_bad_debt", _short, fsum, "of debt beyond its collateral")


def _at(
    measure: _Measure, start: Facts, after: Facts, at: At, allowed: Allowed, shocked: Mapping[At, Facts]
) -> Finding:
    """Judge what is measured at a place; unknown where accounts have no price there that had one at the start."""
    facts = after if at.factor is None else shocked[at]
    most, span = _dollars(allowed, after.collateral_usd), _span(after, at)
    rows = largest_first(measure.amounts(named(facts)))
    known = facts.collateral_usd is not None and not rows["amount_usd"].null_count() and most is not None
    lost = newly_unpriced(start, facts)
    value = measure.value(rows["amount_usd"].to_list()) if known else None
    where = "now" if at.factor is None else f"at {at.factor} {at.move}"
    if value is None or most is None:
        outcome: Outcome = "unjudged"
        reason = f"what is {measure.words} {where} cannot be stated in dollars: a price is unknown"
    else:
        outcome = "broken" if value > most else "unjudged" if lost > 0 else "holds"
        reason = f"${value:,.0f} {measure.words} {where}"
        reason += f"; {_accounts(lost)} more have no price there" if lost > 0 else ""
        if measure is _LARGEST:
            rows = rows.filter(pl.col("amount_usd") > most)
    return Finding(
        measure.limit,
        outcome,
        "usd",
        value,
        most,
        str(allowed),
        reason,
        at,
        span,
        accounts=rows,
    )


def _dollars(allowed: Allowed, whole: float | None) -> float | None:
    if allowed.usd is not None:
        return allowed.usd
    return None if whole is None or allowed.share is None else allowed.share * whole


def _span(after: Facts, at: At) -> Span | None:
    price = after.prices.get(at.factor) if at.factor is not None else None
    if price is None or at.factor is None:
        return None
    edges = sorted((price, price * at.ratio))
    return Span(at.factor, edges[0], edges[1])


def _unpriced(limits: Limits, after: Facts) -> list[Finding]:
    allowed = limits.max_unpriced_debt
    if allowed is None:
        return []
    count = after.totals["unpriced"].account_count
    value = after.unpriced_debt_usd if count else 0.0
    whole = None if after.debt_usd is None or value is None else after.debt_usd + value
    most = _dollars(allowed, whole)
    rows = None
    if after.accounts is not None:
        unpriced = after.accounts.filter(pl.col("status") == "unpriced")
        rows = largest_first(unpriced.with_columns(pl.col("debt_usd").alias("amount_usd")))
    if value is None:
        outcome: Outcome = "broken"  # more than any amount that could be stated: that is what the limit is for
        reason = f"{_accounts(count)} without a price, and with debt whose own price is unknown"
    elif most is None:
        outcome, reason = "unjudged", "all debt cannot be stated in dollars"
    else:
        outcome = "broken" if value > most else "holds"
        reason = f"${value:,.0f} of debt in {_accounts(count)} that cannot be valued"
    return [Finding("max_unpriced_debt", outcome, "usd", value, most, str(allowed), reason, accounts=rows)]


def _verified(limits: Limits, before: Facts | None, after: Facts) -> list[Finding]:
    """Count accounts that were compared with the contract; no contract answers for a what-if, so before it counts."""
    wanted = limits.require_verified
    if wanted is None:
        return []
    least, written = (after.account_count, "all") if wanted < 0 else (min(wanted, after.account_count), str(wanted))
    done = max(after.verified or 0, 0 if before is None else before.verified or 0)
    reason = f"{_accounts(done)} of {after.account_count:,} compared with the contract"
    if done < least:
        reason += "; give --verify all"
    outcome: Outcome = "holds" if done >= least else "unjudged"
    return [Finding("require_verified", outcome, "accounts", done, least, written, reason)]


def _quantity(facts: Facts, name: str) -> float | None:
    if name == "accounts":
        return facts.account_count
    if name in ("collateral", "debt"):
        return facts.collateral_usd if name == "collateral" else facts.debt_usd
    if name == "seizable":
        return facts.totals["liquidatable"].seizable_collateral_usd
    statuses = HURT if name == "liquidatable" else ("unpriced",)
    return sum(facts.totals[status].account_count for status in statuses)


def _within(tolerance: Tolerance, baseline: Facts, after: Facts) -> Finding:
    name = tolerance.quantity
    unit: Literal["accounts", "usd"] = "usd" if name in ("collateral", "debt", "seizable") else "accounts"
    old, new = _quantity(baseline, name), _quantity(after, name)
    sign = "$" if unit == "usd" else ""
    if old is None or new is None:
        who = baseline.name if old is None else after.name
        outcome: Outcome = "unjudged"
        moved, most = None, tolerance.number
        reason = f"{name} in dollars is unknown in {who}"
    else:
        most = tolerance.number if tolerance.number is not None else (tolerance.share or 0.0) * abs(old)
        moved = abs(new - old)
        if name == "seizable" and moved <= 1e-9 * abs(old):
            moved = 0.0  # an accounts document states shares of collateral, whose dollars are rounded
        outcome = "broken" if moved > most else "holds"
        reason = f"{name} {sign}{old:,.0f} in {baseline.name}, {sign}{new:,.0f} now"
    return Finding(f"baseline.{name}", outcome, unit, moved, most, str(tolerance), reason)
