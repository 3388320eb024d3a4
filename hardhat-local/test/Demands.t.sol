// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Answer,
    Demand,
    IInferenceMarket,
    Receipt,
    RefundReason,
    SkipReason,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {LawTest} from "./utils/LawTest.sol";
import {Outputs} from "./utils/Outputs.sol";
import {vm} from "./utils/Vm.sol";

contract DemandTest is LawTest {
    function test_demand_takesTheFeeAndStartsTheTime() public {
        TaskId id = answered(TOKENS);
        pass(7);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeafDemanded(id, 6, OTHER, uint32(START + 7 + ANSWER_TIME));
        demandLeaf(id, 6);
        assertAccount(OTHER, FUNDS - DEMAND_FEE, 0);
        Demand memory demand = market.demandOf(id, 6);
        vm.assertEq(demand.demander, OTHER, "demander");
        vm.assertEq(demand.until, START + 7 + ANSWER_TIME, "until");
        vm.assertEq(market.taskOf(id).openDemands, 1, "demands");
    }

    function test_demand_canPayAtOnce() public {
        TaskId id = answered(TOKENS);
        vm.deal(STRANGER, DEMAND_FEE * UNIT);
        vm.prank(STRANGER);
        market.demand{value: DEMAND_FEE * UNIT}(id, 0);
        assertAccount(STRANGER, 0, 0);
    }

    function test_demand_withoutTheFeeIsRefused() public {
        TaskId id = answered(TOKENS);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.InsufficientFree.selector, STRANGER, uint256(0), uint256(DEMAND_FEE)
            )
        );
        vm.prank(STRANGER);
        market.demand(id, 0);
    }

    function test_demand_ofTheLastLeafAndOfNoMore() public {
        uint32[6] memory counts = [uint32(1), 31, 32, 33, 64, 512];
        for (uint256 i = 0; i < counts.length; ++i) {
            TaskId id = answered(counts[i]);
            uint32 leaves = uint32(Outputs.leafCount(counts[i]));
            demandLeaf(id, leaves - 1);
            vm.expectRevert(refusal(IInferenceMarket.NoSuchLeaf.selector, id, leaves, leaves));
            demandLeaf(id, leaves);
            vm.expectRevert(refusal(IInferenceMarket.NoSuchLeaf.selector, id, type(uint32).max, leaves));
            demandLeaf(id, type(uint32).max);
        }
    }

    function test_demand_ofAnEmptyOutputIsRefused() public {
        TaskId id = answered(0);
        vm.expectRevert(refusal(IInferenceMarket.NoSuchLeaf.selector, id, 0, 0));
        demandLeaf(id, 0);
    }

    function test_demand_ofALeafOnceForEver() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 0);
        vm.expectRevert(refusal(IInferenceMarket.AlreadyDemanded.selector, id, 0));
        demandLeaf(id, 0);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        vm.expectRevert(refusal(IInferenceMarket.AlreadyDemanded.selector, id, 0));
        demandLeaf(id, 0);
        vm.assertEq(market.taskOf(id).openDemands, 0, "demands");
    }

    function test_demand_toTheLastSecondOfTheWindowAlsoInADispute() public {
        TaskId id = answered(TOKENS);
        pass(WINDOW);
        demandLeaf(id, 0);
        challengeTask(id);
        demandLeaf(id, 1);
        pass(1);
        vm.expectRevert(refusal(IInferenceMarket.WindowEnded.selector, id, START + WINDOW));
        demandLeaf(id, 2);
    }

    function test_demand_openedInTheLastSecondIsOverBeforeTheRulingIs() public {
        TaskId id = disputed();
        pass(WINDOW);
        demandLeaf(id, 0);
        pass(ANSWER_TIME);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        vm.assertLe(block.timestamp + 1, market.taskOf(id).until, "there is time to rule");
        ruleTask(id, true);
    }

    function test_demand_stopsSettlingUntilItIsAnswered() public {
        TaskId id = answered(TOKENS);
        pass(WINDOW);
        demandLeaf(id, 0);
        pass(1);
        expectSkip(id, State.Posted, SkipReason.DemandsOpen);
        settle(id);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        vm.assertEq(settle(id), 1, "settled");
    }
}

