// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Price feeds of the local market: what a Chainlink feed answers, with an answer that anybody may set.

interface IFeed {
    function latestAnswer() external view returns (int256);
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80);
    function decimals() external view returns (uint8);
    function description() external view returns (string memory);
    function version() external view returns (uint256);
}

/// A settable price. It can be told to answer zero or to revert, and to recover.
contract PriceFeed is IFeed {
    uint8 public immutable override decimals;
    uint256 public constant override version = 4;
    string public override description;

    bool public zeroed;
    bool public broken;
    uint80 private _round;
    int256 private _answer;
    uint256 private _updatedAt;

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    constructor(int256 answer, uint8 decimals_, string memory description_) {
        decimals = decimals_;
        description = description_;
        set(answer);
    }

    function set(int256 answer) public {
        _round += 1;
        _answer = answer;
        _updatedAt = block.timestamp;
        emit AnswerUpdated(answer, _round, block.timestamp);
    }

    function setZeroed(bool on) external {
        zeroed = on;
    }

    function setBroken(bool on) external {
        broken = on;
    }

    function latestAnswer() public view override returns (int256) {
        require(!broken, "feed is broken");
        return zeroed ? int256(0) : _answer;
    }

    function latestRoundData() external view override returns (uint80, int256, uint256, uint256, uint80) {
        return (_round, latestAnswer(), _updatedAt, _updatedAt, _round);
    }
}

/// The fixed address in front of a feed that can be replaced.
contract FeedProxy is IFeed {
    address public aggregator;

    constructor(address aggregator_) {
        aggregator = aggregator_;
    }

    function setAggregator(address aggregator_) external {
        aggregator = aggregator_;
    }

    function latestAnswer() external view override returns (int256) {
        return IFeed(aggregator).latestAnswer();
    }

    function latestRoundData() external view override returns (uint80, int256, uint256, uint256, uint80) {
        return IFeed(aggregator).latestRoundData();
    }

    function decimals() external view override returns (uint8) {
        return IFeed(aggregator).decimals();
    }

    function description() external view override returns (string memory) {
        return IFeed(aggregator).description();
    }

    function version() external view override returns (uint256) {
        return IFeed(aggregator).version();
    }
}
