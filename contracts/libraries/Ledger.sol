// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The market's arithmetic of money
/// @notice Pure, in UNITs, rounded down.
library Ledger {
    uint256 internal constant RELEASE_FLOOR_PERCENT = 5;

    /// @notice What a task locks of its requester's balance.
    function escrow(uint256 maxFee, uint256 replicas, uint256 tip) internal pure returns (uint256) {
        return maxFee * replicas + tip;
    }

    /// @notice What one replica earns, without the tip. The flat part pays for the prefill.
    function charge(uint256 maxFee, uint256 flatPercent, uint256 outputTokens, uint256 maxOutputTokens)
        internal
        pure
        returns (uint256)
    {
        uint256 flat = maxFee * flatPercent / 100;
        return flat + (maxFee - flat) * outputTokens / maxOutputTokens;
    }

    /// @notice What giving a lease back costs: the share of its time used up, 5 % at least, for a claim to sit on is not free.
    function releaseBurn(uint256 bond, uint256 heldSecs, uint256 leaseSecs) internal pure returns (uint256) {
        uint256 floor = bond * RELEASE_FLOOR_PERCENT / 100;
        uint256 used = bond * heldSecs / leaseSecs;
        return used > floor ? used : floor;
    }
}
