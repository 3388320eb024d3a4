// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parameters} from "./interfaces/IInferenceMarket.sol";
import {Asking} from "./market/Asking.sol";
import {Disputes} from "./market/Disputes.sol";
import {Vault} from "./market/Vault.sol";
import {Working} from "./market/Working.sol";

/// @title The market: all task states and all money
/// @notice Put together from `market/`: Vault holds the balances, Tasks what is stored of a task, Rounds the
/// replicas; Asking, Working, Ending and Disputes are the calls of those who use it.
contract InferenceMarket is Asking, Working, Disputes {
    constructor(Parameters memory p) Vault(p) {}
}
