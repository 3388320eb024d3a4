// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    RefundReason,
    Request,
    Round,
    Seat,
    SeatState,
    SkipReason,
    State,
    Task,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {LawTest} from "./utils/LawTest.sol";
import {vm} from "./utils/Vm.sol";

contract SeatsTest is LawTest {
    function test_claimMany_takesSeatAfterSeatOfAReplicatedTask() public {
        TaskId id = submit(roundRequest(3));
        assertAccount(REQUESTER, FUNDS - 3 * 1_000_000 - 30_000, 0);
        for (uint256 i = 0; i < 3; ++i) {
            pass(1);
            vm.assertEq(claim(id, replica(i)), 1, "claimed");
            Seat memory seat = market.seatOf(id, i);
            vm.assertEq(seat.worker, replica(i), "worker");
            vm.assertEq(seat.until, START + 101 + i, "each its own lease");
            vm.assertEq(market.taskOf(id).seats, i + 1, "seats");
        }
        Task memory task = market.taskOf(id);
        vm.assertEq(task.worker, address(0), "no single worker");
        vm.assertEq(task.until, 0, "no single lease");
        expectSkip(id, State.Leased, SkipReason.LeaseRunning);
        claim(id, replica(3));
    }

    function test_claimMany_seatsAWorkerOnce() public {
        TaskId id = submit(roundRequest(3));
        expectSkip(id, State.Leased, SkipReason.AlreadySeated);
        vm.prank(replica(0));
        vm.assertEq(market.claimMany(two(id, id)), 1, "claimed");
        assertAccount(replica(0), FUNDS - LEASE_BOND, LEASE_BOND);
        commitAs(0, id, 1, 0);
        pass(101);
        expectSkip(id, State.Leased, SkipReason.AlreadySeated);
        claim(id, replica(0));
    }

    function test_claimMany_takesOnesOwnLapsedSeatBeforeAFreeOne() public {
        TaskId id = seated(3, 1);
        pass(101);
        claim(id, replica(0));
        vm.assertEq(market.taskOf(id).seats, 1, "seats");
        assertAccount(replica(0), FUNDS - 2 * LEASE_BOND, LEASE_BOND);
        vm.assertEq(market.burned(), LEASE_BOND, "burned");
    }

    function test_claimMany_takesAFreeSeatBeforeSomebodysLapsedOne() public {
        TaskId id = seated(3, 2);
        pass(101);
        claim(id, replica(2));
        vm.assertEq(market.burned(), 0, "nobody evicted");
        claim(id, replica(3));
        vm.assertEq(market.burned(), LEASE_BOND, "one evicted");
        vm.assertEq(market.seatOf(id, 0).worker, replica(3), "the first lapsed");
        vm.assertEq(market.taskOf(id).seats, 3, "seats");
    }

    function test_release_countsTheSeatsDownAndOpensTheTaskWithTheLast() public {
        TaskId id = seated(3, 2);
        pass(10);
        vm.prank(replica(0));
        market.release(id);
        assertState(id, State.Leased);
        vm.assertEq(market.taskOf(id).seats, 1, "seats");
        assertAccount(replica(0), FUNDS - LEASE_BOND / 10, 0);
        pass(1);
        vm.prank(replica(1));
        market.release(id);
        assertState(id, State.Open);
        vm.assertEq(market.taskOf(id).seats, 0, "seats");
        vm.assertEq(market.taskOf(id).until, START + 11, "open since");
        claim(id, replica(0));
        vm.assertEq(market.taskOf(id).until, 0, "no reveal runs");
        assertSeat(id, 0, SeatState.Leased);
    }

    function test_release_withoutASeatIsRefused() public {
        TaskId id = seated(3, 2);
        bytes4 selector = IInferenceMarket.WrongSeat.selector;
        vm.expectRevert(wrongSeat(selector, id, STRANGER, SeatState.Empty));
        vm.prank(STRANGER);
        market.release(id);
        vm.startPrank(replica(0));
        market.release(id);
        vm.expectRevert(wrongSeat(selector, id, replica(0), SeatState.Empty));
        market.release(id);
        vm.stopPrank();
    }

    function test_cancel_waitsForTheLastLeaseOfAll() public {
        TaskId id = seated(3, 1);
        pass(50);
        claim(id, replica(1));
        pass(51);
        vm.expectRevert(refusal(IInferenceMarket.LeaseRunning.selector, id, START + 150));
        vm.prank(REQUESTER);
        market.cancel(id);
        pass(50);
        vm.prank(REQUESTER);
        market.cancel(id);
        assertAccount(REQUESTER, FUNDS, 0);
        assertAccount(replica(0), FUNDS - LEASE_BOND, 0);
        assertAccount(replica(1), FUNDS - LEASE_BOND, 0);
        vm.assertEq(market.burned(), 2 * LEASE_BOND, "burned");
    }

    function test_expire_returnsTheBondsOfThoseWhoCommittedInVain() public {
        TaskId id = seated(5, 4);
        commitAs(0, id, 1, 0);
        commitAs(1, id, 1, 0);
        vm.warp(START + 1001);
        vm.expectEmit(address(market));
        emit IInferenceMarket.SeatPaid(id, replica(0), 0, uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.SeatPaid(id, replica(1), 0, uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Expired, 5_030_000);
        market.expire(id);
        assertAccount(REQUESTER, FUNDS, 0);
        for (uint256 i = 0; i < 4; ++i) {
            assertAccount(replica(i), i < 2 ? FUNDS : FUNDS - LEASE_BOND, 0);
        }
        vm.assertEq(market.burned(), 2 * LEASE_BOND, "burned");
    }
}

contract CommitTest is LawTest {
    function test_commit_keepsTheCommitmentAndTheBond() public {
        TaskId id = seated(3, 3);
        bytes32 commitment = commitmentOf(id, replica(1), 9, 0);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ResultCommitted(id, replica(1), commitment);
        commitAs(1, id, 9, 0);
        vm.assertEq(market.seatOf(id, 1).digest, commitment, "commitment");
        vm.assertEq(market.roundOf(id).committed, 1, "committed");
        assertAccount(replica(1), FUNDS - LEASE_BOND, LEASE_BOND);
    }

    function test_commit_ofTheLastOpensTheReveal() public {
        TaskId id = seated(3, 3);
        commitAs(2, id, 9, 0);
        commitAs(0, id, 9, 0);
        vm.assertEq(market.taskOf(id).until, 0, "not yet");
        pass(5);
        vm.expectEmit(address(market));
        emit IInferenceMarket.RevealOpened(id, uint32(START + 5 + ANSWER_TIME));
        commitAs(1, id, 9, 0);
        vm.assertEq(market.taskOf(id).until, START + 5 + ANSWER_TIME, "until");
    }

    function test_commit_lateIsTakenUntilTheDeadlineWhereNobodyEvicted() public {
        TaskId id = seated(3, 3);
        pass(101);
        claim(id, replica(3));
        vm.expectRevert(wrongSeat(IInferenceMarket.WrongSeat.selector, id, replica(0), SeatState.Empty));
        vm.prank(replica(0));
        market.commit(id, 0);
        vm.warp(START + 1000);
        commitAs(1, id, 1, 0);
        pass(1);
        vm.expectRevert(refusal(IInferenceMarket.DeadlinePassed.selector, id, START + 1000));
        vm.prank(replica(2));
        market.commit(id, 0);
    }

    function test_commit_twiceIsRefused() public {
        TaskId id = seated(3, 3);
        commitAs(0, id, 1, 0);
        vm.expectRevert(wrongSeat(IInferenceMarket.WrongSeat.selector, id, replica(0), SeatState.Committed));
        vm.prank(replica(0));
        market.commit(id, keccak256("second thoughts"));
    }

    function test_openReveal_afterTheDeadlineBurnsThoseWhoDidNotCommit() public {
        TaskId id = seated(3, 3);
        commitAs(0, id, 1, 0);
        commitAs(2, id, 1, 0);
        vm.warp(START + 1000);
        vm.expectRevert(refusal(IInferenceMarket.RevealNotDue.selector, id, 2));
        market.openReveal(id);
        pass(1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeaseLapsed(id, replica(1), uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.RevealOpened(id, uint32(START + 1001 + ANSWER_TIME));
        vm.prank(STRANGER);
        market.openReveal(id);
        assertSeat(id, 1, SeatState.Burned);
        assertAccount(replica(1), FUNDS - LEASE_BOND, 0);
        vm.expectRevert(refusal(IInferenceMarket.RevealNotDue.selector, id, 2));
        market.openReveal(id);
    }

    function test_openReveal_needsAQuorumOfCommits() public {
        TaskId id = seated(7, 7);
        for (uint256 i = 0; i < 3; ++i) {
            commitAs(i, id, 1, 0);
        }
        uint256 before = vm.snapshotState();
        vm.warp(START + 1001);
        vm.expectRevert(refusal(IInferenceMarket.RevealNotDue.selector, id, 3));
        market.openReveal(id);
        vm.revertToState(before);
        commitAs(3, id, 1, 0);
        vm.warp(START + 1001);
        market.openReveal(id);
        vm.assertEq(market.burned(), 3 * LEASE_BOND, "burned");
    }
}

contract RevealTest is LawTest {
    function test_reveal_keepsTheVerdictWhoeverSends() public {
        TaskId id = revealing(three(0, 0, 0));
        bytes32 verdict = verdictOf(bodyOf(id, replica(1), TOKENS, 0), TOKENS);
        bytes32 body = market.hashBody(bodyOf(id, replica(1), TOKENS, 0));
        vm.expectEmit(address(market));
        emit IInferenceMarket.ResultRevealed(id, replica(1), body, verdict, TOKENS);
        revealAs(1, id, TOKENS, 0);
        Seat memory seat = market.seatOf(id, 1);
        vm.assertEq(seat.digest, verdict, "verdict");
        vm.assertEq(seat.outputTokens, TOKENS, "tokens");
        vm.assertEq(market.roundOf(id).revealed, 1, "revealed");
    }

    function test_reveal_toTheLastSecond() public {
        TaskId id = revealing(three(0, 0, 0));
        pass(ANSWER_TIME);
        revealAs(0, id, TOKENS, 0);
        pass(1);
        vm.expectRevert(refusal(IInferenceMarket.RevealEnded.selector, id, START + ANSWER_TIME));
        revealAs(1, id, TOKENS, 0);
    }

    function test_reveal_ofAnythingElseIsRefused() public {
        TaskId id = revealing(three(0, 0, 0));
        bytes32 committed = commitmentOf(id, replica(0), TOKENS, 0);
        _mismatch(id, committed, commitmentOf(id, replica(0), TOKENS, 1), TOKENS, 1);
        _mismatch(id, committed, commitmentOf(id, replica(0), TOKENS - 1, 0), TOKENS - 1, 0);
        vm.expectRevert(wrongSeat(IInferenceMarket.WrongSeat.selector, id, STRANGER, SeatState.Empty));
        market.reveal(bodyOf(id, STRANGER, TOKENS, 0), TOKENS, saltOf(STRANGER));
    }

    function test_reveal_ofMoreTokensThanAskedForIsRefusedToTheLast() public {
        TaskId id = seated(3, 3);
        commitAs(0, id, 513, 0);
        commitAs(1, id, 512, 0);
        commitAs(2, id, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.TooManyTokens.selector, id, uint32(513), uint32(512))
        );
        revealAs(0, id, 513, 0);
        revealAs(1, id, 512, 0);
        revealAs(2, id, 0, 0);
    }

    function _mismatch(TaskId id, bytes32 committed, bytes32 shown, uint32 count, uint256 answer) private {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.CommitmentMismatch.selector, id, committed, shown)
        );
        revealAs(0, id, count, answer);
    }
}

