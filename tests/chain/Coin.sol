// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "solady/src/tokens/ERC20.sol";

/// @notice An honest token with permits, six decimals and a symbol that no terminal should print as it is.
contract Coin is ERC20 {
    constructor(address holder) {
        _mint(holder, 1_000_000e6);
    }

    function name() public pure override returns (string memory) {
        return "Coin";
    }

    function symbol() public pure override returns (string memory) {
        return "C\x1bN";
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
