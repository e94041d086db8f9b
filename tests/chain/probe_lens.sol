// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// A lens for tests: burns `header` (32 bytes) gas for each 20-byte item and gives the item back in one record.
/// An item that ends in 00 has no record, one that ends in ee reverts with a word of data.
contract ProbeLens {
    fallback() external {
        assembly {
            let start := gas()
            let burn := calldataload(0)
            let out := 0x80
            let index := 0
            for { let at := 32 } lt(at, calldatasize()) { at := add(at, 20) } {
                let item := shr(96, calldataload(at))
                let before := gas()
                for {} lt(sub(before, gas()), burn) {} {}
                switch and(item, 0xff)
                case 0xee { revert(0x60, 0x20) }
                case 0 {}
                default {
                    mstore(out, or(shl(224, index), item))
                    out := add(out, 0x20)
                }
                index := add(index, 1)
            }
            mstore(out, or(shl(128, timestamp()), sub(start, gas())))
            return(0x80, sub(add(out, 0x20), 0x80))
        }
    }
}
