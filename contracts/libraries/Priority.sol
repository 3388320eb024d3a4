// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The order in which workers serve
library Priority {
    uint256 internal constant TOKENS_PER_PRICE = 1e6;

    /// @notice Wei per million output tokens: what the tip pays per replica and token, and `ageRate` for each
    /// second since the tip was set.
    function priority(
        uint256 tipWei,
        uint256 replicas,
        uint256 maxOutputTokens,
        uint256 pricedAt,
        uint256 time,
        uint256 ageRate
    ) internal pure returns (uint256) {
        return tipWei * TOKENS_PER_PRICE / (replicas * maxOutputTokens) + ageRate * (time - pricedAt);
    }
}
