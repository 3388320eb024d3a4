// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Account,
    Batch,
    IInferenceMarket,
    Receipt,
    SkipReason,
    State,
    TaskId
} from "../interfaces/IInferenceMarket.sol";
import {Digest} from "../libraries/Digest.sol";
import {Ledger} from "../libraries/Ledger.sol";
import {TaskWord} from "../libraries/Transition.sol";
import {Rounds} from "./Rounds.sol";

/// @title The worker's calls
abstract contract Working is Rounds {
    /// @inheritdoc IInferenceMarket
    function claimMany(TaskId[] calldata ids) external returns (uint256 claimed) {
        Account memory own = _accounts[msg.sender];
        uint256 bonded;
        for (uint256 i = 0; i < ids.length; ++i) {
            TaskId id = ids[i];
            StoredTask storage task = _tasks[id];
            TaskWord word = task.word;
            SkipReason refusal = word.claimRefusal(block.timestamp);
            uint256 seat;
            if (refusal == SkipReason.None && word.replicated()) {
                (seat, refusal) = _freeSeat(id, word, own.index);
            }
            uint256 needed;
            unchecked {
                needed = bonded + _bond(word); // 80 bits: no call is long enough to overflow the sum
            }
            if (refusal == SkipReason.None && needed > own.free) refusal = SkipReason.InsufficientFree;
            if (refusal != SkipReason.None) {
                emit TaskSkipped(id, word.state(), refusal);
                continue;
            }
            if (own.index == 0) own.index = _enlist();
            bonded = needed;
            uint32 until = _in(word.leaseSecs());
            if (word.replicated()) {
                _takeSeat(id, word, seat, own.index, until);
            } else {
                if (word.state() == State.Leased) _lapse(id, word, _workers[word.worker()]);
                task.word = word.lease(own.index, until);
            }
            ++claimed;

            emit TaskClaimed(id, msg.sender, until);
        }
        if (claimed > 0) _lock(own.index, bonded);
    }

    /// @inheritdoc IInferenceMarket
    function release(TaskId id) external {
        TaskWord word = _tasks[id].word;
        if (word.state() != State.Leased) revert WrongState(id, word.state());
        uint32 until = word.replicated() ? _leaveSeat(id, word) : _leaveTask(id, word);
        if (block.timestamp > until) revert LeaseEnded(id, until);

        uint256 bond = _bond(word);
        uint256 leaseSecs = word.leaseSecs();
        unchecked {
            // Less than `leaseSecs` are left, and never more than the bond is burned.
            uint256 burn = Ledger.releaseBurn(bond, block.timestamp + leaseSecs - until, leaseSecs);
            _unlock(msg.sender, bond, bond - burn);
            _burn(burn);

            // forge-lint: disable-next-line(unsafe-typecast)
            emit LeaseReleased(id, msg.sender, uint96(burn)); // 80 bits
        }
    }

    /// @inheritdoc IInferenceMarket
    function postBatch(Receipt[] calldata receipts) external returns (bytes32 root) {
        uint32 poster = _accounts[msg.sender].index;
        uint32 windowEnd = _in(WINDOW);
        bytes32[] memory leaves = new bytes32[](receipts.length);
        uint256[] memory taken = new uint256[](receipts.length);
        uint256 count;
        for (uint256 i = 0; i < receipts.length; ++i) {
            Receipt calldata receipt = receipts[i];
            TaskId id = receipt.id;
            uint32 outputTokens = receipt.outputTokens;
            StoredTask storage task = _tasks[id];
            TaskWord word = task.word;
            SkipReason refusal = word.postRefusal(poster, outputTokens, block.timestamp);
            if (refusal != SkipReason.None) {
                emit TaskSkipped(id, word.state(), refusal);
                continue;
            }
            task.word = word.post(windowEnd, outputTokens);
            leaves[count] = Digest.leaf(id, outputTokens, receipt.body);
            taken[count++] = i;
        }
        if (count == 0) return 0;

        root = Digest.root(leaves, count);
        _batches[root] = Batch(msg.sender, uint32(block.timestamp));

        // forge-lint: disable-next-line(unsafe-typecast)
        emit BatchPosted(root, msg.sender, uint32(count)); // calldata is shorter than that
        for (uint256 i = 0; i < count; ++i) {
            Receipt calldata receipt = receipts[taken[i]];
            emit ResultPosted(receipt.id, root, receipt.body, receipt.outputTokens, windowEnd);
        }
    }

    /// @dev Opens the caller's task again. Returns the end of its lease.
    function _leaveTask(TaskId id, TaskWord word) private returns (uint32 until) {
        address holder = _workers[word.worker()];
        if (msg.sender != holder) revert NotWorker(id, msg.sender, holder);
        until = word.until();
        _tasks[id].word = word.reopen(uint32(block.timestamp));
    }
}
