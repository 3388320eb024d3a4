// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceMarket, State, Task, TaskId} from "./interfaces/IInferenceMarket.sol";
import {IMarketLens, Standing} from "./interfaces/IMarketLens.sol";
import {Priority} from "./libraries/Priority.sol";

/// @title What follows from one market's storage
contract MarketLens is IMarketLens {
    /// @inheritdoc IMarketLens
    IInferenceMarket public immutable market;

    constructor(IInferenceMarket market_) {
        market = market_;
    }

    /// @inheritdoc IMarketLens
    function standingOf(TaskId id) external view returns (Standing) {
        Task memory task = market.taskOf(id);
        if (task.state == State.None) return Standing.None;
        if (task.state == State.Disputed) return Standing.Disputed;
        if (task.state == State.Settled) return Standing.Settled;
        if (task.state == State.Refunded) return Standing.Refunded;
        if (task.state == State.Posted) {
            return block.timestamp > task.until ? Standing.Settleable : Standing.Posted;
        }
        if (block.timestamp > task.deadline) return Standing.Expired;
        if (task.state == State.Open) return Standing.Open;
        return block.timestamp > task.until ? Standing.Lapsed : Standing.Leased;
    }

    /// @inheritdoc IMarketLens
    function priorityOf(TaskId id) external view returns (uint256) {
        Task memory task = market.taskOf(id);
        if (task.state == State.None) revert IInferenceMarket.WrongState(id, State.None);
        return _priority(task, market.UNIT(), market.parameters().ageRate);
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
            if (!_claimable(task)) continue;
            _insert(ranked, priorities, count++, ids[i], _priority(task, unit, ageRate));
        }
        assembly ("memory-safe") {
            mstore(ranked, count)
            mstore(priorities, count)
        }
    }

    /// @inheritdoc IMarketLens
    function escrowOf(TaskId[] calldata ids) external view returns (uint256 held) {
        for (uint256 i = 0; i < ids.length; ++i) {
            Task memory task = market.taskOf(ids[i]);
            if (task.state == State.None || task.state == State.Settled || task.state == State.Refunded) {
                continue;
            }
            held += uint256(task.maxFee) * task.replicas + task.tip;
        }
    }

    function _claimable(Task memory task) private view returns (bool) {
        bool free = task.state == State.Open || (task.state == State.Leased && block.timestamp > task.until);
        return free && block.timestamp + task.leaseSecs <= task.deadline;
    }

    function _priority(Task memory task, uint256 unit, uint256 ageRate) private view returns (uint256) {
        return Priority.priority(
            task.tip * unit, task.replicas, task.maxOutputTokens, task.pricedAt, block.timestamp, ageRate
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
}
