// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Many calls in one, by the interface of Multicall3.
contract Aggregate3 {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        uint256 count = calls.length;
        results = new Result[](count);
        for (uint256 i = 0; i < count; ++i) {
            Call3 calldata item = calls[i];
            Result memory result = results[i];
            (result.success, result.returnData) = item.target.call(item.callData);
            require(item.allowFailure || result.success, "call failed");
        }
    }
}