contract AnswerTest is LawTest {
    function test_answer_paysTheWorkerWhoeverSends() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 3);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeafAnswered(id, 3, Outputs.tokens(TOKENS, 3), uint96(DEMAND_FEE), 0);
        vm.prank(STRANGER);
        market.answer(id, 3, evidenceOf(id, WORKER, TOKENS, 3));
        assertAccount(WORKER, FUNDS - LEASE_BOND + DEMAND_FEE, LEASE_BOND);
        assertAccount(STRANGER, 0, 0);
        vm.assertEq(market.demandOf(id, 3).until, 0, "until");
        vm.expectRevert(refusal(IInferenceMarket.NoDemand.selector, id, 3));
        market.answer(id, 3, evidenceOf(id, WORKER, TOKENS, 3));
    }

    function test_answer_everyLeafOfOutputsOfManyLengths() public {
        uint32[7] memory counts = [uint32(1), 31, 32, 33, 97, 128, 161];
        for (uint256 i = 0; i < counts.length; ++i) {
            TaskId id = answered(counts[i]);
            for (uint32 leaf = 0; leaf < Outputs.leafCount(counts[i]); ++leaf) {
                demandLeaf(id, leaf);
                market.answer(id, leaf, evidenceOf(id, WORKER, counts[i], leaf));
            }
            vm.assertEq(market.taskOf(id).openDemands, 0, "all answered");
        }
    }

    /// @dev What a transaction costs: its data as well, with tokens whose ids have no zero byte.
    function test_answer_costsAWholeTransactionLessThanItsBudget() public {
        TaskId id = answered(512);
        demandLeaf(id, 9);
        bytes memory call = abi.encodeCall(IInferenceMarket.answer, (id, 9, evidenceOf(id, WORKER, 512, 9)));
        uint256 cost = 21_000 + 32 * 4 * 12;
        for (uint256 i = 0; i < call.length; ++i) {
            cost += call[i] == 0 ? 4 : 16;
        }
        uint256 before = gasleft();
        (bool taken,) = address(market).call(call);
        cost += before - gasleft();
        vm.assertTrue(taken, "answered");
        vm.assertLe(cost, 75_000, "gas");
    }

    function test_answer_findsABodyInItsBatch() public {
        Receipt[] memory receipts = new Receipt[](3);
        bytes32[] memory leaves = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            TaskId id = leased();
            receipts[i] = Receipt(id, market.hashBody(bodyOf(id, WORKER, TOKENS, 0)), TOKENS);
            leaves[i] = keccak256(bytes.concat(keccak256(abi.encode(id, uint256(TOKENS), receipts[i].body))));
        }
        vm.prank(WORKER);
        market.postBatch(receipts);
        demandLeaf(receipts[1].id, 0);
        Answer memory evidence = evidenceOf(receipts[1].id, WORKER, TOKENS, 0);
        vm.expectRevert(refusal(IInferenceMarket.BodyNotPosted.selector, receipts[1].id));
        market.answer(receipts[1].id, 0, evidence);
        evidence.batchPath = new bytes32[](2);
        (evidence.batchPath[0], evidence.batchPath[1]) = (leaves[0], leaves[2]);
        market.answer(receipts[1].id, 0, evidence);
    }

    function test_answer_toTheLastSecond() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 0);
        demandLeaf(id, 1);
        pass(ANSWER_TIME);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        pass(1);
        vm.expectRevert(refusal(IInferenceMarket.AnswerTimeOver.selector, id, 1, START + ANSWER_TIME));
        market.answer(id, 1, evidenceOf(id, WORKER, TOKENS, 1));
    }

    function test_answer_ofTheWrongLengthIsRefused() public {
        TaskId id = answered(40);
        demandLeaf(id, 1);
        Answer memory evidence = evidenceOf(id, WORKER, 40, 1);
        evidence.tokens = new uint32[](9);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.WrongLeafLength.selector, id, uint32(1), 9, 8)
        );
        market.answer(id, 1, evidence);
        evidence.tokens = new uint32[](0);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.WrongLeafLength.selector, id, uint32(1), 0, 8)
        );
        market.answer(id, 1, evidence);
    }

    function test_answer_ofWrongTokensOrOfAnotherLeafIsRefused() public {
        TaskId id = answered(128);
        demandLeaf(id, 1);
        Answer memory evidence = evidenceOf(id, WORKER, 128, 1);
        evidence.tokens[31] += 1;
        bytes memory expected = abi.encodeWithSelector(
            IInferenceMarket.LeafNotInOutput.selector, id, uint32(1), evidence.body.outputRoot
        );
        vm.expectRevert(expected);
        market.answer(id, 1, evidence);
        vm.expectRevert(expected);
        market.answer(id, 1, evidenceOf(id, WORKER, 128, 2));
    }

    /// @dev The worker has posted the root of a leaf whose word is no token: it hashes right, and is no answer.
    function test_answer_ofATokenWithBitsBeyondItsTypeIsRefused() public {
        TaskId id = leased();
        Answer memory evidence;
        evidence.body = bodyOf(id, WORKER, 1, 0);
        bytes32 token = bytes32(uint256(7 | 1 << 32));
        bytes memory leaf = abi.encode(uint256(0), uint256(0x40), uint256(1), token);
        evidence.body.outputRoot = keccak256(bytes.concat(keccak256(leaf)));
        evidence.tokens = new uint32[](1);
        bytes32 body = market.hashBody(evidence.body);
        vm.prank(WORKER);
        market.postBatch(one(Receipt(id, body, 1)));
        demandLeaf(id, 0);

        evidence.tokens[0] = 7;
        bytes memory expected = abi.encodeWithSelector(
            IInferenceMarket.LeafNotInOutput.selector, id, uint32(0), evidence.body.outputRoot
        );
        vm.expectRevert(expected);
        market.answer(id, 0, evidence);
        bytes memory dirty = abi.encodeCall(IInferenceMarket.answer, (id, 0, evidence));
        uint256 place = dirty.length - 64; // the token, before the length of the empty leaf path
        vm.assertEq(uint8(dirty[place + 31]), 7, "the token");
        vm.assertEq(uint8(dirty[place - 1]), 1, "after the number of tokens");
        dirty[place + 27] = 0x01;
        (bool taken,) = address(market).call(dirty);
        vm.assertTrue(!taken, "taken");
        pass(ANSWER_TIME + 1);
        market.lapseDemand(id, 0);
    }

    function test_answer_withABodyOfOnesOwnIsRefused() public {
        TaskId id = answered(TOKENS);
        TaskId other = answered(64);
        demandLeaf(id, 0);
        Answer memory evidence = evidenceOf(id, WORKER, TOKENS, 0);
        evidence.body.finishedAt += 1;
        vm.expectRevert(refusal(IInferenceMarket.BodyNotPosted.selector, id));
        market.answer(id, 0, evidence);
        vm.expectRevert(refusal(IInferenceMarket.BodyNotPosted.selector, id));
        market.answer(id, 0, evidenceOf(other, WORKER, 64, 0));
    }

    function test_answer_ofARoundSharesTheFeeAndBurnsTheRest() public {
        TaskId id = won(unanimous(3));
        demandLeaf(id, 2);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeafAnswered(id, 2, Outputs.tokens(TOKENS, 2), 66_666, 2);
        // The body is of one who did not even take part: what counts is the verdict.
        market.answer(id, 2, evidenceOf(id, STRANGER, TOKENS, 2));
        for (uint256 i = 0; i < 3; ++i) {
            assertAccount(replica(i), FUNDS - LEASE_BOND + 66_666, LEASE_BOND);
        }
        vm.assertEq(market.burned(), 2, "200,000 = 3 x 66,666 + 2");
    }

    function test_answer_ofARoundWithAMinoritysBodyIsRefused() public {
        TaskId id = won(three(0, 0, 1));
        demandLeaf(id, 0);
        Answer memory evidence = evidenceOf(id, replica(2), TOKENS, 0);
        evidence.body = bodyOf(id, replica(2), TOKENS, 1);
        vm.expectRevert(refusal(IInferenceMarket.BodyNotPosted.selector, id));
        market.answer(id, 0, evidence);
        market.answer(id, 0, evidenceOf(id, replica(1), TOKENS, 0));
        assertAccount(replica(2), FUNDS, 0);
    }
}

