// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Request, State, Task, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract SubmitTest is MarketTest {
    function test_submit_opensTheTaskAndEscrowsItsPrice() public {
        Request memory request = someRequest();
        TaskId expected = market.hashRequest(request);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSubmitted(expected, REQUESTER, request.modelId, request, uint32(START));
        TaskId id = submit(request);

        vm.assertEq(TaskId.unwrap(id), TaskId.unwrap(expected), "id");
        assertAccount(REQUESTER, FUNDS - request.maxFee - request.tip, 0);
        Task memory task = market.taskOf(id);
        Task memory wanted = Task({
            state: State.Open,
            replicas: 1,
            seats: 0,
            worker: address(0),
            until: 0,
            deadline: request.deadline,
            leaseSecs: request.leaseSecs,
            bondUnits: request.bondUnits,
            flatPercent: request.flatPercent,
            pricedAt: uint32(START),
            openDemands: 0,
            maxOutputTokens: request.maxOutputTokens,
            outputTokens: 0,
            requester: REQUESTER,
            maxFee: request.maxFee,
            tip: request.tip
        });
        vm.assertEq(keccak256(abi.encode(task)), keccak256(abi.encode(wanted)), "stored");
    }

    function test_submit_canPayAndAskAtOnce() public {
        Request memory request = someRequest();
        request.requester = STRANGER;
        uint256 price = uint256(request.maxFee) + request.tip;
        vm.deal(STRANGER, price * UNIT);
        vm.prank(STRANGER);
        TaskId id = market.submit{value: price * UNIT}(request);
        assertState(id, State.Open);
        assertAccount(STRANGER, 0, 0);
    }

    function test_submit_valueOfPartsOfAUnitIsRefused() public {
        Request memory request = someRequest();
        vm.deal(REQUESTER, UNIT);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotWholeUnits.selector, 5));
        vm.prank(REQUESTER);
        market.submit{value: 5}(request);
    }

    function test_submit_forAnotherIsRefused() public {
        Request memory request = someRequest();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotRequester.selector, STRANGER, REQUESTER));
        vm.prank(STRANGER);
        market.submit(request);
    }

    function test_submit_whatTheBalanceDoesNotCoverIsRefused() public {
        Request memory request = someRequest();
        uint256 price = uint256(request.maxFee) + request.tip;
        vm.prank(REQUESTER);
        market.withdraw(FUNDS - price + 1, REQUESTER);
        _refused(
            request,
            abi.encodeWithSelector(IInferenceMarket.InsufficientFree.selector, REQUESTER, price - 1, price)
        );
    }

    function test_submit_replicasAreOneThreeFiveOrSeven() public {
        Request memory request = someRequest();
        request.equivalence = keccak256("class");
        for (uint256 replicas = 0; replicas < 256; ++replicas) {
            request.replicas = uint8(replicas);
            if (replicas % 2 == 1 && replicas <= 7) submit(request);
            else _refused(request, abi.encodeWithSelector(IInferenceMarket.BadReplicas.selector, replicas));
        }
    }

    function test_submit_replicasNeedAClass() public {
        Request memory request = someRequest();
        request.replicas = 3;
        _refused(request, abi.encodeWithSelector(IInferenceMarket.NoEquivalence.selector, 3));
    }

    function test_submit_ofNoOutputTokenIsRefused() public {
        Request memory request = someRequest();
        request.maxOutputTokens = 0;
        _refused(request, abi.encodeWithSelector(IInferenceMarket.NoOutputTokens.selector));
    }

    function test_submit_flatPercentEndsAtAHundred() public {
        Request memory request = someRequest();
        request.flatPercent = 101;
        _refused(request, abi.encodeWithSelector(IInferenceMarket.FlatPercentTooHigh.selector, 101));
        request.flatPercent = 100;
        assertState(submit(request), State.Open);
    }

    function test_submit_withoutBondIsRefused() public {
        Request memory request = someRequest();
        request.bondUnits = 0;
        _refused(request, abi.encodeWithSelector(IInferenceMarket.NoBond.selector));
    }

    function test_submit_leaseStartsAtTheShortest() public {
        Request memory request = someRequest();
        request.leaseSecs = 4;
        _refused(request, abi.encodeWithSelector(IInferenceMarket.LeaseTooShort.selector, 4, 5));
        request.leaseSecs = 5;
        assertState(submit(request), State.Open);
    }

    function test_submit_deadlineMustLeaveRoomForALease() public {
        Request memory request = someRequest();
        request.deadline = uint32(block.timestamp + request.leaseSecs - 1);
        _refused(
            request,
            abi.encodeWithSelector(
                IInferenceMarket.DeadlineTooSoon.selector,
                request.deadline,
                block.timestamp + request.leaseSecs
            )
        );
        request.deadline += 1;
        assertState(submit(request), State.Open);
    }

    function test_submit_deadlineMayNotBeTooFar() public {
        Request memory request = someRequest();
        request.deadline = uint32(block.timestamp + 1 days + 1);
        _refused(
            request,
            abi.encodeWithSelector(
                IInferenceMarket.DeadlineTooFar.selector, request.deadline, block.timestamp + 1 days
            )
        );
        request.deadline -= 1;
        assertState(submit(request), State.Open);
    }

    function test_submit_freeTask() public {
        Request memory request = someRequest();
        (request.maxFee, request.tip) = (0, 0);
        TaskId id = submit(request);
        assertAccount(REQUESTER, FUNDS, 0);
        claim(id, WORKER);
        post(id, WORKER, 512);
        pass(WINDOW + 1);
        settle(id);
        assertAccount(WORKER, FUNDS, 0);
    }

    /// @dev The digest takes the fields as they stand in calldata, so a field must not have bits beyond its
    /// type.
    function test_submit_fieldWithBitsBeyondItsTypeIsRefused() public {
        bytes memory data = abi.encodeCall(IInferenceMarket.submit, (someRequest()));
        uint8[9] memory narrow = [0, 6, 7, 8, 9, 10, 11, 12, 13];
        for (uint256 i = 0; i < narrow.length; ++i) {
            bytes memory dirty = bytes.concat(data);
            dirty[4 + 32 + 32 * uint256(narrow[i])] = 0x80;
            vm.prank(REQUESTER);
            (bool taken,) = address(market).call(dirty);
            vm.assertTrue(!taken, "taken");
        }
        vm.prank(REQUESTER);
        (bool clean,) = address(market).call(data);
        vm.assertTrue(clean, "clean");
    }

    function test_fuzz_submit_storesWhatWasAsked(Request memory request, uint256 until) public {
        request.requester = REQUESTER;
        request.replicas = 1;
        request.maxFee = uint48(bound(request.maxFee, 0, FUNDS / 2));
        request.tip = uint48(bound(request.tip, 0, FUNDS / 2));
        request.flatPercent %= 101;
        request.leaseSecs = uint24(bound(request.leaseSecs, 5, 1 days));
        request.deadline = uint32(START + bound(until, request.leaseSecs, 1 days));
        if (request.maxOutputTokens == 0) request.maxOutputTokens = 1;
        if (request.bondUnits == 0) request.bondUnits = 1;
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSubmitted(
            market.hashRequest(request), REQUESTER, request.modelId, request, uint32(START)
        );
        TaskId id = submit(request);

        Task memory task = market.taskOf(id);
        vm.assertEq(task.deadline, request.deadline, "deadline");
        vm.assertEq(task.leaseSecs, request.leaseSecs, "leaseSecs");
        vm.assertEq(task.bondUnits, request.bondUnits, "bondUnits");
        vm.assertEq(task.flatPercent, request.flatPercent, "flatPercent");
        vm.assertEq(task.maxOutputTokens, request.maxOutputTokens, "maxOutputTokens");
        vm.assertEq(task.maxFee, request.maxFee, "maxFee");
        vm.assertEq(task.tip, request.tip, "tip");
        assertAccount(REQUESTER, uint256(FUNDS) - request.maxFee - request.tip, 0);
    }

    function _refused(Request memory request, bytes memory refusal) private {
        vm.expectRevert(refusal);
        submit(request);
    }
}
