// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who rules on disputes
/// @notice Reads a market and calls its `rule`; no market calls its arbiter. Its part of lost bonds gathers in
/// its account there.
interface IArbiter {
    /// @notice The longest time in seconds from the opening of a dispute to its ruling. A market that names
    /// this arbiter gives it that and `window + answerTime` more, for a ruling waits for open demands.
    function rulingSecs() external view returns (uint32);
}
