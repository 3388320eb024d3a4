// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EscrowWord, Ledger} from "../../contracts/libraries/Ledger.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What halmos's solvers do not decide within minutes: each divides words of 256 bits. The fuzz tests
/// of the libraries try the same. Run by scripts/prove/symbolic --contract DivisionsSymbolic.
contract DivisionsSymbolic {
    uint256 private constant HIGHEST_PERCENT = 100;
    uint256 private constant MOST_REPLICAS = 7;

    /// @notice I12: a charge is at least the flat part and at most the fee.
    function check_I12_chargeIsAtMostTheFee(uint48 fee, uint8 flatPercent, uint32 tokens, uint32 maxTokens)
        public
        pure
    {
        uint256 charge = _charge(fee, flatPercent, tokens, maxTokens);
        assert(charge <= fee);
        assert(charge >= uint256(fee) * flatPercent / 100);
    }

    /// @notice I1 and I12: the winners of a round never take more than its escrow.
    function check_I1_I12_winnersFitTheEscrow(uint48 fee, uint48 tip, uint48 charge) public pure {
        vm.assume(charge <= fee);
        for (uint256 replicas = 1; replicas <= MOST_REPLICAS; replicas += 2) {
            uint256 each = uint256(charge) + tip / replicas;
            assert(each * replicas <= _escrow(fee, tip).amount(replicas));
        }
    }

    /// @notice I1: a lost challenge's bond is divided without a rest.
    function check_I1_lostChallengeDividesTheBond(uint64 bond) public pure {
        for (uint256 winners = 1; winners <= MOST_REPLICAS; ++winners) {
            (uint256 toEach, uint256 toArbiter, uint256 burn) = Ledger.loseChallenge(bond, winners);
            assert(burn <= bond);
            assert(toEach * winners + toArbiter + burn == bond);
        }
    }

    /// @notice I1: a demand's fee is divided without a rest.
    function check_I1_feeIsDividedWhole(uint64 fee) public pure {
        for (uint256 winners = 1; winners <= MOST_REPLICAS; ++winners) {
            (uint256 each, uint256 rest) = Ledger.share(fee, winners);
            assert(rest < winners);
            assert(each * winners + rest == fee);
        }
    }

    /// @notice I1: giving a lease back never burns more than its bond, nor less than a twentieth.
    function check_I1_releaseBurnsAtMostTheBond(uint80 bond, uint24 held, uint24 leaseSecs) public pure {
        vm.assume(leaseSecs > 0 && held <= leaseSecs);
        uint256 burn = Ledger.releaseBurn(bond, held, leaseSecs);
        assert(burn <= bond);
        assert(burn >= uint256(bond) * 5 / 100);
    }

    function _charge(uint48 fee, uint8 flatPercent, uint32 tokens, uint32 maxTokens)
        private
        pure
        returns (uint256)
    {
        vm.assume(flatPercent <= HIGHEST_PERCENT && maxTokens > 0 && tokens <= maxTokens);
        return Ledger.charge(fee, flatPercent, tokens, maxTokens);
    }

    function _escrow(uint48 fee, uint48 tip) private pure returns (EscrowWord) {
        return EscrowWord.wrap(uint256(fee) << 160 | uint256(tip) << 208);
    }
}
