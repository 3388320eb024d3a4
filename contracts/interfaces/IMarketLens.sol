// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Request, TaskId} from "./IInferenceMarket.sol";

/// @notice A task's state with what time has done to it since it was written.
enum Standing {
    None,
    Open,
    Leased,
    /// @dev Leased, every lease is over, nobody has committed, the deadline is not over: may be evicted,
    /// cancelled or, by its worker, still posted or committed.
    Lapsed,
    /// @dev No result, no quorum of commitments, and the deadline is over: waits for `expire`.
    Expired,
    /// @dev A quorum has committed, not all, and the deadline is over: waits for `openReveal`.
    Revealable,
    /// @dev Replicas reveal what they have committed to.
    Revealing,
    /// @dev All have revealed, or the time is over: waits for `closeRound`.
    Closable,
    Posted,
    /// @dev Posted, the challenge window is over and no demand is open: waits for `settleMany`.
    Settleable,
    Disputed,
    /// @dev Disputed, the arbiter's time is over and no demand is open: waits for `timeout`.
    TimedOut,
    Settled,
    Refunded
}

/// @notice Money of one task that waits, in UNITs, and what for.
struct Waiting {
    TaskId id;
    Standing standing;
    /// @dev The requester's, until the task ends.
    uint256 escrow;
    /// @dev The workers', until the task ends or the round closes.
    uint256 bonds;
    /// @dev The challenger's, until the ruling.
    uint256 challengeBond;
    /// @dev The demanders', one fee for each open demand.
    uint256 demandFees;
    /// @dev When this standing ends by itself, unix seconds: the longest anybody must wait for the next call;
    /// zero where it waits for a call only.
    uint32 until;
}

/// @title What follows from the market's storage, for wallets and auditors
/// @notice Reads and proves. The market keeps no list of its tasks: callers bring the ids, which they have from
/// `TaskSubmitted`.
interface IMarketLens {
    /// @notice Somebody claimed `taken` while `skipped`, better ranked and no worse for the worker, had been
    /// open for longer than the grace time.
    event InversionRecorded(
        TaskId indexed taken, TaskId indexed skipped, address indexed worker, uint32 claimedAt
    );

    /// @notice No inversion: `why` names what does not hold.
    error NoInversion(string why);

    function market() external view returns (IInferenceMarket);

    function standingOf(TaskId id) external view returns (Standing);

    /// @notice Rank of a task at this moment, in wei per million output tokens: the tip per replica and
    /// token, and its age. Only a task that is Open or Leased has one.
    function priorityOf(TaskId id) external view returns (uint256);

    /// @notice The tasks among `ids` that can be claimed now, the most urgent first; ties by the lower id.
    function queue(TaskId[] calldata ids)
        external
        view
        returns (TaskId[] memory ranked, uint256[] memory priorities);

    /// @notice What `ids` hold of other people's money, why, and until when.
    function waiting(TaskId[] calldata ids) external view returns (Waiting[] memory);

    /// @notice Emits `InversionRecorded` where the requests show one, while the lease of `taken` runs and
    /// `skipped` is still open. No reward, no penalty. For anyone to call.
    /// @param worker who holds the lease; tells the seats of a replicated task apart.
    /// @custom:gas 71,412
    function recordSkip(Request calldata taken, Request calldata skipped, address worker) external;
}
