// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// The feed that tells the market's sentinel whether the sequencer of a rollup is up; anybody may set it.
contract Sequencer {
    bool public down;
    uint256 public changedAt;

    function set(bool down_) external {
        down = down_;
        changedAt = block.timestamp;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, down ? int256(1) : int256(0), changedAt, changedAt, 1);
    }
}
