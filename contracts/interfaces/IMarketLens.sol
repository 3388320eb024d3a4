// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, TaskId} from "./IInferenceMarket.sol";

/// @notice A task's state with what time has done to it since it was written.
enum Standing {
    None,
    Open,
    Leased,
    /// @dev Leased, the lease is over, the deadline is not: may be evicted, cancelled or, by its worker,
    /// still posted.
    Lapsed,
    /// @dev Open or leased, and the deadline is over: waits for `expire`.
    Expired,
    Posted,
    /// @dev Posted, and the challenge window is over: waits for `settleMany`.
    Settleable,
    Disputed,
    Settled,
    Refunded
}

/// @title What follows from the market's storage, for wallets and auditors
/// @notice Reads only. The market keeps no list of its tasks: callers bring the ids, which they have from
/// `TaskSubmitted`.
interface IMarketLens {
    function market() external view returns (IInferenceMarket);

    function standingOf(TaskId id) external view returns (Standing);

    /// @notice Rank of a task at this moment, in wei per million output tokens: the tip per replica and
    /// token, and its age.
    function priorityOf(TaskId id) external view returns (uint256);

    /// @notice The tasks among `ids` that can be claimed now, the most urgent first; ties by the lower id.
    function queue(TaskId[] calldata ids)
        external
        view
        returns (TaskId[] memory ranked, uint256[] memory priorities);

    /// @notice UNITs held in escrow by `ids`, each of which must be given once.
    function escrowOf(TaskId[] calldata ids) external view returns (uint256);
}
