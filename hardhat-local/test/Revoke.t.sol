// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Request,
    SkipReason,
    State,
    Task,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {Vm, vm} from "./utils/Vm.sol";

contract RevokeTest is MarketTest {
    function test_revoke_makesASignedRequestWorthless() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        TaskId id = market.hashRequest(request);
        vm.recordLogs();
        vm.prank(request.requester);
        market.revoke(request);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IInferenceMarket.RequestRevoked.selector, "revoked");
        vm.assertEq(logs[0].topics[1], TaskId.unwrap(id), "id");

        vm.expectRevert(wrongState(id, State.Refunded));
        market.submitBySig(request, signature);
        vm.expectRevert(wrongState(id, State.Refunded));
        submit(request);
        expectSkip(id, State.Refunded, SkipReason.WrongState);
        vm.assertEq(market.submitManyBySig(one(request), one(signature)), 0, "submitted");
    }

    function test_revoke_movesNoMoneyAndLeavesNoTask() public {
        Request memory request = someRequest();
        vm.prank(REQUESTER);
        market.revoke(request);
        Task memory none;
        none.state = State.Refunded;
        none.replicas = 1;
        Task memory task = market.taskOf(market.hashRequest(request));
        vm.assertEq(keccak256(abi.encode(task)), keccak256(abi.encode(none)), "nothing but its end");
        assertAccount(REQUESTER, FUNDS, 0);
        vm.assertEq(market.burned(), 0, "burned");
    }

    function test_revoke_ofARequestThatCouldNeverOpen() public {
        Request memory request = someRequest();
        (request.replicas, request.bondUnits, request.deadline) = (4, 0, 1);
        vm.prank(REQUESTER);
        market.revoke(request);
        assertState(market.hashRequest(request), State.Refunded);
    }

    function test_revoke_byAnotherIsRefused() public {
        Request memory request = someRequest();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotRequester.selector, OTHER, REQUESTER));
        vm.prank(OTHER);
        market.revoke(request);
    }

    function test_revoke_ofASubmittedRequestIsRefused() public {
        Request memory request = someRequest();
        TaskId id = submit(request);
        vm.expectRevert(wrongState(id, State.Open));
        vm.prank(REQUESTER);
        market.revoke(request);
    }
}