contract CloseRoundTest is LawTest {
    uint256 private constant CHARGE = 200_000 + uint256(800_000) * TOKENS / 512;

    function test_closeRound_postsWhatAQuorumAgreesOn() public {
        TaskId id = revealed(three(1, 0, 0));
        bytes32 verdict = verdictOf(bodyOf(id, replica(1), TOKENS, 0), TOKENS);
        vm.expectEmit(address(market));
        emit IInferenceMarket.SeatPaid(id, replica(0), 0, uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.RoundWon(id, verdict, 2, TOKENS, uint32(START + WINDOW));
        vm.prank(STRANGER);
        market.closeRound(id);

        Task memory task = market.taskOf(id);
        assertState(id, State.Posted);
        vm.assertEq(task.until, START + WINDOW, "window");
        vm.assertEq(task.outputTokens, TOKENS, "tokens");
        vm.assertEq(task.openDemands, 0, "demands");
        Round memory round = market.roundOf(id);
        vm.assertEq(round.winners, 2, "winners");
        vm.assertEq(round.verdict, verdict, "verdict");
        assertSeat(id, 0, SeatState.Left);
        assertSeat(id, 1, SeatState.Won);
        assertAccount(replica(0), FUNDS, 0);
        assertAccount(replica(1), FUNDS - LEASE_BOND, LEASE_BOND);
    }

    function test_closeRound_winnersAreSettledLikeAnybody() public {
        TaskId id = won(three(0, 1, 0));
        pass(WINDOW);
        expectSkip(id, State.Posted, SkipReason.WindowOpen);
        settle(id);
        pass(1);
        uint96 each = uint96(CHARGE + 10_000);
        vm.expectEmit(address(market));
        emit IInferenceMarket.SeatPaid(id, replica(0), each, uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.SeatPaid(id, replica(2), each, uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSettled(id, address(0), 2 * each, 3_030_000 - 2 * each);
        vm.assertEq(settle(id), 1, "settled");
        assertAccount(replica(0), FUNDS + each, 0);
        assertAccount(replica(1), FUNDS, 0);
        assertAccount(REQUESTER, FUNDS - 2 * each, 0);
        expectSkip(id, State.Settled, SkipReason.WrongState);
        settle(id);
        assertAccount(replica(0), FUNDS + each, 0);
    }

    function test_closeRound_withoutAQuorumPaysHalf() public {
        TaskId id = revealed(three(0, 1, 2));
        uint96 half = uint96(CHARGE / 2);
        vm.expectEmit(address(market));
        emit IInferenceMarket.SeatPaid(id, replica(0), half, uint96(LEASE_BOND));
        market.closeRound(id);
        assertState(id, State.Refunded);
        for (uint256 i = 0; i < 3; ++i) {
            assertAccount(replica(i), FUNDS + half, 0);
        }
        assertAccount(REQUESTER, FUNDS - 3 * half, 0);
    }

    function test_closeRound_burnsWhatWasNotRevealed() public {
        TaskId id = revealing(three(0, 0, 0));
        revealAs(0, id, TOKENS, 0);
        pass(ANSWER_TIME);
        vm.expectRevert(refusal(IInferenceMarket.RevealRunning.selector, id, START + ANSWER_TIME));
        market.closeRound(id);
        pass(1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.CommitmentBurned(id, replica(1), uint96(LEASE_BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.NoQuorum, uint96(3_030_000 - CHARGE / 2));
        market.closeRound(id);
        assertAccount(replica(0), FUNDS + CHARGE / 2, 0);
        assertAccount(replica(1), FUNDS - LEASE_BOND, 0);
        vm.assertEq(market.burned(), 2 * LEASE_BOND, "burned");
    }

    function test_closeRound_withNothingRevealedRefundsAll() public {
        TaskId id = revealing(three(0, 0, 0));
        pass(ANSWER_TIME + 1);
        market.closeRound(id);
        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
        vm.assertEq(market.burned(), 3 * LEASE_BOND, "burned");
    }

    /// @dev A commitment is any 32 bytes; one that repeats a verdict must not lend it its own zero tokens.
    function test_closeRound_aCommitmentThatCopiesTheVerdictDoesNotLead() public {
        TaskId id = seated(3, 3);
        bytes32 verdict = verdictOf(bodyOf(id, replica(1), TOKENS, 0), TOKENS);
        vm.prank(replica(0));
        market.commit(id, verdict);
        commitAs(1, id, TOKENS, 0);
        commitAs(2, id, TOKENS, 0);
        revealAs(1, id, TOKENS, 0);
        revealAs(2, id, TOKENS, 0);
        pass(ANSWER_TIME + 1);
        market.closeRound(id);
        vm.assertEq(market.taskOf(id).outputTokens, TOKENS, "the winners' tokens");
        assertSeat(id, 0, SeatState.Burned);
        pass(WINDOW + 1);
        settle(id);
        assertAccount(replica(1), FUNDS + CHARGE + 10_000, 0);
    }

    function test_closeRound_everyQuorumOfEverySize() public {
        for (uint256 replicas = 3; replicas <= 7; replicas += 2) {
            for (uint256 equal = 1; equal <= replicas; ++equal) {
                setUp();
                uint256[] memory answers = new uint256[](replicas);
                for (uint256 i = equal; i < replicas; ++i) {
                    answers[i] = i;
                }
                TaskId id = won(answers);
                bool quorum = 2 * equal > replicas;
                assertState(id, quorum ? State.Posted : State.Refunded);
                vm.assertEq(market.roundOf(id).winners, quorum ? equal : 0, "winners");
            }
        }
    }

    /// @dev Tokens, tables and prompts count as well as roots; engines and workers do not.
    function test_closeRound_aVerdictIsMoreThanItsRoot() public {
        TaskId id = seated(3, 3);
        commitAs(0, id, 64, 0);
        commitAs(1, id, 65, 0);
        commitAs(2, id, 64, 0);
        revealAs(0, id, 64, 0);
        revealAs(1, id, 65, 0);
        revealAs(2, id, 64, 0);
        market.closeRound(id);
        vm.assertEq(market.roundOf(id).winners, 2, "winners");
        vm.assertEq(market.taskOf(id).outputTokens, 64, "tokens");
    }

    function test_fuzz_closeRound_paysOutWhatCameIn(uint48 maxFee, uint48 tip, uint8 flat, uint256 seed)
        public
    {
        Request memory request = roundRequest(uint8(3 + 2 * (seed % 3)));
        request.maxFee = uint48(bound(maxFee, 0, FUNDS / 14));
        request.tip = uint48(bound(tip, 0, FUNDS / 2));
        request.flatPercent = flat % 101;
        TaskId id = submit(request);
        for (uint256 i = 0; i < request.replicas; ++i) {
            claim(id, replica(i));
        }
        for (uint256 i = 0; i < request.replicas; ++i) {
            commitAs(i, id, uint32((seed >> i) % 3), (seed >> (8 + i)) % 2);
        }
        for (uint256 i = 0; i < request.replicas; ++i) {
            if ((seed >> (16 + i)) % 8 > 0) revealAs(i, id, uint32((seed >> i) % 3), (seed >> (8 + i)) % 2);
        }
        pass(ANSWER_TIME + 1);
        market.closeRound(id);
        pass(WINDOW + 1);
        settle(id);

        uint256 total = freeOf(REQUESTER) + market.burned();
        for (uint256 i = 0; i < 7; ++i) {
            total += freeOf(replica(i));
            vm.assertEq(lockedOf(replica(i)), 0, "nothing stays locked");
        }
        vm.assertEq(total, 8 * uint256(FUNDS), "nothing lost, nothing made");
    }
}
