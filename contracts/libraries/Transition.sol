// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Request, SkipReason, State} from "../interfaces/IInferenceMarket.sol";

/// @dev The slot of a task that claim and post touch. Low bits first:
///
///     bits      0      4      8       16       48      80         112         136
///     field     state  flags  seats   worker   until   deadline   leaseSecs   bondUnits
///     width     4      4      8       32       32      32         24          16
///
///     bits      152           160        192               224
///     field     flatPercent   pricedAt   maxOutputTokens   outputTokens
///     width     8             32         32                32
///
/// `flags` holds `replicas / 2` in its two low bits. `seats` counts the seats taken of a task with several
/// replicas. From the post on, the bits of `pricedAt` count the open demands.
type TaskWord is uint256;

using Transition for TaskWord global;

/// @title The states of a task and the moves between them
/// @notice Pure. `...Refusal` says why a move is not allowed at `time`, a block's; the moves themselves check
/// nothing.
library Transition {
    uint256 private constant STATE = 0xf;
    uint256 private constant REPLICAS = 0x3 << 4;
    uint256 private constant SEATS = 0xff << 8;
    uint256 private constant ONE_SEAT = 1 << 8;
    uint256 private constant WORKER_AND_UNTIL = 0xffffffff_ffffffff << 16;
    uint256 private constant UNTIL = 0xffffffff << 48;
    uint256 private constant PRICED_AT = 0xffffffff << 160;
    uint256 private constant ONE_DEMAND = 1 << 160;

    // ------------------------------------------------------------------------------------------------ fields

    /// @dev Unchecked, for only this library's moves write the bits.
    function state(TaskWord word) internal pure returns (State current) {
        assembly ("memory-safe") {
            current := and(word, 0xf)
        }
    }

    function replicas(TaskWord word) internal pure returns (uint8) {
        return uint8((TaskWord.unwrap(word) >> 4 & 3) * 2 + 1);
    }

    function replicated(TaskWord word) internal pure returns (bool) {
        return TaskWord.unwrap(word) & REPLICAS != 0;
    }

    /// @notice How many equal verdicts carry the round.
    function quorum(TaskWord word) internal pure returns (uint256) {
        return word.replicas() / 2 + 1;
    }

    function seats(TaskWord word) internal pure returns (uint8) {
        return uint8(TaskWord.unwrap(word) >> 8);
    }

    function worker(TaskWord word) internal pure returns (uint32) {
        return uint32(TaskWord.unwrap(word) >> 16);
    }

    function until(TaskWord word) internal pure returns (uint32) {
        return uint32(TaskWord.unwrap(word) >> 48);
    }

    function deadline(TaskWord word) internal pure returns (uint32) {
        return uint32(TaskWord.unwrap(word) >> 80);
    }

    function leaseSecs(TaskWord word) internal pure returns (uint24) {
        return uint24(TaskWord.unwrap(word) >> 112);
    }

    function bondUnits(TaskWord word) internal pure returns (uint16) {
        return uint16(TaskWord.unwrap(word) >> 136);
    }

    function flatPercent(TaskWord word) internal pure returns (uint8) {
        return uint8(TaskWord.unwrap(word) >> 152);
    }

    function pricedAt(TaskWord word) internal pure returns (uint32) {
        return uint32(TaskWord.unwrap(word) >> 160);
    }

    /// @dev Of a task that is Posted or Disputed.
    function openDemands(TaskWord word) internal pure returns (uint32) {
        return word.pricedAt();
    }

    function maxOutputTokens(TaskWord word) internal pure returns (uint32) {
        return uint32(TaskWord.unwrap(word) >> 192);
    }

    function outputTokens(TaskWord word) internal pure returns (uint32) {
        return uint32(TaskWord.unwrap(word) >> 224);
    }

    // ------------------------------------------------------------------------------------------------- rules

    /// @notice Of a word made by `open`: why the market does not take it.
    function submitRefusal(TaskWord word, uint256 minLease, uint256 maxLife, uint256 time)
        internal
        pure
        returns (SkipReason)
    {
        if (word.maxOutputTokens() == 0) return SkipReason.NoOutputTokens;
        if (word.flatPercent() > 100) return SkipReason.FlatPercentTooHigh;
        if (word.bondUnits() == 0) return SkipReason.NoBond;
        if (word.leaseSecs() < minLease) return SkipReason.LeaseTooShort;
        unchecked {
            if (word.deadline() < time + word.leaseSecs()) return SkipReason.DeadlineTooSoon;
            return word.deadline() <= time + maxLife ? SkipReason.None : SkipReason.DeadlineTooFar;
        }
    }

    /// @notice Why the task cannot be claimed at all; of a replicated one the seats have their say as well.
    function claimRefusal(TaskWord word, uint256 time) internal pure returns (SkipReason) {
        State current = word.state();
        if (current == State.Leased) {
            if (!word.replicated() && time <= word.until()) return SkipReason.LeaseRunning;
        } else if (current != State.Open) {
            return SkipReason.WrongState;
        }
        unchecked {
            return time + word.leaseSecs() <= word.deadline() ? SkipReason.None : SkipReason.DeadlineTooSoon;
        }
    }

    function postRefusal(TaskWord word, uint32 poster, uint32 tokens, uint256 time)
        internal
        pure
        returns (SkipReason)
    {
        if (TaskWord.unwrap(word) & (STATE | REPLICAS) != uint256(State.Leased)) {
            return word.state() == State.Leased ? SkipReason.Replicated : SkipReason.WrongState;
        }
        if (word.worker() != poster) return SkipReason.NotWorker;
        if (time > word.deadline()) return SkipReason.DeadlinePassed;
        return tokens <= word.maxOutputTokens() ? SkipReason.None : SkipReason.TooManyTokens;
    }

    function settleRefusal(TaskWord word, uint256 time) internal pure returns (SkipReason) {
        if (word.state() != State.Posted) return SkipReason.WrongState;
        if (time <= word.until()) return SkipReason.WindowOpen;
        return word.openDemands() == 0 ? SkipReason.None : SkipReason.DemandsOpen;
    }

    /// @notice Whether the reveal of a replicated, leased task has been opened.
    function revealing(TaskWord word) internal pure returns (bool) {
        return word.until() != 0;
    }

    // ------------------------------------------------------------------------------------------------- moves

    function open(Request calldata request, uint32 time) internal pure returns (TaskWord) {
        return TaskWord.wrap(
            uint256(State.Open) | uint256(request.replicas / 2) << 4 | uint256(request.deadline) << 80
                | uint256(request.leaseSecs) << 112 | uint256(request.bondUnits) << 136
                | uint256(request.flatPercent) << 152 | uint256(time) << 160
                | uint256(request.maxOutputTokens) << 192
        );
    }

    function reprice(TaskWord word, uint32 time) internal pure returns (TaskWord) {
        return TaskWord.wrap(TaskWord.unwrap(word) & ~PRICED_AT | uint256(time) << 160);
    }

    function lease(TaskWord word, uint32 holder, uint32 leaseEnd) internal pure returns (TaskWord) {
        uint256 kept = TaskWord.unwrap(word) & ~(STATE | WORKER_AND_UNTIL);
        return TaskWord.wrap(kept | uint256(State.Leased) | uint256(holder) << 16 | uint256(leaseEnd) << 48);
    }

    /// @dev `until` says from now on since when the task is open again: nobody can have passed it over
    /// before.
    function reopen(TaskWord word, uint32 time) internal pure returns (TaskWord) {
        uint256 kept = TaskWord.unwrap(word) & ~(STATE | SEATS | WORKER_AND_UNTIL);
        return TaskWord.wrap(kept | uint256(State.Open) | uint256(time) << 48);
    }

    /// @dev The seats of a replicated task have workers and lease ends of their own.
    function seat(TaskWord word) internal pure returns (TaskWord) {
        uint256 kept = TaskWord.unwrap(word) & ~(STATE | WORKER_AND_UNTIL);
        return TaskWord.wrap((kept | uint256(State.Leased)) + ONE_SEAT);
    }

    function unseat(TaskWord word) internal pure returns (TaskWord) {
        return TaskWord.wrap(TaskWord.unwrap(word) - ONE_SEAT);
    }

    function openReveal(TaskWord word, uint32 revealEnd) internal pure returns (TaskWord) {
        return TaskWord.wrap(TaskWord.unwrap(word) & ~UNTIL | uint256(revealEnd) << 48);
    }

    /// @dev `outputTokens` is zero before, and a task is posted once.
    function post(TaskWord word, uint32 windowEnd, uint32 tokens) internal pure returns (TaskWord) {
        uint256 kept = TaskWord.unwrap(word) & ~(STATE | UNTIL | PRICED_AT);
        return TaskWord.wrap(kept | uint256(State.Posted) | uint256(windowEnd) << 48 | uint256(tokens) << 224);
    }

    function demanded(TaskWord word) internal pure returns (TaskWord) {
        return TaskWord.wrap(TaskWord.unwrap(word) + ONE_DEMAND);
    }

    function answered(TaskWord word) internal pure returns (TaskWord) {
        return TaskWord.wrap(TaskWord.unwrap(word) - ONE_DEMAND);
    }

    function dispute(TaskWord word, uint32 rulingEnd) internal pure returns (TaskWord) {
        uint256 kept = TaskWord.unwrap(word) & ~(STATE | UNTIL);
        return TaskWord.wrap(kept | uint256(State.Disputed) | uint256(rulingEnd) << 48);
    }

    function end(TaskWord word, State terminal) internal pure returns (TaskWord) {
        return TaskWord.wrap(TaskWord.unwrap(word) & ~STATE | uint256(terminal));
    }
}
