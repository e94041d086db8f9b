"""What a liquidator passes to ``liquidationCall`` and what exactly moves then, pair by pair. Pure."""

from __future__ import annotations

from typing import Final

import polars as pl

from scanner.exact import mul_div_down, mul_div_half_up, mul_div_up, to_raw
from scanner.frames import RAW, FrameSchema
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, AaveDetail
from scanner.protocols.aave_v3.interest import debt_index_at
from scanner.protocols.aave_v3.liquidation import Liquidations, debt_value
from scanner.protocols.aave_v3.seizures import PAIR_SEIZURES, liquidations, seizure_frame
from scanner.risk.rules import Answers, Positions
from scanner.units import BPS, RAY

__all__ = ["PAIR_QUOTES", "quotes"]

PAIR_QUOTES: Final[FrameSchema] = {
    **{name: dtype for name, dtype in PAIR_SEIZURES.items() if name != "best"},
    "debt_to_cover": pl.String,  # 2^256-1 where the contract lowers it; null: it takes no amount
    "over_maximum": pl.String,  # clamped | reverts; null likewise
    "most_repay_raw": RAW,
    "debt_burned_raw": RAW,
    "receive_raw": RAW,
    "receive_value_raw": RAW,
    "treasury_scaled_raw": RAW,
    "treasury_raw": RAW,
    "bonus_bps": pl.Int64,  # 500 means that 105 % are seized
    "protocol_fee_bps": pl.Int64,
    "to": pl.String,
    "data": pl.String,
}

_IDS: Final = 128
_MAX: Final = 2**256 - 1
_SELECTOR: Final = "0x00a718a9"  # liquidationCall(address,address,address,uint256,bool)
_FALSE: Final = "0" * 64  # receiveAToken: the underlying is paid out


def quotes(
    detail: AaveDetail,
    timestamp: int,
    positions: Positions,
    legs: pl.DataFrame,
    answers: Answers,
    health: pl.DataFrame,
) -> pl.DataFrame:
    """Quote every debt × collateral pair of liquidatable positions; all but ``positions`` as ``seizures`` takes them.

    Gives PAIR_QUOTES in the order of ``seizures``, whose columns mean the same. ``debt_to_cover`` is the largest
    amount that the call takes. Of what moves: ``repay_raw`` is paid by the liquidator, ``receive_raw`` is what he gets;
    ``debt_burned_raw`` is by how much the account's debt in the reserve falls (with bad debt: all of it);
    ``treasury_scaled_raw`` are the aToken shares that the treasury is credited, ``treasury_raw`` what they are worth:
    its balance grows by that, give or take the unit that rounding makes of the shares it had. ``bad_debt_raw`` is what
    becomes deficit from v3.3, what is still owed without collateral before. No ``debt_to_cover`` repays more than
    ``most_repay_raw``. Source: LiquidationLogic, ScaledBalanceTokenBase of each release.
    """
    pairs, done = liquidations(detail, timestamp, legs, answers, health)
    frame = seizure_frame(detail, timestamp, pairs, done)
    taken = done.accepted & pairs["usable"] & ~pairs["collateral_unpriced"] & ~pairs["debt_unpriced"]
    zero = pl.zeros(pairs.height, dtype=pl.Int128, eager=True)
    receive = done.seize - done.fee
    shares = _treasury_shares(detail, pairs, receive, done.fee)
    credited = mul_div_down if detail.exact_balances else mul_div_half_up
    debts = _debts(legs, pairs)
    burned = _burned(detail, timestamp, debts["scaled"], pairs, done)
    amounts = {
        "most_repay_raw": done.most_repaid(pairs),
        "debt_burned_raw": burned,
        "receive_raw": receive,
        "receive_value_raw": mul_div_down(receive, pairs["collateral_price"], pairs["collateral_unit"]),
        "treasury_scaled_raw": shares,
        "treasury_raw": credited(shares, pairs["income"], RAY),
    }
    if detail.revision <= 6:
        amounts["bad_debt_raw"] = _bad_debt(detail, debts["price"], pairs, done, burned)
    exact = done.branch == "dust"
    words = pl.DataFrame({"taken": taken, "exact": exact, "repay": done.repay}).select(
        pl.when("taken")
        .then(pl.when("exact").then(pl.col("repay").cast(pl.String)).otherwise(pl.lit(str(_MAX))))
        .alias("debt_to_cover"),
        pl.when("taken")
        .then(pl.when("exact").then(pl.lit("reverts")).otherwise(pl.lit("clamped")))
        .alias("over_maximum"),
        pl.when("taken").then(pl.lit(detail.pool)).alias("to"),
    )
    return frame.with_columns(
        *(to_raw(amount.zip_with(taken, zero)).alias(name) for name, amount in amounts.items()),
        *words,
        (pairs["bonus_bps"].cast(pl.Int64) - BPS).alias("bonus_bps"),
        pairs["fee_bps"].cast(pl.Int64).alias("protocol_fee_bps"),
        _calldata(detail, positions, frame, words["debt_to_cover"]).alias("data"),
    ).select(list(PAIR_QUOTES))


