// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SeatState} from "../interfaces/IInferenceMarket.sol";

/// @dev The slot of a seat beside its digest. Low bits first:
///
///     bits      0      8        40      72
///     field     state  worker   until   outputTokens
///     width     8      32       32      32
type SeatWord is uint256;

using Seating for SeatWord global;

/// @title The states of a seat
library Seating {
    uint256 private constant STATE = 0xff;

    /// @dev Unchecked, for only this library writes the bits.
    function state(SeatWord word) internal pure returns (SeatState current) {
        assembly ("memory-safe") {
            current := and(word, 0xff)
        }
    }

    function worker(SeatWord word) internal pure returns (uint32) {
        return uint32(SeatWord.unwrap(word) >> 8);
    }

    function until(SeatWord word) internal pure returns (uint32) {
        return uint32(SeatWord.unwrap(word) >> 40);
    }

    function outputTokens(SeatWord word) internal pure returns (uint32) {
        return uint32(SeatWord.unwrap(word) >> 72);
    }

    /// @notice Whether somebody let the lease run out.
    function lapsed(SeatWord word, uint256 time) internal pure returns (bool) {
        return word.state() == SeatState.Leased && time > word.until();
    }

    function lease(uint32 holder, uint32 leaseEnd) internal pure returns (SeatWord) {
        return SeatWord.wrap(uint256(SeatState.Leased) | uint256(holder) << 8 | uint256(leaseEnd) << 40);
    }

    function become(SeatWord word, SeatState next) internal pure returns (SeatWord) {
        return SeatWord.wrap(SeatWord.unwrap(word) & ~STATE | uint256(next));
    }

    /// @dev `outputTokens` is zero before.
    function reveal(SeatWord word, uint32 tokens) internal pure returns (SeatWord) {
        uint256 kept = SeatWord.unwrap(word) & ~STATE;
        return SeatWord.wrap(kept | uint256(SeatState.Revealed) | uint256(tokens) << 72);
    }
}