contract LapseDemandTest is LawTest {
    function test_lapseDemand_refundsTheRequesterAndBurnsTheBond() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 0);
        pass(ANSWER_TIME);
        vm.expectRevert(refusal(IInferenceMarket.AnswerTimeRunning.selector, id, 0, START + ANSWER_TIME));
        market.lapseDemand(id, 0);
        pass(1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.DemandLapsed(id, 0, OTHER, uint96(DEMAND_FEE));
        vm.expectEmit(address(market));
        emit IInferenceMarket.BondSlashed(id, WORKER, 0, 0, uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Unanswered, uint96(PRICE));
        vm.prank(STRANGER);
        market.lapseDemand(id, 0);
        assertAccount(REQUESTER, FUNDS, 0);
        assertAccount(OTHER, FUNDS, 0);
        assertAccount(WORKER, FUNDS - LEASE_BOND, 0);
        assertAccount(ARBITER, 0, 0);
        vm.assertEq(market.burned(), LEASE_BOND, "burned");
    }

    function test_lapseDemand_inADisputeGivesTheChallengerTheBondBackAndNoMore() public {
        TaskId id = disputed();
        demandLeaf(id, 0);
        pass(ANSWER_TIME + 1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ChallengeReturned(id, CHALLENGER, uint96(CHALLENGE_BOND));
        market.lapseDemand(id, 0);
        assertAccount(CHALLENGER, FUNDS, 0);
        assertAccount(ARBITER, 0, 0);
        vm.assertEq(market.burned(), LEASE_BOND, "burned");
    }

    function test_lapseDemand_burnsTheBondOfEveryWinner() public {
        TaskId id = won(three(0, 0, 1));
        demandLeaf(id, 0);
        pass(ANSWER_TIME + 1);
        market.lapseDemand(id, 0);
        assertAccount(replica(0), FUNDS - LEASE_BOND, 0);
        assertAccount(replica(1), FUNDS - LEASE_BOND, 0);
        assertAccount(replica(2), FUNDS, 0);
        assertAccount(REQUESTER, FUNDS, 0);
        vm.assertEq(market.burned(), 2 * LEASE_BOND, "burned");
    }

    function test_closeDemand_returnsTheFeesLeftOpen() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 0);
        pass(5);
        demandLeaf(id, 1);
        demandLeaf(id, 2);
        pass(ANSWER_TIME - 4);
        market.lapseDemand(id, 0);
        assertAccount(OTHER, FUNDS - 2 * DEMAND_FEE, 0);
        vm.expectEmit(address(market));
        emit IInferenceMarket.DemandClosed(id, 1, OTHER, uint96(DEMAND_FEE));
        vm.prank(STRANGER);
        market.closeDemand(id, 1);
        market.closeDemand(id, 2);
        assertAccount(OTHER, FUNDS, 0);
        vm.expectRevert(refusal(IInferenceMarket.NoDemand.selector, id, 1));
        market.closeDemand(id, 1);
        vm.expectRevert(refusal(IInferenceMarket.NoDemand.selector, id, 0));
        market.closeDemand(id, 0);
    }

    function test_closeDemand_ofAnAnsweredOneReturnsNothing() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 0);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        pass(WINDOW + 1);
        settle(id);
        vm.expectRevert(refusal(IInferenceMarket.NoDemand.selector, id, 0));
        market.closeDemand(id, 0);
    }
}
