// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Request} from "../interfaces/IInferenceMarket.sol";

/// @dev The slot of a task that only submit, settle and refunds touch. Low bits first: requester 160 | maxFee
/// 48 | tip 48.
type EscrowWord is uint256;

using Ledger for EscrowWord global;

/// @title The market's arithmetic of money
/// @notice Pure, in UNITs, rounded down.
library Ledger {
    uint256 internal constant RELEASE_FLOOR_PERCENT = 5;

    // ------------------------------------------------------------------------------------------------ fields

    function pack(Request calldata request) internal pure returns (EscrowWord) {
        return EscrowWord.wrap(
            uint256(uint160(request.requester)) | uint256(request.maxFee) << 160 | uint256(request.tip) << 208
        );
    }

    function requester(EscrowWord word) internal pure returns (address) {
        return address(uint160(EscrowWord.unwrap(word)));
    }

    function maxFee(EscrowWord word) internal pure returns (uint48) {
        return uint48(EscrowWord.unwrap(word) >> 160);
    }

    function tip(EscrowWord word) internal pure returns (uint48) {
        return uint48(EscrowWord.unwrap(word) >> 208);
    }

    function withTip(EscrowWord word, uint48 newTip) internal pure returns (EscrowWord) {
        return EscrowWord.wrap(EscrowWord.unwrap(word) << 48 >> 48 | uint256(newTip) << 208);
    }

    // ----------------------------------------------------------------------------------------------- amounts

    /// @notice What a task locks of its requester's balance.
    function amount(EscrowWord word, uint256 replicas) internal pure returns (uint256) {
        unchecked {
            return word.maxFee() * replicas + word.tip(); // 48 bits each, replicas 8
        }
    }

    /// @notice What one replica earns, without the tip. The flat part pays for the prefill.
    /// @dev `fee` has 48 bits, the others have 32 or fewer; `flatPercent` is at most 100 and
    /// `maxOutputTokens` not zero.
    function charge(uint256 fee, uint256 flatPercent, uint256 outputTokens, uint256 maxOutputTokens)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 flat = fee * flatPercent / 100;
            return flat + (fee - flat) * outputTokens / maxOutputTokens;
        }
    }

    /// @notice What giving a lease back costs: the share of its time used up, 5 % at least, for a claim to
    /// sit on is not free.
    /// @dev `bond` has 80 bits, the times 32 and 24; `leaseSecs` is not zero.
    function releaseBurn(uint256 bond, uint256 heldSecs, uint256 leaseSecs) internal pure returns (uint256) {
        unchecked {
            uint256 floor = bond * RELEASE_FLOOR_PERCENT / 100;
            uint256 used = bond * heldSecs / leaseSecs;
            return used > floor ? used : floor;
        }
    }

    /// @notice `total` in equal parts, and what does not divide.
    /// @dev `parts` is at least 1.
    function share(uint64 total, uint256 parts) internal pure returns (uint96 each, uint96 rest) {
        unchecked {
            // forge-lint: disable-start(unsafe-typecast)
            each = uint96(total / parts);
            rest = uint96(total - each * parts);
            // forge-lint: disable-end(unsafe-typecast)
        }
    }

    /// @notice Where a bond at fault goes; a challenger never gets more than half, for it may be the
    /// worker's friend.
    /// @dev `bond` has 80 bits.
    function slash(uint256 bond) internal pure returns (uint96 toChallenger, uint96 toArbiter, uint96 burn) {
        unchecked {
            // forge-lint: disable-start(unsafe-typecast)
            toChallenger = uint96(bond / 2);
            toArbiter = uint96(bond / 4);
            burn = uint96(bond - toChallenger - toArbiter);
            // forge-lint: disable-end(unsafe-typecast)
        }
    }

    /// @notice Where a lost challenge's bond goes; what does not divide is burned.
    /// @dev `winners` is at least 1.
    function loseChallenge(uint64 bond, uint256 winners)
        internal
        pure
        returns (uint96 toEach, uint96 toArbiter, uint96 burn)
    {
        unchecked {
            // forge-lint: disable-start(unsafe-typecast)
            toEach = uint96(bond / 2 / winners);
            toArbiter = bond / 4;
            burn = uint96(bond - toEach * winners - toArbiter);
            // forge-lint: disable-end(unsafe-typecast)
        }
    }
}
