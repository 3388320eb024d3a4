// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Crooked} from "../utils/Tokens.sol";

/// @notice What turns on the market in the middle of its call: calls back as it was told to.
abstract contract CallsBack {
    address private _target;
    bytes private _call;
    uint256 public calledBack;

    function plan(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function _callBack() internal {
        if (_target == address(0)) return;
        (bool done,) = _target.call(_call);
        if (done) ++calledBack;
    }
}

/// @notice An account with code (ERC-1271) that takes money or not, and signs or does worse.
contract Turncoat is CallsBack {
    enum Way {
        Honest,
        Refuses,
        Burns,
        Garbage,
        Reverts
    }

    Way public way;

    function become(Way next) external {
        way = next;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (way == Way.Burns) while (true) {}
        if (way == Way.Garbage) {
            assembly ("memory-safe") {
                mstore(0, not(0))
                return(0, 32)
            }
        }
        require(way != Way.Reverts);
        return way == Way.Honest ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    receive() external payable {
        require(way != Way.Refuses);
        _callBack();
    }
}

/// @notice A token that is honest, keeps a fee, says no, takes too much away; and calls back while it moves.
contract TurncoatToken is Crooked, CallsBack {
    function transfer(address to, uint256 amount) public override returns (bool) {
        _callBack();
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _callBack();
        return super.transferFrom(from, to, amount);
    }
}
