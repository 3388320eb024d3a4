// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Batch, IInferenceMarket, State, Task, TaskId} from "../../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "../utils/MarketTest.sol";
import {vm} from "../utils/Vm.sol";
import {MarketHandler} from "./MarketHandler.sol";

/// @notice What holds after every call of every run. The numbers are those of the protocol page.
contract MarketInvariantTest is MarketTest {
    MarketHandler private _handler;

    function setUp() public override {
        vm.warp(START);
        market = deploy(parameters());
        _handler = new MarketHandler(market);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @dev One function, so that a run is checked on all of them.
    function invariant_law() public view {
        _I1_theBalanceIsAccountedFor();
        _I2_I12_everyEscrowLeavesOnceAndWhole();
        _I4_lockedIsTheSumOfLiveBonds();
        _I5_postedRootsStay();
        _I14_endedTasksStay();
    }

    /// @dev Else the invariants might hold because nothing happens.
    function test_handler_makesEveryMove() public {
        for (uint256 i = 0; i < 1500; ++i) {
            _call(uint256(keccak256(abi.encode(i))));
        }
        bytes32[10] memory kinds = [
            IInferenceMarket.TaskSubmitted.selector,
            IInferenceMarket.PriorityRaised.selector,
            IInferenceMarket.TaskClaimed.selector,
            IInferenceMarket.LeaseLapsed.selector,
            IInferenceMarket.LeaseReleased.selector,
            IInferenceMarket.ResultPosted.selector,
            IInferenceMarket.TaskSettled.selector,
            IInferenceMarket.TaskRefunded.selector,
            IInferenceMarket.TaskSkipped.selector,
            IInferenceMarket.Withdrawn.selector
        ];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.assertGe(_handler.moves(kinds[i]), 5, vm.toString(i));
        }
        vm.assertGe(_handler.refusals(), 5, "refused often");
        invariant_law();
    }

    function _call(uint256 seed) private {
        uint256 a = uint256(keccak256(abi.encode(seed, "a")));
        uint256 b = uint256(keccak256(abi.encode(seed, "b")));
        bool honest = a % 4 != 0;
        uint256 kind = seed % 12;
        if (kind == 0) _handler.withdraw(a, uint32(b), a / 7);
        else if (kind == 1) _handler.raiseTip(a, uint24(b), honest);
        else if (kind == 2) _handler.cancel(a, honest);
        else if (kind == 3) _handler.release(a, b, honest);
        else if (kind == 4) _handler.expire(a, b);
        else if (kind == 5) _handler.pass(uint16(a));
        else if (kind == 6) _handler.submitMany(a, b);
        else if (kind == 7) _handler.postBatch(a, b, honest);
        else if (kind == 8) _handler.claimMany(a, b);
        else if (kind == 9) _handler.settleMany(a, b);
        else if (kind == 10) _handler.deposit(a, uint32(b));
        else _handler.submit(a, b, a);
    }

    /// @notice I1: the balance is what accounts, live tasks and burned bonds add up to, and what came in less
    /// what went out.
    function _I1_theBalanceIsAccountedFor() private view {
        uint256 total = market.burned();
        for (uint256 i = 0; i < _handler.ACTORS(); ++i) {
            total += freeOf(_handler.actor(i)) + lockedOf(_handler.actor(i));
        }
        for (uint256 i = 0; i < _handler.taskCount(); ++i) {
            Task memory task = market.taskOf(_handler.ids(i));
            if (_live(task.state)) total += uint256(task.maxFee) + task.tip;
        }
        vm.assertEq(address(market).balance, total * UNIT, "accounted for");
        vm.assertEq(total, _handler.deposited() - _handler.withdrawn(), "came in");
        vm.assertEq(market.burned(), _handler.burned(), "burned");
    }

    /// @notice I2 and I12: an escrow leaves once, and whole.
    function _I2_I12_everyEscrowLeavesOnceAndWhole() private view {
        for (uint256 i = 0; i < _handler.taskCount(); ++i) {
            TaskId id = _handler.ids(i);
            bool live = _live(stateOf(id));
            vm.assertEq(_handler.exits(id), live ? 0 : 1, "exits");
            vm.assertEq(_handler.left(id), live ? 0 : _handler.escrow(id), "amount");
        }
    }

    /// @notice I4: what is locked is the bonds of live tasks.
    function _I4_lockedIsTheSumOfLiveBonds() private view {
        for (uint256 i = 0; i < _handler.ACTORS(); ++i) {
            address who = _handler.actor(i);
            uint256 bonds;
            for (uint256 j = 0; j < _handler.taskCount(); ++j) {
                Task memory task = market.taskOf(_handler.ids(j));
                bool bonded = task.state == State.Leased || task.state == State.Posted;
                if (bonded && task.worker == who) bonds += uint256(task.bondUnits) * BOND_UNIT;
            }
            vm.assertEq(lockedOf(who), bonds, "locked");
        }
    }

    /// @notice I5: a posted root never changes.
    function _I5_postedRootsStay() private view {
        for (uint256 i = 0; i < _handler.batchCount(); ++i) {
            bytes32 root = _handler.roots(i);
            vm.assertEq(keccak256(abi.encode(market.batch(root))), _handler.batches(root), "batch");
        }
    }

    /// @notice I14: an ended task never changes.
    function _I14_endedTasksStay() private view {
        for (uint256 i = 0; i < _handler.taskCount(); ++i) {
            TaskId id = _handler.ids(i);
            if (_live(stateOf(id))) continue;
            vm.assertEq(keccak256(abi.encode(market.taskOf(id))), _handler.ended(id), "task");
        }
    }

    function _live(State state) private pure returns (bool) {
        return state != State.None && state != State.Settled && state != State.Refunded;
    }
}
