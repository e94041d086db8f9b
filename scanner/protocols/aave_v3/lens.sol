// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Reads the configuration, e-mode and scaled balances of many accounts of one Aave v3 pool in one call.
///
/// Never deployed: its runtime code is given to an unused address for the length of an eth_call.
///
/// calldata: pool (20) | stable (1) | count (1) | count x reserve | accounts (20 each)
///           reserve, by id from 0: aToken (20) | variableDebtToken (20) [| stableDebtToken (20) where stable is 1],
///           zero addresses for an id that is not in use
/// answer:   32-byte records, then one word: the block's time (16) | the gas used, calldata included (16)
/// record:   account index (4) | e-mode (1) | reserve id (1) | side (1) | extra (9) | value (16)
///
/// side 0    collateral flag is set: scaled aToken balance (zero is told, since the pool asks for the price too)
/// side 1    borrow flag is set: scaled variable debt (zero is left out where there is stable debt instead)
/// side 2    stable debt: principal, with the time of its last update in `extra`
/// side 3    stable debt: its rate; follows the record of side 2
/// side 4    no flag is set but an e-mode is
/// side | 128  the value needs more than 128 bits and is left out
contract AaveV3Lens {
    /// A call answered less than a word, or refused with a reason. Running out of gas reverts without data.
    error LensFailed(address target, address account);

    fallback() external {
        assembly {
            let gasAtStart := gas()

            function fail(target, account) {
                mstore(0, 0x9f176f5800000000000000000000000000000000000000000000000000000000)
                mstore(4, target)
                mstore(0x24, account)
                revert(0, 0x44)
            }

            function ask(selector, target, account) -> answer {
                mstore(0, selector)
                mstore(4, account)
                if iszero(staticcall(gas(), target, 0, 0x24, 0, 0x20)) {
                    if iszero(returndatasize()) { revert(0, 0) }
                    fail(target, account)
                }
                if lt(returndatasize(), 0x20) { fail(target, account) }
                answer := mload(0)
            }

            function record(out, prefix, id, side, extra, value) -> next {
                if shr(128, value) {
                    side := or(side, 0x80)
                    value := 0
                }
                mstore(out, or(or(or(prefix, shl(208, id)), shl(200, side)), or(shl(128, extra), value)))
                next := add(out, 0x20)
            }

            let pool := shr(96, calldataload(0))
            let stable := byte(0, calldataload(20))
            let count := byte(0, calldataload(21))
            let stride := add(40, mul(20, stable))
            let at := add(22, mul(count, stride))
            let out := 0x80

            for { let index := 0 } lt(at, calldatasize()) { index := add(index, 1) at := add(at, 20) } {
                let account := shr(96, calldataload(at))
                // getUserConfiguration(address)
                let flags := ask(0x4417a58300000000000000000000000000000000000000000000000000000000, pool, account)
                // getUserEMode(address)
                let prefix := ask(0xeddf1b7900000000000000000000000000000000000000000000000000000000, pool, account)
                if shr(8, prefix) { fail(pool, account) }
                if iszero(flags) {
                    if prefix { out := record(out, or(shl(224, index), shl(216, prefix)), 0, 4, 0, 0) }
                }
                prefix := or(shl(224, index), shl(216, prefix))

                for { let id := 0 } flags { id := add(id, 1) flags := shr(2, flags) } {
                    for {} iszero(and(flags, 0xffff)) {} {
                        flags := shr(16, flags)
                        id := add(id, 8)
                    }
                    if iszero(and(flags, 3)) { continue }
                    if iszero(lt(id, count)) { break }
                    let tokens := add(22, mul(id, stride))
                    if iszero(calldataload(tokens)) { continue }

                    if and(flags, 2) {
                        // scaledBalanceOf(address)
                        out :=
                            record(
                                out,
                                prefix,
                                id,
                                0,
                                0,
                                ask(
                                    0x1da24f3e00000000000000000000000000000000000000000000000000000000,
                                    shr(96, calldataload(tokens)),
                                    account
                                )
                            )
                    }
                    if and(flags, 1) {
                        // scaledBalanceOf(address)
                        let scaled :=
                            ask(
                                0x1da24f3e00000000000000000000000000000000000000000000000000000000,
                                shr(96, calldataload(add(tokens, 20))),
                                account
                            )
                        let principal := 0
                        if stable {
                            let token := shr(96, calldataload(add(tokens, 40)))
                            if token {
                                // principalBalanceOf(address)
                                principal :=
                                    ask(0xc634dfaa00000000000000000000000000000000000000000000000000000000, token, account)
                                if principal {
                                    // getUserLastUpdated(address)
                                    out :=
                                        record(
                                            out,
                                            prefix,
                                            id,
                                            2,
                                            and(
                                                ask(
                                                    0x79ce6b8c00000000000000000000000000000000000000000000000000000000,
                                                    token,
                                                    account
                                                ),
                                                0xffffffffff
                                            ),
                                            principal
                                        )
                                    // getUserStableRate(address)
                                    out :=
                                        record(
                                            out,
                                            prefix,
                                            id,
                                            3,
                                            0,
                                            ask(
                                                0xe78c9b3b00000000000000000000000000000000000000000000000000000000,
                                                token,
                                                account
                                            )
                                        )
                                }
                            }
                        }
                        if or(scaled, iszero(principal)) { out := record(out, prefix, id, 1, 0, scaled) }
                    }
                }
            }

            let used := add(sub(gasAtStart, gas()), add(21000, mul(16, calldatasize())))
            mstore(out, or(shl(128, timestamp()), used))
            return(0x80, sub(add(out, 0x20), 0x80))
        }
    }
}
