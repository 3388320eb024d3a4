// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

contract Coin is ERC20Permit {
    uint8 private immutable DECIMALS;

    constructor(uint8 decimals_) ERC20("Coin", "COIN") ERC20Permit("Coin") {
        DECIMALS = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return DECIMALS;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice Returns nothing where the standard wants a bool, and knows no permit.
contract Silent {
    uint8 public constant decimals = 18;
    mapping(address who => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Keeps one part in a hundred of what moves, says no, or moves too much, as told.
contract Crooked is ERC20 {
    enum Way {
        Honest,
        Fee,
        SaysNo,
        TwiceAway
    }

    Way public way;

    constructor() ERC20("Crooked", "CRK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function become(Way next) external {
        way = next;
    }

    /// @notice Takes from somebody what the books of others still show.
    function shrink(address who, uint256 amount) external {
        _burn(who, amount);
    }

    function transfer(address to, uint256 amount) public virtual override returns (bool) {
        if (way == Way.SaysNo) return false;
        super.transfer(to, amount);
        if (way == Way.TwiceAway) _burn(msg.sender, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) public virtual override returns (bool) {
        if (way == Way.SaysNo) return false;
        super.transferFrom(from, to, amount);
        if (way == Way.Fee) _burn(to, amount / 100);
        return true;
    }
}

/// @notice Calls somebody while it moves.
contract Calling is ERC20 {
    address private _target;
    bytes private _call;
    bytes public answer;
    bool public taken;

    constructor() ERC20("Calling", "CALL") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function plan(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function run(address target, bytes calldata call) external returns (bool done) {
        (done,) = target.call(call);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        (taken, answer) = target.call(_call);
    }
}
