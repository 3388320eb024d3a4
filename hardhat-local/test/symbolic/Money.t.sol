// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EscrowWord, Ledger} from "../../contracts/libraries/Ledger.sol";
import {vm} from "../utils/Vm.sol";

/// @notice The arithmetic of money for every value of its real width, as halmos sees it. Run by
/// scripts/prove/symbolic.
contract MoneySymbolic {
    uint256 private constant HIGHEST_PERCENT = 100;

    /// @notice I2 and I12: what one replica's task pays and gives back is its escrow.
    function check_I2_I12_oneReplicaPaysItsEscrow(
        uint48 fee,
        uint48 tip,
        uint8 flatPercent,
        uint32 tokens,
        uint32 maxTokens
    ) public pure {
        uint256 paid = _charge(fee, flatPercent, tokens, maxTokens) + tip;
        uint256 refunded = fee - (paid - tip);
        assert(paid + refunded == _escrow(fee, tip).amount(1));
    }

    /// @notice I1 and I12: the halves of a round without a quorum fit its escrow.
    function check_I1_I12_halvesFitTheEscrow(
        uint48 fee,
        uint48 tip,
        uint256 first,
        uint256 second,
        uint256 third
    ) public pure {
        vm.assume(first <= fee && second <= fee && third <= fee);
        assert(first / 2 + second / 2 + third / 2 <= _escrow(fee, tip).amount(3));
    }

    /// @notice I1 and I13: a bond at fault is divided without a rest, and a challenger gets half of it at most.
    function check_I1_I13_slashDividesTheBond(uint80 bond) public pure {
        (uint256 toChallenger, uint256 toArbiter, uint256 burn) = Ledger.slash(bond);
        assert(toChallenger + toArbiter + burn == bond);
        assert(toChallenger * 2 <= bond);
    }

    /// @notice I2: a raised tip changes nothing but the tip.
    function check_I2_raisedTipKeepsTheRest(uint256 bits, uint48 tip) public pure {
        EscrowWord word = EscrowWord.wrap(bits);
        EscrowWord raised = word.withTip(tip);
        assert(raised.tip() == tip);
        assert(raised.maxFee() == word.maxFee());
        assert(raised.requester() == word.requester());
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
