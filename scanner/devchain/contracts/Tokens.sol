// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Tokens of the local market. Anybody may mint.

abstract contract TokenBase {
    uint8 public immutable decimals;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        return _move(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            require(allowed >= value, "allowance");
            allowance[from][msg.sender] = allowed - value;
        }
        return _move(from, to, value);
    }

    function _move(address from, address to, uint256 value) private returns (bool) {
        require(balanceOf[from] >= value, "balance");
        unchecked {
            balanceOf[from] -= value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
        return true;
    }
}

contract Token is TokenBase {
    string public name;
    string public symbol;

    constructor(string memory symbol_, uint8 decimals_) TokenBase(decimals_) {
        name = symbol_;
        symbol = symbol_;
    }
}

/// A token of the first days, whose name and symbol are 32 bytes.
contract Bytes32Token is TokenBase {
    bytes32 public immutable name;
    bytes32 public immutable symbol;

    constructor(bytes32 symbol_, uint8 decimals_) TokenBase(decimals_) {
        name = symbol_;
        symbol = symbol_;
    }
}
