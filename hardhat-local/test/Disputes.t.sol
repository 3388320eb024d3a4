// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Parameters,
    RefundReason,
    Request,
    State,
    Task,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {LawTest} from "./utils/LawTest.sol";
import {vm} from "./utils/Vm.sol";

/// @notice Bonds that do not divide, so that every remainder shows.
contract DisputesTest is LawTest {
    uint64 private constant ODD_UNIT = 1_000_007;
    uint64 private constant ODD_CHALLENGE = 1_999_999;
    uint256 private constant BOND = 2 * uint256(ODD_UNIT);
    uint256 private constant CHARGE = 200_000 + uint256(800_000) * TOKENS / 512;

    function parameters() internal view override returns (Parameters memory p) {
        p = super.parameters();
        (p.bondUnit, p.challengeBond) = (ODD_UNIT, ODD_CHALLENGE);
    }

    function test_challenge_takesTheBondAndStopsTheClock() public {
        TaskId id = answered(TOKENS);
        pass(WINDOW);
        uint32 until = uint32(START + WINDOW + ARBITER_TIMEOUT);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskChallenged(id, CHALLENGER, ODD_CHALLENGE, until);
        challengeTask(id);
        Task memory task = market.taskOf(id);
        assertState(id, State.Disputed);
        vm.assertEq(task.until, until, "until");
        vm.assertEq(market.disputeOf(id).challenger, CHALLENGER, "challenger");
        vm.assertEq(market.disputeOf(id).windowEnd, START + WINDOW, "window");
        assertAccount(CHALLENGER, FUNDS - ODD_CHALLENGE, 0);
    }

    function test_challenge_canPayAtOnceAndMust() public {
        TaskId id = answered(TOKENS);
        vm.deal(STRANGER, ODD_CHALLENGE * UNIT);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.InsufficientFree.selector, STRANGER, uint256(0), uint256(ODD_CHALLENGE)
            )
        );
        vm.prank(STRANGER);
        market.challenge(id);
        vm.prank(STRANGER);
        market.challenge{value: ODD_CHALLENGE * UNIT}(id);
        assertState(id, State.Disputed);
    }

    function test_challenge_afterTheWindowOrTwiceIsRefused() public {
        TaskId id = answered(TOKENS);
        pass(WINDOW + 1);
        vm.expectRevert(refusal(IInferenceMarket.WindowEnded.selector, id, START + WINDOW));
        challengeTask(id);
        id = disputed();
        vm.expectRevert(wrongState(id, State.Disputed));
        challengeTask(id);
    }

    function test_challenge_keepsTheOpenDemands() public {
        TaskId id = answered(TOKENS);
        demandLeaf(id, 0);
        challengeTask(id);
        vm.assertEq(market.taskOf(id).openDemands, 1, "demands");
        vm.expectRevert(refusal(IInferenceMarket.DemandsOpen.selector, id, 1));
        ruleTask(id, false);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        ruleTask(id, false);
    }

    function test_rule_faultySharesTheBondAndRefunds() public {
        TaskId id = disputed();
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRuled(id, true);
        vm.expectEmit(address(market));
        emit IInferenceMarket.BondSlashed(id, WORKER, 1_000_007, 500_003, 500_004);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ChallengeReturned(id, CHALLENGER, ODD_CHALLENGE);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Faulty, uint96(PRICE));
        ruleTask(id, true);
        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
        assertAccount(WORKER, FUNDS - BOND, 0);
        assertAccount(CHALLENGER, FUNDS + 1_000_007, 0);
        assertAccount(ARBITER, 500_003, 0);
        vm.assertEq(market.burned(), 500_004, "burned");
    }

    function test_rule_notFaultySharesTheChallengersBondAndSettles() public {
        TaskId id = disputed();
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRuled(id, false);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ChallengeLost(id, CHALLENGER, 999_999, 499_999, 500_001);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSettled(id, WORKER, uint96(CHARGE + 30_000), uint96(1_000_000 - CHARGE));
        ruleTask(id, false);
        assertState(id, State.Settled);
        assertAccount(WORKER, FUNDS + CHARGE + 30_000 + 999_999, 0);
        assertAccount(REQUESTER, FUNDS - CHARGE - 30_000, 0);
        assertAccount(CHALLENGER, FUNDS - ODD_CHALLENGE, 0);
        assertAccount(ARBITER, 499_999, 0);
        vm.assertEq(market.burned(), 500_001, "burned");
    }

    function test_rule_faultyTakesTheBondOfEveryWinnerButNoMinoritys() public {
        TaskId id = won(three(0, 1, 0));
        challengeTask(id);
        ruleTask(id, true);
        assertAccount(replica(0), FUNDS - BOND, 0);
        assertAccount(replica(1), FUNDS, 0);
        assertAccount(replica(2), FUNDS - BOND, 0);
        assertAccount(CHALLENGER, FUNDS + 2 * 1_000_007, 0);
        assertAccount(ARBITER, 2 * 500_003, 0);
        assertAccount(REQUESTER, FUNDS, 0);
        vm.assertEq(market.burned(), 2 * 500_004, "burned");
    }

    function test_rule_notFaultySharesAmongTheWinnersAndBurnsTheRest() public {
        TaskId id = won(unanimous(3));
        challengeTask(id);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ChallengeLost(id, CHALLENGER, 333_333, 499_999, 500_001);
        ruleTask(id, false);
        for (uint256 i = 0; i < 3; ++i) {
            assertAccount(replica(i), FUNDS + CHARGE + 10_000 + 333_333, 0);
        }
        assertAccount(ARBITER, 499_999, 0);
        vm.assertEq(market.burned(), 500_001, "burned");
    }

    function test_rule_byAnotherIsRefused() public {
        TaskId id = disputed();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotArbiter.selector, STRANGER, ARBITER));
        vm.prank(STRANGER);
        market.rule(id, true);
    }

    function test_rule_toTheLastSecondAndTimeoutAfterIt() public {
        TaskId id = disputed();
        TaskId other = disputed();
        pass(ARBITER_TIMEOUT);
        vm.expectRevert(refusal(IInferenceMarket.RulingTimeRunning.selector, other, START + ARBITER_TIMEOUT));
        market.timeout(other);
        ruleTask(id, true);
        pass(1);
        vm.expectRevert(refusal(IInferenceMarket.RulingTooLate.selector, other, START + ARBITER_TIMEOUT));
        ruleTask(other, true);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ChallengeReturned(other, CHALLENGER, ODD_CHALLENGE);
        vm.prank(STRANGER);
        market.timeout(other);
        assertState(other, State.Settled);
        assertAccount(CHALLENGER, FUNDS + 1_000_007, 0);
    }

    function test_timeout_settlesARound() public {
        TaskId id = won(three(0, 0, 1));
        challengeTask(id);
        pass(ARBITER_TIMEOUT + 1);
        market.timeout(id);
        assertState(id, State.Settled);
        assertAccount(replica(0), FUNDS + CHARGE + 10_000, 0);
        assertAccount(CHALLENGER, FUNDS, 0);
        vm.assertEq(market.burned(), 0, "burned");
    }

    function test_rule_endsADisputeForEver() public {
        for (uint256 i = 0; i < 2; ++i) {
            TaskId id = disputed();
            ruleTask(id, i == 0);
            State ended = stateOf(id);
            vm.expectRevert(wrongState(id, ended));
            ruleTask(id, i == 1);
            vm.expectRevert(wrongState(id, ended));
            market.timeout(id);
            vm.expectRevert(wrongState(id, ended));
            challengeTask(id);
        }
    }

    function test_fuzz_rule_splitsWithoutLoss(uint16 bondUnits, uint64 challengeBond, bool faulty, uint8 tie)
        public
    {
        Parameters memory p = parameters();
        p.challengeBond = uint64(bound(challengeBond, p.bondUnit, FUNDS / 2));
        market = deploy(p);
        for (uint256 i = 0; i < 7; ++i) {
            fund(replica(i));
        }
        fund(REQUESTER);
        fund(CHALLENGER);
        Request memory request = roundRequest(3);
        request.bondUnits = uint16(bound(bondUnits, 1, 900));
        TaskId id = submit(request);
        for (uint256 i = 0; i < 3; ++i) {
            claim(id, replica(i));
        }
        for (uint256 i = 0; i < 3; ++i) {
            commitAs(i, id, 5, i == 2 ? tie % 2 : 0);
        }
        for (uint256 i = 0; i < 3; ++i) {
            revealAs(i, id, 5, i == 2 ? tie % 2 : 0);
        }
        market.closeRound(id);
        challengeTask(id);
        ruleTask(id, faulty);
        uint256 total = freeOf(REQUESTER) + freeOf(CHALLENGER) + freeOf(ARBITER) + market.burned();
        for (uint256 i = 0; i < 7; ++i) {
            total += freeOf(replica(i));
            vm.assertEq(lockedOf(replica(i)), 0, "nothing stays locked");
        }
        vm.assertEq(total, 9 * uint256(FUNDS), "nothing lost, nothing made");
    }
}
