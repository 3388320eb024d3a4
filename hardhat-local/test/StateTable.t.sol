// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Receipt,
    Request,
    SkipReason,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {Vm, vm} from "./utils/Vm.sol";

/// @notice Every call in every situation a task can be in: the allowed move, or the exact refusal and nothing
/// changed.
/// @dev A situation is a state together with what time has done to it.
contract StateTableTest is MarketTest {
    enum Situation {
        None,
        Open,
        OpenTooLateToLease,
        OpenAfterDeadline,
        LeaseRunning,
        LeaseLapsed,
        LeaseLapsedTooLateToLease,
        LeaseAfterDeadline,
        Posted,
        PostedAfterWindow,
        Settled,
        Cancelled,
        Expired
    }

    uint256 private constant SITUATIONS = uint256(type(Situation).max) + 1;

    Request private _request;
    TaskId private _id;

    // ------------------------------------------------------------------------------------------ single calls

    function test_submit_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.submit, (_request));
            if (situation == Situation.None) {
                _moves(REQUESTER, call, State.Open);
            } else if (_tooLateToLease()) {
                _refused(
                    REQUESTER,
                    call,
                    abi.encodeWithSelector(
                        IInferenceMarket.DeadlineTooSoon.selector,
                        _request.deadline,
                        block.timestamp + _request.leaseSecs
                    )
                );
            } else {
                _refused(REQUESTER, call, wrongState(_id, state));
            }
        }
    }

    function test_raiseTip_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.raiseTip, (_id, 40_000));
            if (state == State.Open) _moves(REQUESTER, call, State.Open);
            else _refused(REQUESTER, call, wrongState(_id, state));
        }
    }

    function test_cancel_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.cancel, (_id));
            if (situation == Situation.LeaseRunning) {
                uint32 until = market.taskOf(_id).until;
                _refused(
                    REQUESTER,
                    call,
                    abi.encodeWithSelector(IInferenceMarket.LeaseRunning.selector, _id, until)
                );
            } else if (state == State.Open || state == State.Leased) {
                _moves(REQUESTER, call, State.Refunded);
                assertAccount(WORKER, state == State.Leased ? FUNDS - 2 * BOND_UNIT : FUNDS, 0);
            } else {
                _refused(REQUESTER, call, wrongState(_id, state));
            }
        }
    }

    function test_release_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.release, (_id));
            if (situation == Situation.LeaseRunning) {
                _moves(WORKER, call, State.Open);
            } else if (state == State.Leased) {
                uint32 until = market.taskOf(_id).until;
                _refused(
                    WORKER, call, abi.encodeWithSelector(IInferenceMarket.LeaseEnded.selector, _id, until)
                );
            } else {
                _refused(WORKER, call, wrongState(_id, state));
            }
        }
    }

    function test_expire_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.expire, (_id));
            if (situation == Situation.OpenAfterDeadline || situation == Situation.LeaseAfterDeadline) {
                _moves(STRANGER, call, State.Refunded);
            } else if (state == State.Open || state == State.Leased) {
                _refused(
                    STRANGER,
                    call,
                    abi.encodeWithSelector(
                        IInferenceMarket.DeadlineNotPassed.selector, _id, _request.deadline
                    )
                );
            } else {
                _refused(STRANGER, call, wrongState(_id, state));
            }
        }
    }

    // -------------------------------------------------------------------------------------------- many calls

    function test_submitMany_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.submitMany, (one(_request)));
            if (situation == Situation.None) _moves(REQUESTER, call, State.Open);
            else if (_tooLateToLease()) _skipped(REQUESTER, call, state, SkipReason.DeadlineTooSoon);
            else _skipped(REQUESTER, call, state, SkipReason.WrongState);
        }
    }

    function test_claimMany_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.claimMany, (one(_id)));
            if (situation == Situation.Open || situation == Situation.LeaseLapsed) {
                _moves(OTHER, call, State.Leased);
                vm.assertEq(market.taskOf(_id).worker, OTHER, "worker");
            } else if (situation == Situation.LeaseRunning) {
                _skipped(OTHER, call, state, SkipReason.LeaseRunning);
            } else if (state == State.Open || state == State.Leased) {
                _skipped(OTHER, call, state, SkipReason.DeadlineTooSoon);
            } else {
                _skipped(OTHER, call, state, SkipReason.WrongState);
            }
        }
    }

    function test_postBatch_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call =
                abi.encodeCall(IInferenceMarket.postBatch, (one(Receipt(_id, keccak256("body"), 10))));
            if (situation == Situation.LeaseAfterDeadline) {
                _skipped(WORKER, call, state, SkipReason.DeadlinePassed);
            } else if (state == State.Leased) {
                _moves(WORKER, call, State.Posted);
            } else {
                _skipped(WORKER, call, state, SkipReason.WrongState);
            }
        }
    }

    function test_settleMany_inEverySituation() public {
        for (uint256 i = 0; i < SITUATIONS; ++i) {
            (Situation situation, State state) = _reach(i);
            bytes memory call = abi.encodeCall(IInferenceMarket.settleMany, (one(_id)));
            if (situation == Situation.PostedAfterWindow) _moves(STRANGER, call, State.Settled);
            else if (situation == Situation.Posted) _skipped(STRANGER, call, state, SkipReason.WindowOpen);
            else _skipped(STRANGER, call, state, SkipReason.WrongState);
        }
    }

    // -------------------------------------------------------------------------------------------- situations

    /// @dev A market of its own with one task in that situation.
    function _reach(uint256 number) private returns (Situation situation, State state) {
        setUp();
        situation = Situation(number);
        _request = someRequest();
        _id = market.hashRequest(_request);
        if (situation == Situation.None) return (situation, State.None);
        submit(_request);
        if (situation == Situation.OpenTooLateToLease) vm.warp(START + 901);
        if (situation == Situation.OpenAfterDeadline) vm.warp(START + 1001);
        if (situation == Situation.Cancelled) {
            vm.prank(REQUESTER);
            market.cancel(_id);
            state = State.Refunded;
        } else if (situation == Situation.Expired) {
            vm.warp(START + 1001);
            market.expire(_id);
            state = State.Refunded;
        } else if (situation <= Situation.OpenAfterDeadline) {
            state = State.Open;
        } else {
            claim(_id, WORKER);
            state = State.Leased;
            if (situation == Situation.LeaseLapsed) vm.warp(START + 101);
            if (situation == Situation.LeaseLapsedTooLateToLease) vm.warp(START + 901);
            if (situation == Situation.LeaseAfterDeadline) vm.warp(START + 1001);
            if (situation >= Situation.Posted) {
                post(_id, WORKER, 10);
                state = State.Posted;
            }
            if (situation >= Situation.PostedAfterWindow) pass(WINDOW + 1);
            if (situation == Situation.Settled) {
                settle(_id);
                state = State.Settled;
            }
        }
        assertState(_id, state);
    }

    function _tooLateToLease() private view returns (bool) {
        return block.timestamp + _request.leaseSecs > _request.deadline;
    }

    // ------------------------------------------------------------------------------------------------ checks

    function _moves(address caller, bytes memory call, State next) private {
        (bool taken,) = _call(caller, call);
        vm.assertTrue(taken, "moves");
        assertState(_id, next);
    }

    function _refused(address caller, bytes memory call, bytes memory refusal) private {
        bytes32 before = _world();
        (bool taken, bytes memory answer) = _call(caller, call);
        vm.assertTrue(!taken, "refused");
        vm.assertEq(keccak256(answer), keccak256(refusal), "refusal");
        vm.assertEq(_world(), before, "nothing changed");
    }

    function _skipped(address caller, bytes memory call, State state, SkipReason reason) private {
        bytes32 before = _world();
        vm.recordLogs();
        (bool taken,) = _call(caller, call);
        vm.assertTrue(taken, "skipped");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(logs[0].topics[0], IInferenceMarket.TaskSkipped.selector, "skipped");
        vm.assertEq(logs[0].topics[1], TaskId.unwrap(_id), "id");
        vm.assertEq(keccak256(logs[0].data), keccak256(abi.encode(state, reason)), "state and reason");
        vm.assertEq(_world(), before, "nothing changed");
    }

    function _call(address caller, bytes memory call) private returns (bool, bytes memory) {
        vm.prank(caller);
        return address(market).call(call);
    }

    function _world() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                market.taskOf(_id),
                market.account(REQUESTER),
                market.account(WORKER),
                market.account(OTHER),
                market.account(STRANGER),
                market.burned()
            )
        );
    }
}
