// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Request, State, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {IMarketLens, Standing, Waiting} from "../contracts/interfaces/IMarketLens.sol";
import {LawTest} from "./utils/LawTest.sol";
import {vm} from "./utils/Vm.sol";

contract LensTest is LawTest {
    IMarketLens private _lens;

    function setUp() public override {
        super.setUp();
        _lens = IMarketLens(vm.deployCode("MarketLens.sol:MarketLens", abi.encode(market)));
    }

    function test_standingOf_followsTimeThroughALife() public {
        TaskId id = TaskId.wrap("nobody asked");
        _stands(id, Standing.None);
        id = open();
        vm.warp(START + 1000);
        _stands(id, Standing.Open);
        vm.warp(START + 1001);
        _stands(id, Standing.Expired);
        market.expire(id);
        _stands(id, Standing.Refunded);

        vm.warp(START);
        id = leased();
        vm.warp(START + 100);
        _stands(id, Standing.Leased);
        vm.warp(START + 101);
        _stands(id, Standing.Lapsed);
        vm.warp(START + 1000);
        _stands(id, Standing.Lapsed);
        vm.warp(START + 1001);
        _stands(id, Standing.Expired);

        vm.warp(START + 1000);
        post(id, WORKER, 1);
        vm.warp(START + 1000 + WINDOW);
        _stands(id, Standing.Posted);
        pass(1);
        _stands(id, Standing.Settleable);
        settle(id);
        _stands(id, Standing.Settled);
    }

    function test_priorityOf_addsTheAgeToTheTipPerToken() public {
        TaskId id = open();
        vm.assertEq(_lens.priorityOf(id), uint256(30_000) * 1 gwei * 1e6 / 512, "fresh");
        pass(7);
        vm.assertEq(_lens.priorityOf(id), uint256(30_000) * 1 gwei * 1e6 / 512 + 7 gwei, "aged");
        vm.prank(REQUESTER);
        market.raiseTip(id, 60_000);
        vm.assertEq(_lens.priorityOf(id), uint256(60_000) * 1 gwei * 1e6 / 512, "restarted");
    }

    function test_priorityOf_nothingIsRefused() public {
        TaskId id = TaskId.wrap("nobody asked");
        vm.expectRevert(wrongState(id, State.None));
        _lens.priorityOf(id);
    }

    /// @dev Their age counts no more, and a revoked request has nothing to divide by.
    function test_priorityOf_aTaskThatWaitsForNobodyIsRefused() public {
        TaskId id = posted(100);
        vm.expectRevert(wrongState(id, State.Posted));
        _lens.priorityOf(id);
        Request memory request = someRequest();
        vm.prank(REQUESTER);
        market.revoke(request);
        id = market.hashRequest(request);
        vm.expectRevert(wrongState(id, State.Refunded));
        _lens.priorityOf(id);
    }

    function test_queue_putsTheBestPaidFirstAndTheOldestBeforeItsEqual() public {
        TaskId[] memory ids = new TaskId[](4);
        ids[0] = _openWithTip(10);
        ids[1] = _openWithTip(30);
        pass(1);
        ids[2] = _openWithTip(30);
        ids[3] = _openWithTip(20);
        (TaskId[] memory ranked, uint256[] memory priorities) = _lens.queue(ids);
        vm.assertEq(ranked.length, 4, "all");
        vm.assertEq(TaskId.unwrap(ranked[0]), TaskId.unwrap(ids[1]), "first");
        vm.assertEq(TaskId.unwrap(ranked[1]), TaskId.unwrap(ids[2]), "second");
        vm.assertEq(TaskId.unwrap(ranked[2]), TaskId.unwrap(ids[3]), "third");
        vm.assertEq(TaskId.unwrap(ranked[3]), TaskId.unwrap(ids[0]), "last");
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(priorities[i], _lens.priorityOf(ranked[i]), "priority");
        }
    }

    function test_queue_breaksTiesByTheLowerId() public {
        (TaskId[] memory ranked,) = _lens.queue(two(_openWithTip(10), _openWithTip(10)));
        vm.assertTrue(TaskId.unwrap(ranked[0]) < TaskId.unwrap(ranked[1]), "lower first");
    }

    function test_queue_leavesOutWhatCannotBeClaimed() public {
        TaskId[] memory ids = new TaskId[](5);
        ids[0] = leased();
        pass(101);
        ids[1] = leased();
        ids[2] = posted(1);
        ids[3] = open();
        ids[4] = TaskId.wrap("nobody asked");
        (TaskId[] memory ranked,) = _lens.queue(ids);
        vm.assertEq(ranked.length, 2, "the lapsed and the open one");
        vm.assertEq(TaskId.unwrap(ranked[0]), TaskId.unwrap(ids[0]), "lapsed");
        vm.assertEq(TaskId.unwrap(ranked[1]), TaskId.unwrap(ids[3]), "open");
        vm.warp(START + 1002);
        (ranked,) = _lens.queue(ids);
        vm.assertEq(ranked.length, 0, "no whole lease is left");
    }

    function test_waiting_countsLiveTasksOnly() public {
        TaskId[] memory ids = new TaskId[](4);
        (ids[0], ids[1], ids[2]) = (open(), leased(), posted(1));
        ids[3] = TaskId.wrap("nobody asked");
        vm.assertEq(_escrow(ids), 3 * 1_030_000, "three live");
        pass(WINDOW + 1);
        settle(ids[2]);
        vm.prank(REQUESTER);
        market.cancel(ids[0]);
        vm.assertEq(_escrow(ids), 1_030_000, "one live");
        for (uint256 i = 0; i < ids.length; ++i) {
            bool live = i == 1;
            vm.assertTrue((_lens.waiting(ids)[i].until > 0) == live, "only what is live waits for a time");
        }
    }

    function test_standingOf_followsARound() public {
        TaskId id = seated(3, 3);
        vm.warp(START + 100);
        _stands(id, Standing.Leased);
        pass(1);
        _stands(id, Standing.Lapsed);
        commitAs(0, id, TOKENS, 0);
        _stands(id, Standing.Leased);
        uint256 before = vm.snapshotState();
        vm.warp(START + 1001);
        _stands(id, Standing.Expired);
        vm.revertToState(before);
        commitAs(1, id, TOKENS, 0);
        vm.warp(START + 1001);
        _stands(id, Standing.Revealable);
        market.openReveal(id);
        _stands(id, Standing.Revealing);
        revealAs(0, id, TOKENS, 0);
        before = vm.snapshotState();
        pass(ANSWER_TIME + 1);
        _stands(id, Standing.Closable);
        vm.revertToState(before);
        revealAs(1, id, TOKENS, 0);
        _stands(id, Standing.Closable);
        market.closeRound(id);
        _stands(id, Standing.Posted);
    }

    function test_standingOf_waitsForDemandsAndRulings() public {
        TaskId id = answered(TOKENS);
        pass(WINDOW);
        demandLeaf(id, 0);
        pass(1);
        _stands(id, Standing.Posted);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        _stands(id, Standing.Settleable);
        id = disputed();
        pass(ARBITER_TIMEOUT);
        _stands(id, Standing.Disputed);
        pass(1);
        _stands(id, Standing.TimedOut);
    }

    function test_waiting_saysWhoseMoneyWaitsAndUntilWhen() public {
        TaskId[] memory ids = new TaskId[](4);
        ids[0] = open();
        ids[1] = seated(3, 2);
        ids[2] = disputed();
        demandLeaf(ids[2], 0);
        demandLeaf(ids[2], 1);
        ids[3] = won(three(0, 0, 1));
        Waiting[] memory all = _lens.waiting(ids);
        _waits(all[0], PRICE, 0, 0, 0, START + 1000);
        _waits(all[1], 3_030_000, 2 * LEASE_BOND, 0, 0, START + 1000);
        _waits(all[2], PRICE, LEASE_BOND, CHALLENGE_BOND, 2 * DEMAND_FEE, START + ARBITER_TIMEOUT);
        _waits(all[3], 3_030_000, 2 * LEASE_BOND, 0, 0, START + WINDOW);
        vm.assertEq(_escrow(ids), 2 * PRICE + 2 * 3_030_000, "escrow");
    }

    function test_waiting_leavesTheTimeForAnAnswer() public {
        TaskId id = answered(TOKENS);
        uint256 windowEnd = START + WINDOW;
        pass(WINDOW);
        demandLeaf(id, 0);
        vm.assertEq(_lens.waiting(one(id))[0].until, windowEnd + ANSWER_TIME, "the window's last demand");
        pass(ANSWER_TIME);
        vm.assertEq(_lens.waiting(one(id))[0].until, windowEnd + ANSWER_TIME, "the last second");
        pass(1);
        vm.assertEq(_lens.waiting(one(id))[0].until, 0, "waits for lapseDemand");
    }

    function test_waiting_ofADisputeThatOutlastedAnUnansweredDemandIsForACall() public {
        TaskId id = disputed();
        demandLeaf(id, 0);
        pass(ARBITER_TIMEOUT);
        vm.assertEq(_lens.waiting(one(id))[0].until, START + ARBITER_TIMEOUT, "the ruling's last second");
        pass(1);
        vm.assertEq(_lens.waiting(one(id))[0].until, 0, "waits for lapseDemand");
    }

    function test_queue_countsFreeAndLapsedSeats() public {
        TaskId[] memory ids = new TaskId[](2);
        (ids[0], ids[1]) = (seated(3, 2), seated(3, 3));
        (TaskId[] memory ranked,) = _lens.queue(ids);
        vm.assertEq(ranked.length, 1, "a seat is free");
        pass(101);
        (ranked,) = _lens.queue(ids);
        vm.assertEq(ranked.length, 2, "seats have lapsed");
    }

    // ------------------------------------------------------------------------------------------- inversions

    function test_recordSkip_provesThatABetterTaskWasPassedOver() public {
        (Request memory taken, Request memory skipped) = _pair();
        pass(6);
        claim(_id(taken), WORKER);
        vm.expectEmit(address(_lens));
        emit IMarketLens.InversionRecorded(_id(taken), _id(skipped), WORKER, uint32(START + 6));
        vm.prank(STRANGER);
        _lens.recordSkip(taken, skipped, WORKER);
    }

    function test_recordSkip_ofASeat() public {
        (Request memory taken, Request memory skipped) = (roundRequest(3), roundRequest(3));
        skipped.tip += 1;
        submit(taken);
        submit(skipped);
        pass(6);
        claim(_id(taken), replica(0));
        _lens.recordSkip(taken, skipped, replica(0));
        _noInversion(taken, skipped, replica(1), "worker has no running lease of taken");
    }

    function test_recordSkip_looksAtSevenSeatsAndNoMore() public {
        (Request memory taken, Request memory skipped) = (roundRequest(7), roundRequest(7));
        skipped.tip += 1;
        submit(taken);
        submit(skipped);
        pass(6);
        claim(_id(taken), replica(0));
        _noInversion(taken, skipped, replica(1), "worker has no running lease of taken");
    }

    function test_recordSkip_needsALeaseThatRunsAndATaskStillOpen() public {
        (Request memory taken, Request memory skipped) = _pair();
        _noInversion(taken, skipped, WORKER, "worker has no running lease of taken");
        pass(6);
        claim(_id(taken), WORKER);
        _noInversion(taken, skipped, OTHER, "worker has no running lease of taken");
        uint256 before = vm.snapshotState();
        claim(_id(skipped), OTHER);
        _noInversion(taken, skipped, WORKER, "skipped is not open");
        vm.revertToState(before);
        pass(101);
        _noInversion(taken, skipped, WORKER, "worker has no running lease of taken");
    }

    function test_recordSkip_toTheLastSecondOfTheLease() public {
        (Request memory taken, Request memory skipped) = _pair();
        (Request memory seat, Request memory better) = (roundRequest(3), roundRequest(3));
        better.tip += 1;
        submit(seat);
        submit(better);
        pass(6);
        claim(_id(taken), WORKER);
        claim(_id(seat), replica(0));
        vm.warp(market.taskOf(_id(taken)).until);
        _lens.recordSkip(taken, skipped, WORKER);
        vm.warp(market.seatOf(_id(seat), 0).until);
        _lens.recordSkip(seat, better, replica(0));
        pass(1);
        _noInversion(seat, better, replica(0), "worker has no running lease of taken");
    }

    function test_recordSkip_leavesTheGraceTime() public {
        (Request memory taken, Request memory skipped) = _pair();
        pass(5);
        claim(_id(taken), WORKER);
        _noInversion(taken, skipped, WORKER, "skipped within the grace time");
    }

    function test_recordSkip_countsFromWhenTheTaskWasOpenAgain() public {
        (Request memory taken, Request memory skipped) = _pair();
        claim(_id(skipped), OTHER);
        pass(10);
        TaskId id = _id(skipped);
        vm.prank(OTHER);
        market.release(id);
        pass(5);
        claim(_id(taken), WORKER);
        _noInversion(taken, skipped, WORKER, "skipped within the grace time");
    }

    function test_recordSkip_aTipRaisedAfterTheClaimProvesNothing() public {
        (Request memory taken, Request memory skipped) = _pair();
        pass(6);
        claim(_id(taken), WORKER);
        pass(1);
        TaskId id = _id(skipped);
        vm.prank(REQUESTER);
        market.raiseTip(id, 1_000_000);
        _noInversion(taken, skipped, WORKER, "skipped within the grace time");
    }

    function test_recordSkip_ofATaskTooLateToClaim() public {
        (Request memory taken, Request memory skipped) = (someRequest(), someRequest());
        skipped.tip += 1;
        skipped.deadline = uint32(START + 105);
        submit(taken);
        submit(skipped);
        pass(6);
        claim(_id(taken), WORKER);
        _noInversion(taken, skipped, WORKER, "skipped could not be claimed any more");
    }

    function test_recordSkip_ofATaskThatRanksLower() public {
        (Request memory taken, Request memory skipped) = _pair();
        pass(6);
        claim(_id(skipped), WORKER);
        _noInversion(skipped, taken, WORKER, "skipped ranks lower");
    }

    function test_recordSkip_ofAWorseTaskNamesWhatIsWorse() public {
        for (uint256 i = 0; i < 8; ++i) {
            setUp();
            (Request memory taken, Request memory skipped) = (someRequest(), someRequest());
            skipped.tip += 10_000;
            string memory why = _worsen(i, skipped);
            submit(taken);
            submit(skipped);
            pass(6);
            claim(_id(taken), WORKER);
            _noInversion(taken, skipped, WORKER, why);
        }
    }

    function _worsen(uint256 i, Request memory skipped) private pure returns (string memory) {
        if (i == 0) skipped.modelId = keccak256("another");
        if (i == 0) return "another model";
        if (i == 1) skipped.equivalence = keccak256("another");
        if (i == 1) return "another class";
        if (i == 2) (skipped.replicas, skipped.equivalence) = (3, keccak256("class"));
        if (i == 2) return "another class";
        if (i == 3) (skipped.maxOutputTokens, skipped.maxFee) = (513, 2_000_000);
        if (i == 3) return "more tokens";
        if (i == 4) skipped.bondUnits = 3;
        if (i == 4) return "a higher bond";
        if (i == 5) skipped.maxFee -= 1;
        if (i == 5) return "a lower fee per token";
        if (i == 6) skipped.flatPercent -= 1;
        if (i == 6) return "a lower flat share";
        skipped.leaseSecs -= 1;
        return "a shorter lease";
    }

    function test_recordSkip_ofOtherReplicas() public {
        (Request memory taken, Request memory skipped) = (roundRequest(3), roundRequest(5));
        skipped.tip *= 2;
        submit(taken);
        submit(skipped);
        pass(6);
        claim(_id(taken), WORKER);
        _noInversion(taken, skipped, WORKER, "other replicas");
    }

    function _pair() private returns (Request memory taken, Request memory skipped) {
        (taken, skipped) = (someRequest(), someRequest());
        skipped.tip += 1;
        submit(taken);
        submit(skipped);
    }

    function _id(Request memory request) private view returns (TaskId) {
        return market.hashRequest(request);
    }

    function _noInversion(Request memory taken, Request memory skipped, address worker, string memory why)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IMarketLens.NoInversion.selector, why));
        _lens.recordSkip(taken, skipped, worker);
    }

    function _waits(
        Waiting memory own,
        uint256 escrow,
        uint256 bonds,
        uint256 challengeBond,
        uint256 demandFees,
        uint256 until
    ) private pure {
        vm.assertEq(own.escrow, escrow, "escrow");
        vm.assertEq(own.bonds, bonds, "bonds");
        vm.assertEq(own.challengeBond, challengeBond, "challenge bond");
        vm.assertEq(own.demandFees, demandFees, "demand fees");
        vm.assertEq(own.until, until, "until");
    }

    function _escrow(TaskId[] memory ids) private view returns (uint256 held) {
        Waiting[] memory all = _lens.waiting(ids);
        for (uint256 i = 0; i < all.length; ++i) {
            held += all[i].escrow;
        }
    }

    function test_lens_namesItsMarket() public view {
        vm.assertEq(address(_lens.market()), address(market), "market");
    }

    function _openWithTip(uint48 tip) private returns (TaskId) {
        Request memory request = someRequest();
        request.tip = tip;
        return submit(request);
    }

    function _stands(TaskId id, Standing expected) private view {
        vm.assertEq(uint256(_lens.standingOf(id)), uint256(expected), "standing");
    }
}
