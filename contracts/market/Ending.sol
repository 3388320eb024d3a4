// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceMarket, RefundReason, SkipReason, State, TaskId} from "../interfaces/IInferenceMarket.sol";
import {EscrowWord, Ledger} from "../libraries/Ledger.sol";
import {TaskWord} from "../libraries/Transition.sol";
import {Rounds} from "./Rounds.sol";

/// @title How a task ends that nobody disputes
abstract contract Ending is Rounds {
    /// @dev What tasks in a row owe one account, written once.
    struct Tab {
        address holder;
        uint256 credit;
        uint256 unlocked;
    }

    /// @inheritdoc IInferenceMarket
    function settleMany(TaskId[] calldata ids) external returns (uint256 settled) {
        Tab memory payee;
        Tab memory payer;
        uint32 payeeIndex;
        for (uint256 i = 0; i < ids.length; ++i) {
            TaskId id = ids[i];
            StoredTask storage task = _tasks[id];
            TaskWord word = task.word;
            SkipReason refusal = word.settleRefusal(block.timestamp);
            if (refusal != SkipReason.None) {
                emit TaskSkipped(id, word.state(), refusal);
                continue;
            }
            unchecked {
                ++settled;
            }
            if (word.replicated()) {
                _settleRound(id, word);
                continue;
            }
            if (word.worker() != payeeIndex) {
                payeeIndex = word.worker();
                _turn(payee, _workers[payeeIndex]);
            }
            EscrowWord escrow = task.escrow;
            if (escrow.requester() != payer.holder) _turn(payer, escrow.requester());
            task.word = word.end(State.Settled);
            _bill(id, word, escrow, payee, payer);
        }
        _close(payee);
        _close(payer);
    }

    /// @inheritdoc IInferenceMarket
    function expire(TaskId id) external {
        TaskWord word = _tasks[id].word;
        State state = word.state();
        if (state != State.Open && state != State.Leased) revert WrongState(id, state);
        if (block.timestamp <= word.deadline()) revert DeadlineNotPassed(id, word.deadline());
        if (state == State.Leased) {
            if (word.replicated()) _expireSeats(id, word);
            else _lapse(id, word, _workers[word.worker()]);
        }
        _refund(id, word, RefundReason.Expired, 0);
    }

    // ------------------------------------------------------------------------------------------------- steps

    /// @dev Settles a task of one replica, of which the arbiter was asked or not.
    function _settleOne(TaskId id, TaskWord word) internal {
        StoredTask storage task = _tasks[id];
        EscrowWord escrow = task.escrow;
        Tab memory payee = Tab(_workers[word.worker()], 0, 0);
        Tab memory payer = Tab(escrow.requester(), 0, 0);
        task.word = word.end(State.Settled);
        _bill(id, word, escrow, payee, payer);
        _close(payee);
        _close(payer);
    }

    /// @dev Writes what a task of one replica pays to the tabs of its worker and its requester.
    function _bill(TaskId id, TaskWord word, EscrowWord escrow, Tab memory payee, Tab memory payer) private {
        uint256 bond = _bond(word);
        uint256 charge =
            Ledger.charge(escrow.maxFee(), word.flatPercent(), word.outputTokens(), word.maxOutputTokens());
        unchecked {
            // Terms of 80 bits at most: no call is long enough to overflow their sums.
            uint256 paid = charge + escrow.tip();
            uint256 refunded = escrow.maxFee() - charge;
            payee.credit += paid + bond;
            payee.unlocked += bond;
            payer.credit += refunded;

            // forge-lint: disable-next-line(unsafe-typecast)
            emit TaskSettled(id, payee.holder, uint96(paid), uint96(refunded));
        }
    }

    /// @dev Makes `tab` that of `holder`.
    function _turn(Tab memory tab, address holder) private {
        _close(tab);
        (tab.holder, tab.credit, tab.unlocked) = (holder, 0, 0);
    }

    function _close(Tab memory tab) private {
        if (tab.holder != address(0)) _unlock(tab.holder, tab.unlocked, tab.credit);
    }
}
