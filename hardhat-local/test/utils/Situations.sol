// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Request, State, TaskId} from "../../contracts/interfaces/IInferenceMarket.sol";
import {LawTest} from "./LawTest.sol";
import {vm} from "./Vm.sol";

/// @notice Every situation of a task: its state together with what time and its workers have done to it.
abstract contract Situations is LawTest {
    /// @dev `Seats...`, `Reveal...` and `Round...` are of three replicas, the others of one.
    enum Situation {
        None,
        Revoked,
        Open,
        OpenAgain,
        OpenTooLateToLease,
        OpenAfterDeadline,
        LeaseRunning,
        LeaseLapsed,
        LeaseLapsedTooLateToLease,
        LeaseAfterDeadline,
        SeatsSomeTaken,
        SeatsAllTaken,
        SeatsAllLapsed,
        SeatsSomeCommitted,
        SeatsSomeCommittedOthersLapsed,
        SeatsWithoutQuorumAfterDeadline,
        SeatsWithQuorumAfterDeadline,
        RevealRunning,
        RevealRunningAfterDeadline,
        RevealCompleteWithQuorum,
        RevealCompleteWithoutQuorum,
        RevealOver,
        Posted,
        PostedAfterWindow,
        PostedWithDemand,
        PostedWithDemandLapsed,
        PostedAnswered,
        RoundPosted,
        RoundPostedAfterWindow,
        Disputed,
        DisputedAfterWindow,
        DisputedWithDemand,
        DisputedWithDemandLapsed,
        DisputedTimedOut,
        RoundDisputed,
        Settled,
        SettledByRuling,
        Cancelled,
        Expired,
        RefundedWithDemand
    }

    uint256 internal constant SITUATIONS = uint256(type(Situation).max) + 1;

    Situation internal situation;
    Request internal request;
    TaskId internal id;

    /// @dev A market of its own with one task in that situation.
    function reach(uint256 number) internal {
        setUp();
        situation = Situation(number);
        bool round = isRound();
        request = signerRequest();
        if (round) (request.replicas, request.equivalence) = (3, keccak256("class"));
        id = market.hashRequest(request);
        if (situation == Situation.None) return;
        if (situation == Situation.Revoked) {
            vm.prank(request.requester);
            market.revoke(request);
            return;
        }
        submit(request);
        if (situation <= Situation.OpenAfterDeadline || situation == Situation.Cancelled) _whileOpen();
        else if (situation == Situation.Expired) _expire();
        else if (round) _round();
        else _lease();
    }

    function isRound() internal view returns (bool) {
        return (situation >= Situation.SeatsSomeTaken && situation <= Situation.RevealOver)
            || situation == Situation.RoundPosted || situation == Situation.RoundPostedAfterWindow
            || situation == Situation.RoundDisputed;
    }

    function isAny(Situation a, Situation b) internal view returns (bool) {
        return situation == a || situation == b;
    }

    function isAny(Situation a, Situation b, Situation c) internal view returns (bool) {
        return isAny(a, b) || situation == c;
    }

    /// @dev The state that belongs to the situation, written down once more.
    function state() internal view returns (State) {
        if (situation == Situation.None) return State.None;
        if (situation == Situation.Revoked || situation >= Situation.Cancelled) return State.Refunded;
        if (situation <= Situation.OpenAfterDeadline) return State.Open;
        if (situation <= Situation.RevealOver) return State.Leased;
        if (situation <= Situation.RoundPostedAfterWindow) return State.Posted;
        return situation <= Situation.RoundDisputed ? State.Disputed : State.Settled;
    }

    /// @dev Who holds the lease, or the first seat.
    function holder() internal view returns (address) {
        return isRound() ? replica(0) : WORKER;
    }

    // ------------------------------------------------------------------------------------------------- stages

    function _whileOpen() private {
        if (situation == Situation.OpenAgain) {
            claim(id, WORKER);
            pass(3);
            vm.prank(WORKER);
            market.release(id);
        }
        if (situation == Situation.OpenTooLateToLease) vm.warp(START + 901);
        if (situation == Situation.OpenAfterDeadline) vm.warp(START + 1001);
        if (situation == Situation.Cancelled) {
            vm.prank(request.requester);
            market.cancel(id);
        }
    }

    function _expire() private {
        vm.warp(START + 1001);
        market.expire(id);
    }

    function _lease() private {
        claim(id, WORKER);
        if (situation == Situation.LeaseLapsed) vm.warp(START + 101);
        if (situation == Situation.LeaseLapsedTooLateToLease) vm.warp(START + 901);
        if (situation == Situation.LeaseAfterDeadline) vm.warp(START + 1001);
        if (situation <= Situation.LeaseAfterDeadline) return;
        postOutput(id, WORKER, TOKENS);
        _afterPost();
    }

    function _round() private {
        uint256 taken = situation == Situation.SeatsSomeTaken ? 1 : 3;
        for (uint256 i = 0; i < taken; ++i) {
            claim(id, replica(i));
        }
        if (situation == Situation.SeatsSomeTaken || situation == Situation.SeatsAllTaken) return;
        if (situation == Situation.SeatsAllLapsed) return vm.warp(START + 101);

        bool apart = situation == Situation.RevealCompleteWithoutQuorum;
        commitAs(1, id, TOKENS, apart ? 1 : 0);
        if (situation == Situation.SeatsSomeCommitted) return;
        if (situation == Situation.SeatsSomeCommittedOthersLapsed) return vm.warp(START + 101);
        if (situation == Situation.SeatsWithoutQuorumAfterDeadline) return vm.warp(START + 1001);
        commitAs(2, id, TOKENS, apart ? 2 : 0);
        if (situation == Situation.SeatsWithQuorumAfterDeadline) return vm.warp(START + 1001);
        if (situation == Situation.RevealRunningAfterDeadline) {
            vm.warp(START + 1001);
            return market.openReveal(id);
        }
        commitAs(0, id, TOKENS, 0);
        if (situation == Situation.RevealRunning) return;

        revealAs(1, id, TOKENS, apart ? 1 : 0);
        revealAs(2, id, TOKENS, apart ? 2 : 0);
        if (situation == Situation.RevealOver) return pass(ANSWER_TIME + 1);
        revealAs(0, id, TOKENS, 0);
        if (situation <= Situation.RevealOver) return;
        market.closeRound(id);
        if (situation == Situation.RoundPostedAfterWindow) pass(WINDOW + 1);
        if (situation == Situation.RoundDisputed) challengeTask(id);
    }

    function _afterPost() private {
        if (situation == Situation.RefundedWithDemand) {
            demandLeaf(id, 2);
            demandLeaf(id, 0);
            pass(ANSWER_TIME + 1);
            return market.lapseDemand(id, 0);
        }
        if (situation >= Situation.Disputed && situation != Situation.Settled) challengeTask(id);
        if (
            isAny(Situation.PostedWithDemand, Situation.PostedWithDemandLapsed, Situation.DisputedWithDemand)
                || isAny(Situation.DisputedWithDemandLapsed, Situation.PostedAnswered)
        ) demandLeaf(id, 0);
        if (situation == Situation.PostedAnswered) market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        if (isAny(Situation.PostedAfterWindow, Situation.DisputedAfterWindow, Situation.Settled)) {
            pass(WINDOW + 1);
        }
        if (isAny(Situation.PostedWithDemandLapsed, Situation.PostedAnswered)) pass(WINDOW + 1);
        if (situation == Situation.DisputedWithDemandLapsed) pass(ANSWER_TIME + 1);
        if (situation == Situation.DisputedTimedOut) pass(ARBITER_TIMEOUT + 1);
        if (situation == Situation.Settled) settle(id);
        if (situation == Situation.SettledByRuling) ruleTask(id, false);
    }
}
