// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Answer, Body, Receipt, Request, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {LawTest} from "./utils/LawTest.sol";
import {vm} from "./utils/Vm.sol";

/// @notice One call each, for the committed gas snapshot: execution alone, without what a transaction costs.
/// @dev What whole transactions cost is measured on the devnet by scripts/bench/gas.
contract GasTest is LawTest {
    uint256 private constant SIZE = 32;

    Request private _request;
    Request[] private _requests;
    TaskId[] private _open;
    TaskId[] private _leased;
    TaskId[] private _posted;

    Request private _signedRequest;
    bytes private _signature;
    TaskId private _answered;
    TaskId private _demanded;
    TaskId private _disputed;
    TaskId private _seated;
    TaskId private _revealing;
    TaskId private _revealed;
    bytes32 private _commitment;
    Body private _body;
    Answer private _evidence;

    function setUp() public override {
        super.setUp();
        _request = someRequest();
        for (uint256 i = 0; i < SIZE; ++i) {
            _requests.push(someRequest());
            _open.push(open());
            _leased.push(leased());
            _posted.push(posted(uint32(i)));
        }
        _signedRequest = signerRequest();
        _signature = signed(_signedRequest);
        _answered = answered(TOKENS);
        _demanded = answered(TOKENS);
        demandLeaf(_demanded, 3);
        _disputed = disputed();
        _seated = seated(3, 3);
        _commitment = commitmentOf(_seated, replica(0), TOKENS, 0);
        _revealing = revealing(unanimous(3));
        _revealed = revealed(unanimous(3));
        _body = bodyOf(_revealing, replica(0), TOKENS, 0);
        _evidence = evidenceOf(_demanded, WORKER, TOKENS, 3);
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
        pass(WINDOW + 1);
        vm.prank(STRANGER);
        market.settleMany(_posted);
    }

    function test_gas_submitBySig() public {
        vm.prank(STRANGER);
        market.submitBySig(_signedRequest, _signature);
    }

    function test_gas_commit() public {
        vm.prank(replica(0));
        market.commit(_seated, _commitment);
    }

    function test_gas_reveal() public {
        vm.prank(STRANGER);
        market.reveal(_body, TOKENS, saltOf(replica(0)));
    }

    function test_gas_closeRound() public {
        vm.prank(STRANGER);
        market.closeRound(_revealed);
    }

    function test_gas_demand() public {
        demandLeaf(_answered, 3);
    }

    function test_gas_answer() public {
        vm.prank(STRANGER);
        market.answer(_demanded, 3, _evidence);
    }

    function test_gas_challenge() public {
        challengeTask(_answered);
    }

    function test_gas_ruleFaulty() public {
        ruleTask(_disputed, true);
    }

    function test_gas_ruleNotFaulty() public {
        ruleTask(_disputed, false);
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
