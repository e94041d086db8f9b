// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Emits events.
contract Emitter {
    event Deed(address indexed account, uint256 number);

    fallback(bytes calldata input) external returns (bytes memory) {
        uint256 count = uint256(bytes32(input));
        for (uint256 i = 0; i < count; ++i) emit Deed(address(uint160(uint256(keccak256(abi.encode(block.number, i))))), i);
        return "";
    }
}
