// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Parameters,
    SeatState,
    State,
    Task,
    TaskId
} from "../../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "../utils/MarketTest.sol";
import {vm} from "../utils/Vm.sol";
import {LawHandler} from "./LawHandler.sol";
import {TurncoatToken} from "./Turncoats.sol";

/// @notice What holds after every call of every run. The numbers are those of the protocol page.
contract MarketInvariantTest is MarketTest {
    LawHandler private _handler;
    TurncoatToken internal token;

    function setUp() public override {
        vm.warp(START);
        token = _currency();
        market = deploy(parameters());
        _handler = new LawHandler(market, token);
    }

    /// @dev Zero: ether.
    function _currency() internal virtual returns (TurncoatToken) {
        return TurncoatToken(address(0));
    }

    function parameters() internal view override returns (Parameters memory p) {
        p = super.parameters();
        p.token = address(token);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @dev One function, so that a run is checked on all of them.
    function invariant_law() public view {
        _I1_theBalanceIsAccountedFor();
        _I2_I12_everyEscrowLeavesOnceAndWhole();
        _I4_I8_lockedIsTheSumOfLiveBonds();
        _I5_postedRootsStay();
        _I14_endedTasksStay();
    }

    /// @notice I6: wherever a run has come to.
    function afterInvariant() public {
        _handler.endEverything();
        invariant_law();
        vm.assertEq(_held(), market.burned() * UNIT, "only what was burned stays");
    }

    /// @dev Else the invariants might hold because nothing happens.
    function test_handler_makesEveryMove() public {
        for (uint256 i = 0; i < 2500; ++i) {
            _call(uint256(keccak256(abi.encode(i))));
        }
        bytes32[22] memory kinds = [
            IInferenceMarket.TaskSubmitted.selector,
            IInferenceMarket.PriorityRaised.selector,
            IInferenceMarket.RequestRevoked.selector,
            IInferenceMarket.TaskClaimed.selector,
            IInferenceMarket.LeaseLapsed.selector,
            IInferenceMarket.LeaseReleased.selector,
            IInferenceMarket.ResultPosted.selector,
            IInferenceMarket.ResultCommitted.selector,
            IInferenceMarket.RevealOpened.selector,
            IInferenceMarket.ResultRevealed.selector,
            IInferenceMarket.CommitmentBurned.selector,
            IInferenceMarket.SeatPaid.selector,
            IInferenceMarket.RoundWon.selector,
            IInferenceMarket.LeafDemanded.selector,
            IInferenceMarket.LeafAnswered.selector,
            IInferenceMarket.DemandLapsed.selector,
            IInferenceMarket.TaskChallenged.selector,
            IInferenceMarket.TaskRuled.selector,
            IInferenceMarket.TaskSettled.selector,
            IInferenceMarket.TaskRefunded.selector,
            IInferenceMarket.TaskSkipped.selector,
            IInferenceMarket.Withdrawn.selector
        ];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.assertGe(_handler.moves(kinds[i]), 1, vm.toString(i));
        }
        vm.assertGe(_handler.refusals(), 5, "refused often");
        afterInvariant();
    }

    function _call(uint256 seed) private {
        uint256 a = uint256(keccak256(abi.encode(seed, "a")));
        uint256 b = uint256(keccak256(abi.encode(seed, "b")));
        if (seed % 2 == 0) _work(seed / 2 % 13, a, b, a % 4 != 0);
        else _doubt(seed / 2 % 17, a, b);
    }

    function _work(uint256 kind, uint256 a, uint256 b, bool honest) private {
        if (kind == 0) _handler.withdraw(a, uint32(b), a / 7);
        else if (kind == 1) _handler.raiseTip(a, uint24(b), honest);
        else if (kind == 2) _handler.cancel(a, honest);
        else if (kind == 3) _handler.release(a, b, honest);
        else if (kind == 4) _handler.expire(a, b);
        else if (kind == 5) _handler.pass(uint16(a));
        else if (kind == 6) _handler.submitMany(a, b);
        else if (kind <= 8) _handler.postBatch(a, b, honest);
        else if (kind == 9) _handler.claimMany(a, b);
        else if (kind == 10) _handler.settleMany(a, b);
        else if (kind == 11) _handler.deposit(a, uint32(b));
        else _handler.submit(a, b, a);
    }

    function _doubt(uint256 kind, uint256 a, uint256 b) private {
        if (kind == 0) {
            _handler.submitBySig(a, b, a / 3);
        } else if (kind == 1) {
            _handler.cancelBySig(a, b);
        } else if (kind == 2) {
            _handler.revoke(a, b);
        } else if (kind == 3) {
            _handler.turn(a, b, a / 3);
        } else if (kind <= 5) {
            _handler.crowd(uint64(a), uint8(b), uint8(a / 3));
        } else if (kind == 6) {
            _handler.commit(a, b);
        } else if (kind == 7) {
            _handler.openReveal(a);
        } else if (kind == 8) {
            _handler.reveal(a, b);
        } else if (kind == 9) {
            _handler.closeRound(a);
        } else if (kind == 10) {
            _handler.demand(a, b, uint32(a));
        } else if (kind == 11) {
            _handler.answer(a, b, uint32(b));
        } else if (kind == 12) {
            a % 2 == 0 ? _handler.lapseDemand(a) : _handler.closeDemand(a);
        } else if (kind == 13) {
            _handler.challenge(a, b);
        } else if (kind == 14) {
            _handler.rule(a, b % 2 == 0);
        } else if (kind == 15) {
            _handler.timeout(a);
        } else {
            _handler.workAndDoubts(uint64(a), uint8(b));
        }
    }

    /// @notice I1: the balance is what accounts, live tasks, challenges, demands and burned bonds add up to, and
    /// what came in less what went out.
    function _I1_theBalanceIsAccountedFor() private view {
        uint256 total = market.burned();
        for (uint256 i = 0; i <= _handler.ACTORS(); ++i) {
            total += freeOf(_who(i)) + lockedOf(_who(i));
        }
        for (uint256 i = 0; i < _handler.taskCount(); ++i) {
            TaskId id = _handler.ids(i);
            State state = stateOf(id);
            if (_live(state)) total += _handler.escrow(id);
            if (state == State.Disputed) total += CHALLENGE_BOND;
            for (uint32 leaf = 0; leaf < _handler.LEAVES(); ++leaf) {
                if (market.demandOf(id, leaf).until != 0) total += DEMAND_FEE;
            }
        }
        vm.assertEq(_held(), total * UNIT, "accounted for");
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

    /// @notice I4: what is locked is the bonds of live tasks. I8: nobody has two seats of one.
    function _I4_I8_lockedIsTheSumOfLiveBonds() private view {
        for (uint256 i = 0; i <= _handler.ACTORS(); ++i) {
            uint256 bonds;
            for (uint256 j = 0; j < _handler.taskCount(); ++j) {
                TaskId id = _handler.ids(j);
                uint256 seats = _seatsOf(id, _who(i));
                vm.assertLe(seats, 1, "one seat");
                bonds += seats * market.taskOf(id).bondUnits * BOND_UNIT;
            }
            vm.assertEq(lockedOf(_who(i)), bonds, "locked");
        }
    }

    /// @dev Seats with a bond in them.
    function _seatsOf(TaskId id, address holder) private view returns (uint256 seats) {
        Task memory task = market.taskOf(id);
        if (!_live(task.state) || task.state == State.Open) return 0;
        if (task.replicas == 1) return task.worker == holder ? 1 : 0;
        for (uint256 place = 0; place < task.replicas; ++place) {
            SeatState state = market.seatOf(id, place).state;
            bool bonded = state != SeatState.Empty && state != SeatState.Left && state != SeatState.Burned;
            if (bonded && market.seatOf(id, place).worker == holder) ++seats;
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

    function _who(uint256 number) private view returns (address) {
        return number < _handler.ACTORS() ? _handler.actor(number) : _handler.ARBITER();
    }

    function _held() private view returns (uint256) {
        return address(token) == address(0) ? address(market).balance : token.balanceOf(address(market));
    }
}

/// @notice The same of a market of tokens, whose token is at times no honest one.
contract TokenMarketInvariantTest is MarketInvariantTest {
    function _currency() internal override returns (TurncoatToken) {
        return new TurncoatToken();
    }
}
