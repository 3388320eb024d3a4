// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    IInferenceMarket,
    Parameters,
    Request,
    Round,
    Seat,
    SeatState,
    State,
    Task,
    TaskId
} from "./interfaces/IInferenceMarket.sol";
import {IMarketLens, Standing, Waiting} from "./interfaces/IMarketLens.sol";
import {Priority} from "./libraries/Priority.sol";

/// @title What follows from one market's storage
contract MarketLens is IMarketLens {
    /// @inheritdoc IMarketLens
    IInferenceMarket public immutable market;

    constructor(IInferenceMarket market_) {
        market = market_;
    }

    // -------------------------------------------------------------------------------------------- standings

    /// @inheritdoc IMarketLens
    function standingOf(TaskId id) external view returns (Standing standing) {
        (standing,) = _standing(id, market.taskOf(id));
    }

    /// @inheritdoc IMarketLens
    function waiting(TaskId[] calldata ids) external view returns (Waiting[] memory all) {
        Parameters memory p = market.parameters();
        all = new Waiting[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            Task memory task = market.taskOf(ids[i]);
            Waiting memory own = all[i];
            own.id = ids[i];
            (own.standing, own.until) = _standing(ids[i], task);
            own.demandFees = uint256(task.openDemands) * p.demandFee;
            // A demand made in the window's last second has its whole time to be answered.
            if (task.state == State.Posted && task.openDemands > 0) own.until += p.answerTime;
            if (own.until < block.timestamp) own.until = 0; // only a call is missing
            if (task.state == State.Disputed) own.challengeBond = p.challengeBond;
            if (_isLive(task.state)) {
                own.escrow = uint256(task.maxFee) * task.replicas + task.tip;
                own.bonds = _liveSeats(ids[i], task) * task.bondUnits * p.bondUnit;
            }
        }
    }

    function _standing(TaskId id, Task memory task) private view returns (Standing standing, uint32 until) {
        if (task.state == State.None) return (Standing.None, 0);
        if (task.state == State.Settled) return (Standing.Settled, 0);
        if (task.state == State.Refunded) return (Standing.Refunded, 0);
        bool over = block.timestamp > task.until;
        if (task.state == State.Disputed) {
            return over && task.openDemands == 0 ? (Standing.TimedOut, 0) : (Standing.Disputed, task.until);
        }
        if (task.state == State.Posted) {
            return over && task.openDemands == 0 ? (Standing.Settleable, 0) : (Standing.Posted, task.until);
        }
        if (task.state == State.Leased && task.replicas > 1) return _roundStanding(id, task);
        if (block.timestamp > task.deadline) return (Standing.Expired, 0);
        if (task.state == State.Open) return (Standing.Open, task.deadline);
        return over ? (Standing.Lapsed, task.deadline) : (Standing.Leased, task.until);
    }

    function _roundStanding(TaskId id, Task memory task)
        private
        view
        returns (Standing standing, uint32 until)
    {
        Round memory round = market.roundOf(id);
        if (task.until != 0) {
            bool all = round.revealed == round.committed;
            return
                all || block.timestamp > task.until
                    ? (Standing.Closable, 0)
                    : (Standing.Revealing, task.until);
        }
        if (block.timestamp > task.deadline) {
            bool quorum = round.committed > task.replicas / 2;
            return (quorum ? Standing.Revealable : Standing.Expired, 0);
        }
        bool lapsed = round.committed == 0;
        for (uint256 i = 0; i < task.replicas; ++i) {
            Seat memory seat = market.seatOf(id, i);
            if (seat.state == SeatState.Leased && block.timestamp <= seat.until) lapsed = false;
        }
        return (lapsed ? Standing.Lapsed : Standing.Leased, task.deadline);
    }

    function _isLive(State state) private pure returns (bool) {
        return state != State.None && state != State.Settled && state != State.Refunded;
    }

    /// @dev How many bonds the task holds.
    function _liveSeats(TaskId id, Task memory task) private view returns (uint256 live) {
        if (task.replicas == 1) return task.state == State.Open ? 0 : 1;
        for (uint256 i = 0; i < task.replicas; ++i) {
            SeatState state = market.seatOf(id, i).state;
            if (
                state == SeatState.Leased || state == SeatState.Committed || state == SeatState.Revealed
                    || state == SeatState.Won
            ) ++live;
        }
    }

    // ------------------------------------------------------------------------------------------------- queue

    /// @inheritdoc IMarketLens
    function priorityOf(TaskId id) external view returns (uint256) {
        Task memory task = market.taskOf(id);
        if (task.state != State.Open && task.state != State.Leased) {
            revert IInferenceMarket.WrongState(id, task.state);
        }
        return _priority(task, block.timestamp, market.UNIT(), market.parameters().ageRate);
    }

    /// @inheritdoc IMarketLens
    function queue(TaskId[] calldata ids)
        external
        view
        returns (TaskId[] memory ranked, uint256[] memory priorities)
    {
        uint256 unit = market.UNIT();
        uint256 ageRate = market.parameters().ageRate;
        ranked = new TaskId[](ids.length);
        priorities = new uint256[](ids.length);
        uint256 count;
        for (uint256 i = 0; i < ids.length; ++i) {
            Task memory task = market.taskOf(ids[i]);
            if (!_claimable(ids[i], task)) continue;
            _insert(ranked, priorities, count++, ids[i], _priority(task, block.timestamp, unit, ageRate));
        }
        assembly ("memory-safe") {
            mstore(ranked, count)
            mstore(priorities, count)
        }
    }

    function _claimable(TaskId id, Task memory task) private view returns (bool) {
        if (block.timestamp + task.leaseSecs > task.deadline) return false;
        if (task.state == State.Open) return true;
        if (task.state != State.Leased) return false;
        if (task.replicas == 1) return block.timestamp > task.until;
        if (task.seats < task.replicas) return true;
        for (uint256 i = 0; i < task.replicas; ++i) {
            Seat memory seat = market.seatOf(id, i);
            if (seat.state == SeatState.Leased && block.timestamp > seat.until) return true;
        }
        return false;
    }

    function _priority(Task memory task, uint256 time, uint256 unit, uint256 ageRate)
        private
        pure
        returns (uint256)
    {
        return Priority.priority(
            task.tip * unit, task.replicas, task.maxOutputTokens, task.pricedAt, time, ageRate
        );
    }

    /// @dev Puts `id` in its place among the first `count`, which are in order.
    function _insert(
        TaskId[] memory ranked,
        uint256[] memory priorities,
        uint256 count,
        TaskId id,
        uint256 priority
    ) private pure {
        uint256 place = count;
        while (place > 0 && _before(priority, id, priorities[place - 1], ranked[place - 1])) {
            (ranked[place], priorities[place]) = (ranked[place - 1], priorities[place - 1]);
            --place;
        }
        (ranked[place], priorities[place]) = (id, priority);
    }

    function _before(uint256 priority, TaskId id, uint256 otherPriority, TaskId otherId)
        private
        pure
        returns (bool)
    {
        if (priority != otherPriority) return priority > otherPriority;
        return TaskId.unwrap(id) < TaskId.unwrap(otherId);
    }

    // -------------------------------------------------------------------------------------------- inversions

    /// @inheritdoc IMarketLens
    function recordSkip(Request calldata taken, Request calldata skipped, address worker) external {
        TaskId takenId = market.hashRequest(taken);
        TaskId skippedId = market.hashRequest(skipped);
        Task memory takenTask = market.taskOf(takenId);
        Task memory skippedTask = market.taskOf(skippedId);
        uint32 claimedAt = _leaseEnd(takenId, takenTask, worker) - takenTask.leaseSecs;
        Parameters memory p = market.parameters();

        if (skippedTask.state != State.Open) revert NoInversion("skipped is not open");
        // `until` of an open task is when it was given back.
        uint256 openSince =
            skippedTask.until > skippedTask.pricedAt ? skippedTask.until : skippedTask.pricedAt;
        if (openSince + p.inversionGrace >= claimedAt) revert NoInversion("skipped within the grace time");
        if (claimedAt + skippedTask.leaseSecs > skippedTask.deadline) {
            revert NoInversion("skipped could not be claimed any more");
        }
        _requireNoWorse(taken, skipped);
        uint256 unit = market.UNIT();
        uint256 rankTaken = _priority(takenTask, claimedAt, unit, p.ageRate);
        uint256 rankSkipped = _priority(skippedTask, claimedAt, unit, p.ageRate);
        if (!_before(rankSkipped, skippedId, rankTaken, takenId)) {
            revert NoInversion("skipped ranks lower");
        }
        emit InversionRecorded(takenId, skippedId, worker, claimedAt);
    }

    function _leaseEnd(TaskId id, Task memory task, address worker) private view returns (uint32) {
        if (task.state == State.Leased && task.replicas == 1) {
            if (task.worker == worker && block.timestamp <= task.until) return task.until;
        } else if (task.state == State.Leased) {
            for (uint256 i = 0; i < task.replicas; ++i) {
                Seat memory seat = market.seatOf(id, i);
                bool running = seat.state == SeatState.Leased && block.timestamp <= seat.until;
                if (running && seat.worker == worker) return seat.until;
            }
        }
        revert NoInversion("worker has no running lease of taken");
    }

    /// @dev Serving `skipped` would have been no worse for the worker.
    function _requireNoWorse(Request calldata taken, Request calldata skipped) private pure {
        if (skipped.modelId != taken.modelId) revert NoInversion("another model");
        if (skipped.equivalence != taken.equivalence) revert NoInversion("another class");
        if (skipped.replicas != taken.replicas) revert NoInversion("other replicas");
        if (skipped.maxOutputTokens > taken.maxOutputTokens) revert NoInversion("more tokens");
        if (skipped.bondUnits > taken.bondUnits) revert NoInversion("a higher bond");
        if (uint256(skipped.maxFee) * taken.maxOutputTokens < uint256(taken.maxFee) * skipped.maxOutputTokens)
        {
            revert NoInversion("a lower fee per token");
        }
        if (skipped.flatPercent < taken.flatPercent) revert NoInversion("a lower flat share");
        if (skipped.leaseSecs < taken.leaseSecs) revert NoInversion("a shorter lease");
    }
}