def _treasury_shares(detail: AaveDetail, pairs: pl.DataFrame, receive: pl.Series, fee: pl.Series) -> pl.Series:
    """Give the scaled aTokens that go to the treasury: those of the fee, as far as the account still has them."""
    divide = mul_div_up if detail.exact_balances else mul_div_half_up
    wanted = divide(fee, RAY, pairs["income"])
    left = pairs["scaled_balance"] - divide(receive, RAY, pairs["income"])
    return wanted.zip_with(wanted < left, left).clip(lower_bound=0)


def _debts(legs: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give, per pair, the account's scaled variable debt in its reserve and the price at which its health has it."""
    variable = pl.when(pl.col("side") == DEBT).then("scaled").otherwise(pl.lit(0, pl.Int128)).cast(pl.Int128)
    debts = legs.filter(pl.col("side") != COLLATERAL).select(
        "row", pl.col("reserve_id").alias("debt_id"), variable.alias("scaled"), "price"
    )
    debts = debts.group_by("row", "debt_id", maintain_order=True).agg(pl.col("scaled").max(), pl.col("price").first())
    keys = pairs.select("row", "debt_id")
    return keys.join(debts, on=["row", "debt_id"], how="left", validate="m:1", maintain_order="left")


def _burned(
    detail: AaveDetail, timestamp: int, scaled: pl.Series, pairs: pl.DataFrame, done: Liquidations
) -> pl.Series:
    """Give by how much the account's debt in the pair's reserve falls, stable debt included.

    Variable debt falls by whole scaled units. Up to v3.1 stable debt pays what variable debt does not.
    """
    indexes = [RAY] * _IDS
    for reserve in detail.reserves:
        indexes[reserve.id] = debt_index_at(reserve, detail, timestamp)
    index = pl.Series(indexes, dtype=pl.Int128).gather(pairs["debt_id"])
    owed, stable = pairs["owed_variable"], pairs["owed"] - pairs["owed_variable"]
    burn = done.repay
    if detail.revision >= 7:
        burn = pairs["owed"].zip_with(done.none_left, burn)
    of_variable = burn.zip_with(burn < owed, owed)
    of_stable = burn - of_variable
    divide, multiply = (mul_div_down, mul_div_up) if detail.exact_balances else (mul_div_half_up, mul_div_half_up)
    units = divide(of_variable, RAY, index)
    left = multiply(scaled - units.zip_with(units < scaled, scaled), index, RAY)
    return owed - left + of_stable.zip_with(of_stable < stable, stable)


def _bad_debt(
    detail: AaveDetail, price: pl.Series, pairs: pl.DataFrame, done: Liquidations, burned: pl.Series
) -> pl.Series:
    """Give the debt (base units) that no collateral is left for, before v3.3: it stays as it is after the burn."""
    left = debt_value(detail.revision, pairs["owed"] - burned, price.fill_null(0), pairs["debt_unit"])
    kept = pairs["total_debt"] - pairs["owed_value"] + left
    return kept.zip_with(done.none_left, pl.zeros(pairs.height, dtype=pl.Int128, eager=True))


def _calldata(detail: AaveDetail, positions: Positions, frame: pl.DataFrame, cover: pl.Series) -> pl.Series:
    """Encode each call; null where the contract takes no amount."""
    assets = {reserve.key: _word(reserve.asset) for reserve in detail.reserves}
    numbers = {text: f"{int(text):064x}" for text in cover.drop_nulls().unique()}
    parts = (
        frame["collateral_reserve"].replace_strict(assets, return_dtype=pl.String),
        frame["debt_reserve"].replace_strict(assets, return_dtype=pl.String),
        positions.accounts["position"].gather(frame["row"]).str.slice(2).str.to_lowercase().str.zfill(64),
        cover.replace_strict(numbers, default=None, return_dtype=pl.String),
    )
    words = [part.alias(str(i)) for i, part in enumerate(parts)]
    whole = pl.DataFrame(words).select(pl.concat_str([pl.lit(_SELECTOR), pl.all(), pl.lit(_FALSE)]))
    return whole.to_series()


def _word(address: str) -> str:
    return address[2:].lower().zfill(64)
