// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Makes accounts by the hundred. Each account is a contract that lives for its constructor only, so that the pool sees
// it as the sender where that matters (e-mode, borrowing, delegation), and that leaves no code behind.

interface IPool {
    function supply(address asset, uint256 amount, address onBehalfOf, uint16 referral) external;
    function borrow(address asset, uint256 amount, uint256 mode, uint16 referral, address onBehalfOf) external;
    function setUserEMode(uint8 category) external;
    function setUserUseReserveAsCollateral(address asset, bool use) external;
    function flashLoan(
        address receiver,
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata modes,
        address onBehalfOf,
        bytes calldata params,
        uint16 referral
    ) external;
}

interface IToken {
    function mint(address to, uint256 value) external;
    function approve(address spender, uint256 value) external returns (bool);
}

interface IDebtToken {
    function approveDelegation(address delegatee, uint256 amount) external;
}

contract Factory {
    IPool public immutable pool;
    address[] public assets; // by reserve id
    address[] public debtTokens;

    constructor(IPool pool_, address[] memory assets_, address[] memory debtTokens_) {
        pool = pool_;
        assets = assets_;
        debtTokens = debtTokens_;
    }

    /// Mints what will be supplied: `provided` for `provider` at once, `held` for the accounts to come.
    function prepare(uint256[] calldata provided, uint256[] calldata held, address provider) external {
        for (uint256 i = 0; i < assets.length; i++) {
            if (provided[i] + held[i] == 0) continue;
            IToken(assets[i]).mint(address(this), provided[i] + held[i]);
            IToken(assets[i]).approve(address(pool), type(uint256).max);
            if (provided[i] != 0) pool.supply(assets[i], provided[i], provider, 0);
        }
    }

    function make(uint256[][] calldata programs) external {
        for (uint256 i = 0; i < programs.length; i++) new Account(programs[i]);
    }

    function supplyFor(uint256 id, uint256 amount) external {
        pool.supply(assets[id], amount, msg.sender, 0);
    }

    function borrowFor(uint256 id, uint256 amount) external {
        pool.borrow(assets[id], amount, 2, 0, msg.sender);
    }

    function flashFor(uint256 id, uint256 amount) external {
        address[] memory asset = new address[](1);
        uint256[] memory value = new uint256[](1);
        uint256[] memory mode = new uint256[](1);
        (asset[0], value[0], mode[0]) = (assets[id], amount, 2);
        pool.flashLoan(address(this), asset, value, mode, msg.sender, "", 0);
    }

    function executeOperation(
        address[] calldata,
        uint256[] calldata,
        uint256[] calldata,
        address,
        bytes calldata
    ) external pure returns (bool) {
        return true;
    }
}

/// Runs its program, one step a word: operation (8 bits) | reserve id or category (8 bits) | amount (240 bits).
contract Account {
    constructor(uint256[] memory program) {
        Factory factory = Factory(msg.sender);
        IPool pool = factory.pool();
        for (uint256 i = 0; i < program.length; i++) {
            uint256 operation = program[i] >> 248;
            uint256 id = (program[i] >> 240) & 0xff;
            uint256 amount = program[i] & type(uint240).max;
            if (operation == 0) pool.setUserEMode(uint8(id));
            else if (operation == 1) factory.supplyFor(id, amount);
            else if (operation == 2) pool.borrow(factory.assets(id), amount, 2, 0, address(this));
            else if (operation == 3) pool.borrow(factory.assets(id), amount, 1, 0, address(this));
            else if (operation == 4) pool.setUserUseReserveAsCollateral(factory.assets(id), false);
            else {
                IDebtToken(factory.debtTokens(id)).approveDelegation(address(factory), type(uint256).max);
                if (operation == 5) factory.borrowFor(id, amount);
                else factory.flashFor(id, amount);
            }
        }
        assembly {
            return(0, 0)
        }
    }
}
