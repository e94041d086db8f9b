// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Runs a program that is not on the chain, where a node takes no state overrides: an eth_call that creates a contract.
/// It creates the program, calls it, and reverts with what the program returned, so that nothing is ever created and
/// no limit on the size of a contract applies to the answer.
///
/// In, behind this code:  the program's own creation code | its calldata | sizes of the two (4 bytes each).
/// Out, as revert data:   32 bytes that say that this is ours | outcome (16), size (16) | what the program returned.
///
/// Outcome 0: the program reverted, 1: it answered, 2: it could not be created, 3: it ran out of gas.
contract Deployless {
    constructor() payable {
        assembly {
            let end := sub(codesize(), 8)
            codecopy(0, end, 8)
            let size := shr(224, mload(0))
            let length := shr(224, mload(4))
            let start := sub(sub(end, length), size)

            codecopy(0, start, size)
            let program := create(0, 0, size)
            let outcome := 2
            let returned := 0
            if program {
                codecopy(0, add(start, size), length)
                let before := gas()
                outcome := call(gas(), program, 0, 0, length, 0, 0)
                returned := returndatasize()
                // a call leaves a 64th of the gas to its caller: two levels of them have been used up
                if iszero(or(outcome, returned)) { if lt(gas(), shr(4, before)) { outcome := 3 } }
            }
            mstore(0, "liqbands.deployless.answer.....1")
            mstore(32, or(shl(128, outcome), returned))
            returndatacopy(64, 0, returned)
            revert(0, add(64, returned))
        }
    }
}
