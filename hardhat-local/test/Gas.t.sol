// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipt, Request, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

/// @notice One call each, for the committed gas snapshot: execution alone, without what a transaction costs.
/// @dev What whole transactions cost is measured on the devnet by scripts/bench/gas.
contract GasTest is MarketTest {
    uint256 private constant SIZE = 32;

    Request private _request;
    Request[] private _requests;
    TaskId[] private _open;
    TaskId[] private _leased;
    TaskId[] private _posted;

    function setUp() public override {
        super.setUp();
        _request = someRequest();
        for (uint256 i = 0; i < SIZE; ++i) {
            _requests.push(someRequest());
            _open.push(open());
            _leased.push(leased());
            _posted.push(posted(uint32(i)));
        }
        pass(WINDOW + 1);
    }

    function test_gas_submit() public {
        submit(_request);
    }

    function test_gas_submitMany32() public {
        vm.prank(REQUESTER);
        market.submitMany(_requests);
    }

    function test_gas_raiseTip() public {
        vm.prank(REQUESTER);
        market.raiseTip(_open[0], 40_000);
    }

    function test_gas_cancel() public {
        vm.prank(REQUESTER);
        market.cancel(_open[0]);
    }

    function test_gas_claimMany32() public {
        vm.prank(WORKER);
        market.claimMany(_open);
    }

    function test_gas_release() public {
        vm.prank(WORKER);
        market.release(_leased[0]);
    }

    function test_gas_postBatch32() public {
        Receipt[] memory receipts = new Receipt[](SIZE);
        for (uint256 i = 0; i < SIZE; ++i) {
            receipts[i] = Receipt(_leased[i], keccak256("body"), 100);
        }
        vm.prank(WORKER);
        market.postBatch(receipts);
    }

    function test_gas_settleMany32() public {
        vm.prank(STRANGER);
        market.settleMany(_posted);
    }

    function test_gas_expire() public {
        vm.warp(START + 2000);
        vm.prank(STRANGER);
        market.expire(_open[0]);
    }

    function test_gas_depositAndWithdraw() public {
        fund(STRANGER);
        vm.prank(STRANGER);
        market.withdraw(1, STRANGER);
    }
}
