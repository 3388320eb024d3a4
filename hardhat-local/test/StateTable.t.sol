// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket as Law,
    Receipt,
    SeatState,
    SkipReason,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {Situations} from "./utils/Situations.sol";
import {Vm, vm} from "./utils/Vm.sol";

/// @notice Every call in every situation a task can be in: the allowed move, or the exact refusal and nothing
/// changed.
/// @dev Each test is a row of the state table. The last case of each is what the table leaves empty.
contract StateTableTest is Situations {
    function test_situations_areWhatTheyAreCalled() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            assertState(id, state());
        }
    }

    // ------------------------------------------------------------------------------------------------ asking

    function test_submit_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            _opensOrIsRefused(request.requester, abi.encodeCall(Law.submit, (request)));
        }
    }

    function test_submitBySig_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            _opensOrIsRefused(STRANGER, abi.encodeCall(Law.submitBySig, (request, signed(request))));
        }
    }

    function test_submitMany_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            _opensOrIsSkipped(request.requester, abi.encodeCall(Law.submitMany, (one(request))));
        }
    }

    function test_submitManyBySig_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.submitManyBySig, (one(request), one(signed(request))));
            _opensOrIsSkipped(STRANGER, call);
        }
    }

    function test_revoke_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.revoke, (request));
            if (state() == State.None) _moves(request.requester, call, State.Refunded);
            else _refused(request.requester, call, wrongState(id, state()));
        }
    }

    function test_raiseTip_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.raiseTip, (id, 40_000));
            if (state() == State.Open) _moves(request.requester, call, State.Open);
            else _refused(request.requester, call, wrongState(id, state()));
        }
    }

    function test_cancel_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            _cancelsOrIsRefused(request.requester, abi.encodeCall(Law.cancel, (id)));
        }
    }

    function test_cancelBySig_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory signature = sign(SIGNER_KEY, market.hashCancel(id));
            _cancelsOrIsRefused(STRANGER, abi.encodeCall(Law.cancelBySig, (id, signature)));
        }
    }

    // ----------------------------------------------------------------------------------------------- working

    function test_claimMany_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.claimMany, (one(id)));
            if (
                isAny(Situation.Open, Situation.OpenAgain, Situation.LeaseLapsed)
                    || isAny(
                        Situation.SeatsSomeTaken,
                        Situation.SeatsAllLapsed,
                        Situation.SeatsSomeCommittedOthersLapsed
                    )
            ) {
                _moves(OTHER, call, State.Leased);
                vm.assertEq(lockedOf(OTHER), LEASE_BOND, "bonded");
            } else if (state() != State.Open && state() != State.Leased) {
                _skipped(OTHER, call, SkipReason.WrongState);
            } else if (_tooLateToLease()) {
                _skipped(OTHER, call, SkipReason.DeadlineTooSoon);
            } else {
                _skipped(OTHER, call, SkipReason.LeaseRunning);
            }
        }
    }

    function test_release_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.release, (id));
            if (isAny(Situation.LeaseRunning, Situation.SeatsSomeTaken)) {
                _moves(holder(), call, State.Open);
            } else if (isAny(Situation.SeatsAllTaken, Situation.SeatsSomeCommitted)) {
                _moves(holder(), call, State.Leased);
            } else if (state() != State.Leased) {
                _refused(holder(), call, wrongState(id, state()));
            } else if (isRound() && _firstSeat() != SeatState.Leased) {
                _refused(holder(), call, wrongSeat(Law.WrongSeat.selector, id, holder(), _firstSeat()));
            } else {
                _refused(holder(), call, refusal(Law.LeaseEnded.selector, id, START + 100));
            }
        }
    }

    function test_postBatch_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.postBatch, (one(Receipt(id, keccak256("body"), 10))));
            if (state() != State.Leased) _skipped(holder(), call, SkipReason.WrongState);
            else if (isRound()) _skipped(holder(), call, SkipReason.Replicated);
            else if (_afterDeadline()) _skipped(holder(), call, SkipReason.DeadlinePassed);
            else _moves(holder(), call, State.Posted);
        }
    }

    // -------------------------------------------------------------------------------------------- replicas

    function test_commit_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.commit, (id, keccak256("commitment")));
            if (_refusedAsNoRound(holder(), call)) continue;
            if (_firstSeat() != SeatState.Leased) {
                _refused(holder(), call, wrongSeat(Law.WrongSeat.selector, id, holder(), _firstSeat()));
            } else if (_afterDeadline()) {
                _refused(holder(), call, refusal(Law.DeadlinePassed.selector, id, request.deadline));
            } else {
                _moves(holder(), call, State.Leased);
                vm.assertEq(uint256(_firstSeat()), uint256(SeatState.Committed), "seat");
            }
        }
    }

    function test_openReveal_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.openReveal, (id));
            if (_refusedAsNoRound(STRANGER, call)) continue;
            if (situation == Situation.SeatsWithQuorumAfterDeadline) {
                _moves(STRANGER, call, State.Leased);
                vm.assertEq(market.taskOf(id).until, block.timestamp + ANSWER_TIME, "reveal");
                vm.assertEq(uint256(_firstSeat()), uint256(SeatState.Burned), "seat");
            } else {
                uint256 committed = market.roundOf(id).committed;
                _refused(STRANGER, call, refusal(Law.RevealNotDue.selector, id, committed));
            }
        }
    }

    function test_reveal_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call =
                abi.encodeCall(Law.reveal, (bodyOf(id, holder(), TOKENS, 0), TOKENS, saltOf(holder())));
            if (_refusedAsNoRound(STRANGER, call)) continue;
            if (situation == Situation.RevealRunning) {
                _moves(STRANGER, call, State.Leased);
                vm.assertEq(uint256(_firstSeat()), uint256(SeatState.Revealed), "seat");
            } else if (situation < Situation.RevealRunning) {
                _refused(STRANGER, call, refusal(Law.RevealNotOpen.selector, id));
            } else if (situation == Situation.RevealOver) {
                _refused(STRANGER, call, refusal(Law.RevealEnded.selector, id, START + ANSWER_TIME));
            } else {
                _refused(STRANGER, call, wrongSeat(Law.WrongSeat.selector, id, holder(), _firstSeat()));
            }
        }
    }

    function test_closeRound_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.closeRound, (id));
            if (_refusedAsNoRound(STRANGER, call)) continue;
            if (isAny(Situation.RevealCompleteWithQuorum, Situation.RevealOver)) {
                _moves(STRANGER, call, State.Posted);
            } else if (situation == Situation.RevealCompleteWithoutQuorum) {
                _moves(STRANGER, call, State.Refunded);
            } else if (situation < Situation.RevealRunning) {
                _refused(STRANGER, call, refusal(Law.RevealNotOpen.selector, id));
            } else {
                uint256 until = block.timestamp + ANSWER_TIME;
                _refused(STRANGER, call, refusal(Law.RevealRunning.selector, id, until));
            }
        }
    }

    // -------------------------------------------------------------------------------------- demands, doubts

    function test_demand_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.demand, (id, 1));
            if (state() != State.Posted && state() != State.Disputed) {
                _refused(OTHER, call, wrongState(id, state()));
            } else if (block.timestamp > START + WINDOW) {
                _refused(OTHER, call, refusal(Law.WindowEnded.selector, id, START + WINDOW));
            } else {
                uint256 before = market.taskOf(id).openDemands;
                _moves(OTHER, call, state());
                vm.assertEq(market.taskOf(id).openDemands, before + 1, "demands");
            }
        }
    }

    function test_answer_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.answer, (id, 0, evidenceOf(id, holder(), TOKENS, 0)));
            if (_refusedWithoutDemand(call)) continue;
            if (isAny(Situation.PostedWithDemand, Situation.DisputedWithDemand)) {
                _moves(STRANGER, call, state());
                vm.assertEq(market.taskOf(id).openDemands, 0, "demands");
            } else {
                _refused(STRANGER, call, refusal(Law.AnswerTimeOver.selector, id, 0, START + ANSWER_TIME));
            }
        }
    }

    function test_lapseDemand_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.lapseDemand, (id, 0));
            if (_refusedWithoutDemand(call)) continue;
            if (isAny(Situation.PostedWithDemand, Situation.DisputedWithDemand)) {
                bytes memory running = refusal(Law.AnswerTimeRunning.selector, id, 0, START + ANSWER_TIME);
                _refused(STRANGER, call, running);
            } else {
                _moves(STRANGER, call, State.Refunded);
            }
        }
    }

    function test_closeDemand_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.closeDemand, (id, 2));
            if (state() != State.Settled && state() != State.Refunded) {
                _refused(STRANGER, call, wrongState(id, state()));
            } else if (situation == Situation.RefundedWithDemand) {
                _moves(STRANGER, call, State.Refunded);
                assertAccount(OTHER, FUNDS, 0);
            } else {
                _refused(STRANGER, call, refusal(Law.NoDemand.selector, id, 2));
            }
        }
    }

    function test_challenge_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.challenge, (id));
            if (state() != State.Posted) {
                _refused(OTHER, call, wrongState(id, state()));
            } else if (block.timestamp > START + WINDOW) {
                _refused(OTHER, call, refusal(Law.WindowEnded.selector, id, START + WINDOW));
            } else {
                _moves(OTHER, call, State.Disputed);
            }
        }
    }

    function test_rule_inEverySituation() public {
        for (uint256 i = 0; i < 2 * SITUATIONS; ++i) {
            reach(i / 2);
            bool faulty = i % 2 == 1;
            bytes memory call = abi.encodeCall(Law.rule, (id, faulty));
            if (_refusedAsNotRipe(ARBITER, call)) continue;
            if (situation == Situation.DisputedTimedOut) {
                _refused(ARBITER, call, refusal(Law.RulingTooLate.selector, id, START + ARBITER_TIMEOUT));
            } else {
                _moves(ARBITER, call, faulty ? State.Refunded : State.Settled);
            }
        }
    }

    function test_timeout_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.timeout, (id));
            if (_refusedAsNotRipe(STRANGER, call)) continue;
            if (situation == Situation.DisputedTimedOut) {
                _moves(STRANGER, call, State.Settled);
            } else {
                _refused(STRANGER, call, refusal(Law.RulingTimeRunning.selector, id, START + ARBITER_TIMEOUT));
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ ending

    function test_settleMany_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.settleMany, (one(id)));
            if (state() != State.Posted) _skipped(STRANGER, call, SkipReason.WrongState);
            else if (block.timestamp <= START + WINDOW) _skipped(STRANGER, call, SkipReason.WindowOpen);
            else if (_demandOpen()) _skipped(STRANGER, call, SkipReason.DemandsOpen);
            else _moves(STRANGER, call, State.Settled);
        }
    }

    function test_expire_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            reach(i);
            bytes memory call = abi.encodeCall(Law.expire, (id));
            if (state() != State.Open && state() != State.Leased) {
                _refused(STRANGER, call, wrongState(id, state()));
            } else if (!_afterDeadline()) {
                _refused(STRANGER, call, refusal(Law.DeadlineNotPassed.selector, id, request.deadline));
            } else if (isAny(Situation.SeatsWithQuorumAfterDeadline, Situation.RevealRunningAfterDeadline)) {
                _refused(STRANGER, call, refusal(Law.QuorumCommitted.selector, id));
            } else {
                _moves(STRANGER, call, State.Refunded);
            }
        }
    }

    // ------------------------------------------------------------------------------------- rows with a twin

    function _opensOrIsRefused(address caller, bytes memory call) private {
        if (situation == Situation.None) {
            _moves(caller, call, State.Open);
        } else if (_tooLateToLease()) {
            uint256 earliest = block.timestamp + request.leaseSecs;
            _refused(
                caller, call, abi.encodeWithSelector(Law.DeadlineTooSoon.selector, request.deadline, earliest)
            );
        } else {
            _refused(caller, call, wrongState(id, state()));
        }
    }

    function _opensOrIsSkipped(address caller, bytes memory call) private {
        if (situation == Situation.None) _moves(caller, call, State.Open);
        else if (_tooLateToLease()) _skipped(caller, call, SkipReason.DeadlineTooSoon);
        else _skipped(caller, call, SkipReason.WrongState);
    }

    function _cancelsOrIsRefused(address caller, bytes memory call) private {
        if (state() != State.Open && state() != State.Leased) {
            _refused(caller, call, wrongState(id, state()));
        } else if (isRound() && situation >= Situation.SeatsSomeCommitted) {
            _refused(caller, call, refusal(Law.AlreadyCommitted.selector, id));
        } else if (isAny(Situation.LeaseRunning, Situation.SeatsSomeTaken, Situation.SeatsAllTaken)) {
            _refused(caller, call, refusal(Law.LeaseRunning.selector, id, START + 100));
        } else {
            _moves(caller, call, State.Refunded);
            if (situation == Situation.LeaseLapsed) assertAccount(WORKER, FUNDS - LEASE_BOND, 0);
        }
    }

    function _refusedAsNoRound(address caller, bytes memory call) private returns (bool) {
        if (state() == State.Leased && isRound()) return false;
        bytes memory expected =
            state() == State.Leased ? refusal(Law.NotReplicated.selector, id) : wrongState(id, state());
        _refused(caller, call, expected);
        return true;
    }

    function _refusedWithoutDemand(bytes memory call) private returns (bool) {
        if (_demandOpen()) return false;
        bool contested = state() == State.Posted || state() == State.Disputed;
        _refused(STRANGER, call, contested ? refusal(Law.NoDemand.selector, id, 0) : wrongState(id, state()));
        return true;
    }

    function _refusedAsNotRipe(address caller, bytes memory call) private returns (bool) {
        if (state() == State.Disputed && !_demandOpen()) return false;
        bytes memory expected =
            state() == State.Disputed ? refusal(Law.DemandsOpen.selector, id, 1) : wrongState(id, state());
        _refused(caller, call, expected);
        return true;
    }

    // ------------------------------------------------------------------------------------------------- facts

    function _tooLateToLease() private view returns (bool) {
        return block.timestamp + request.leaseSecs > request.deadline;
    }

    function _afterDeadline() private view returns (bool) {
        return block.timestamp > request.deadline;
    }

    /// @dev Of leaf 0, in a task that is not over.
    function _demandOpen() private view returns (bool) {
        return isAny(Situation.PostedWithDemand, Situation.PostedWithDemandLapsed)
            || isAny(Situation.DisputedWithDemand, Situation.DisputedWithDemandLapsed);
    }

    function _firstSeat() private view returns (SeatState) {
        return market.seatOf(id, 0).state;
    }

    // ------------------------------------------------------------------------------------------------ checks

    function _moves(address caller, bytes memory call, State next) private {
        bytes32 before = _world();
        (bool taken,) = _call(caller, call);
        vm.assertTrue(taken, string.concat("moves ", vm.toString(uint256(situation))));
        assertState(id, next);
        vm.assertTrue(_world() != before, "something changed");
    }

    function _refused(address caller, bytes memory call, bytes memory expected) private {
        bytes32 before = _world();
        (bool taken, bytes memory answer) = _call(caller, call);
        vm.assertTrue(!taken, string.concat("refused ", vm.toString(uint256(situation))));
        vm.assertEq(
            keccak256(answer), keccak256(expected), string.concat("refusal ", vm.toString(uint256(situation)))
        );
        vm.assertEq(_world(), before, "nothing changed");
    }

    function _skipped(address caller, bytes memory call, SkipReason reason) private {
        bytes32 before = _world();
        vm.recordLogs();
        (bool taken,) = _call(caller, call);
        vm.assertTrue(taken, "skipped");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, string.concat("one event ", vm.toString(uint256(situation))));
        vm.assertEq(logs[0].topics[0], Law.TaskSkipped.selector, "skipped");
        vm.assertEq(logs[0].topics[1], TaskId.unwrap(id), "id");
        vm.assertEq(
            keccak256(logs[0].data),
            keccak256(abi.encode(state(), reason)),
            string.concat("reason ", vm.toString(uint256(situation)))
        );
        vm.assertEq(_world(), before, "nothing changed");
    }

    function _call(address caller, bytes memory call) private returns (bool, bytes memory) {
        vm.prank(caller);
        return address(market).call(call);
    }

    function _world() private view returns (bytes32 world) {
        world = keccak256(
            abi.encode(
                market.taskOf(id),
                market.roundOf(id),
                market.demandOf(id, 0),
                market.demandOf(id, 1),
                market.demandOf(id, 2),
                market.disputeOf(id),
                market.burned()
            )
        );
        address[8] memory accounts =
            [request.requester, WORKER, OTHER, STRANGER, CHALLENGER, ARBITER, replica(0), replica(1)];
        for (uint256 i = 0; i < accounts.length; ++i) {
            world = keccak256(abi.encode(world, market.account(accounts[i])));
        }
        for (uint256 i = 0; i < 3; ++i) {
            world = keccak256(abi.encode(world, market.seatOf(id, i)));
        }
    }
}
