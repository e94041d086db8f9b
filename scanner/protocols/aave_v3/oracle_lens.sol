// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Asks an oracle for prices while one feed after the other is moved, and says which feeds a price source reads.
///
/// Never deployed: its runtime code is given to an unused address for the length of an eth_call. `oracle_lens.py`
/// has the other side.
///
/// prices    calldata: 0 (1) | oracle (20) | count (2) | count x asset (20) | items (180 each)
///           item:     feed (20) | five moves (32 each), added to the answer of the stub that stands in for the feed;
///                     feed zero: nothing is moved, and prices are asked once
///           record:   item index (4) | move (1) | asset (2) | status (1) | price (24)
///           status:   0 a price, 1 none (it reverts, or answers less than a word), 2 not to be told (more than 192
///                     bits, or so much gas that it may have run out of it somewhere inside)
/// reads     calldata: 1 (1) | count (2) | count x feed (20) | sources (20 each)
///           record:   item index (4) | feed (28), one for each feed that latestAnswer() of the source touches
/// answer    records, then one word: the block's time (16) | the gas to size by, calldata included (16). Running out of
///           gas reverts without data.
contract OracleLens {
    fallback() external {
        assembly {
            let gasAtStart := gas()
            let out := 0x80

            /// Gives every call into the unknown an eighth of the gas, so that one which burns all leaves some.
            function share(start) -> most {
                most := shr(3, start)
                // EIP-150 holds back 1/64; the rest is for copying
                if lt(gas(), add(add(most, shr(5, most)), 100000)) { revert(0, 0) }
            }

            function move(feed, by) {
                // set(int256)
                mstore(0, 0xe5c19b2d00000000000000000000000000000000000000000000000000000000)
                mstore(4, by)
                if iszero(call(gas(), feed, 0, 0, 0x24, 0, 0)) { revert(0, 0) }
            }

            function ask(most, oracle, asset) -> outcome {
                // getAssetPrice(address)
                mstore(0, 0xb3596f0700000000000000000000000000000000000000000000000000000000)
                mstore(4, asset)
                let before := gas()
                let priced := staticcall(most, oracle, 0, 0x24, 0, 0x20)
                let used := sub(before, gas())
                priced := and(priced, gt(returndatasize(), 0x1f))
                outcome := shl(192, iszero(priced))
                if priced { outcome := mload(0) }
                if or(gt(used, shr(1, most)), and(priced, gt(shr(192, outcome), 0))) { outcome := shl(193, 1) }
            }

            function askAll(start, next, prefix) -> out_ {
                let oracle := shr(96, calldataload(1))
                let count := shr(240, calldataload(21))
                out_ := next
                for { let asset := 0 } lt(asset, count) { asset := add(asset, 1) } {
                    let outcome := ask(share(start), oracle, shr(96, calldataload(add(23, mul(20, asset)))))
                    mstore(out_, or(or(prefix, shl(200, asset)), outcome))
                    out_ := add(out_, 0x20)
                }
            }

            /// Gives what it costs to touch an address: less from the second time on in a transaction (EIP-2929).
            function touch(target) -> cost {
                let before := gas()
                pop(staticcall(0, target, 0, 0, 0, 0))
                cost := sub(before, gas())
            }

            switch byte(0, calldataload(0))
            case 0 {
                let at := add(23, mul(20, shr(240, calldataload(21))))
                for { let index := 0 } lt(at, calldatasize()) { index := add(index, 1) at := add(at, 180) } {
                    let feed := shr(96, calldataload(at))
                    for { let i := 0 } lt(i, 5) { i := add(i, 1) } {
                        if feed { move(feed, calldataload(add(add(at, 20), mul(32, i)))) }
                        out := askAll(gasAtStart, out, or(shl(224, index), shl(216, i)))
                        if iszero(feed) { break }
                    }
                    if feed { move(feed, 0) }
                }
            }
            case 1 {
                let header := add(3, mul(20, shr(240, calldataload(1))))
                let at := header
                for { let index := 0 } lt(at, calldatasize()) { index := add(index, 1) at := add(at, 20) } {
                    // in a call of its own that reverts, for that undoes what was touched
                    calldatacopy(out, 0, header)
                    mstore8(out, 2)
                    mstore(add(out, header), calldataload(at))
                    pop(call(gas(), address(), 0, out, add(header, 20), 0, 0))
                    if iszero(returndatasize()) { revert(0, 0) }
                    let size := sub(returndatasize(), 0x20)
                    returndatacopy(out, 0, size)
                    for { let end := add(out, size) } lt(out, end) { out := add(out, 0x20) } {
                        mstore(out, or(shl(224, index), mload(out)))
                    }
                }
            }
            default {
                let count := shr(240, calldataload(1))
                // latestAnswer()
                mstore(0, 0x50d25bcd00000000000000000000000000000000000000000000000000000000)
                pop(staticcall(share(gasAtStart), shr(96, calldataload(add(3, mul(20, count)))), 0, 4, 0, 0))
                for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                    let feed := shr(96, calldataload(add(3, mul(20, i))))
                    let first := touch(feed)
                    if lt(first, mul(2, touch(feed))) {
                        mstore(out, i)
                        out := add(out, 0x20)
                    }
                }
                revert(0x80, sub(add(out, 0x20), 0x80))
            }

            // a quarter more than was used: an eighth has to be left for the last call
            let used := sub(gasAtStart, gas())
            used := add(add(used, shr(2, used)), add(21000, mul(16, calldatasize())))
            mstore(out, or(shl(128, timestamp()), used))
            return(0x80, sub(add(out, 0x20), 0x80))
        }
    }
}
