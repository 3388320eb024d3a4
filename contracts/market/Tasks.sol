// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Batch,
    Body,
    IInferenceMarket,
    RefundReason,
    Request,
    Round,
    Seat,
    State,
    Task,
    TaskId
} from "../interfaces/IInferenceMarket.sol";
import {Digest} from "../libraries/Digest.sol";
import {EscrowWord} from "../libraries/Ledger.sol";
import {SeatWord} from "../libraries/Seating.sol";
import {TaskWord} from "../libraries/Transition.sol";
import {Vault} from "./Vault.sol";

/// @title What is stored of tasks, and the moves of money that several calls share
abstract contract Tasks is Vault {
    /// @dev Two slots. A task's slots are never cleared: a used id stays used.
    struct StoredTask {
        TaskWord word;
        EscrowWord escrow;
    }

    /// @dev A slot for what claims touch, and one for the commitment or, once revealed, the verdict.
    struct StoredSeat {
        SeatWord word;
        bytes32 digest;
    }

    /// @dev Of replicated tasks only.
    struct StoredRound {
        uint8 committed;
        uint8 revealed;
        uint8 winners;
        bytes32 verdict;
        mapping(uint256 place => StoredSeat) seats;
    }

    mapping(TaskId id => StoredTask) internal _tasks;
    mapping(TaskId id => StoredRound) internal _rounds;
    mapping(bytes32 root => Batch) internal _batches;

    /// @dev Burns the bond of a lease that ran out; the caller writes task or seat.
    function _lapse(TaskId id, TaskWord word, address holder) internal {
        uint256 bond = _bond(word);
        _burnBond(holder, bond);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit LeaseLapsed(id, holder, uint96(bond)); // 80 bits
    }

    /// @dev Ends the task and gives back what of its escrow was not paid out.
    function _refund(TaskId id, TaskWord word, RefundReason reason, uint256 paid) internal {
        StoredTask storage task = _tasks[id];
        EscrowWord escrow = task.escrow;
        uint256 rest = escrow.amount(word.replicas()) - paid;
        task.word = word.end(State.Refunded);
        _pay(escrow.requester(), rest);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit TaskRefunded(id, reason, uint96(rest)); // 52 bits
    }

    /// @dev The time `secs` from now; no phase is so long that it outgrows 32 bits before the year 2100.
    function _in(uint256 secs) internal view returns (uint32) {
        unchecked {
            // forge-lint: disable-next-line(unsafe-typecast)
            return uint32(block.timestamp + secs);
        }
    }

    function _bond(TaskWord word) internal view returns (uint256) {
        unchecked {
            return uint256(word.bondUnits()) * BOND_UNIT; // 16 bits by 64
        }
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IInferenceMarket
    function taskOf(TaskId id) external view returns (Task memory task) {
        TaskWord word = _tasks[id].word;
        EscrowWord escrow = _tasks[id].escrow;
        State state = word.state();
        task.state = state;
        task.replicas = word.replicas();
        task.seats = word.seats();
        task.worker = _workers[word.worker()];
        task.until = word.until();
        task.deadline = word.deadline();
        task.leaseSecs = word.leaseSecs();
        task.bondUnits = word.bondUnits();
        task.flatPercent = word.flatPercent();
        if (state == State.Open || state == State.Leased) task.pricedAt = word.pricedAt();
        if (state == State.Posted || state == State.Disputed) task.openDemands = word.openDemands();
        task.maxOutputTokens = word.maxOutputTokens();
        task.outputTokens = word.outputTokens();
        task.requester = escrow.requester();
        task.maxFee = escrow.maxFee();
        task.tip = escrow.tip();
        // Every field is a word in memory as in the answer: no second copy.
        assembly ("memory-safe") {
            return(task, 0x200)
        }
    }

    /// @inheritdoc IInferenceMarket
    function roundOf(TaskId id) external view returns (Round memory) {
        StoredRound storage round = _rounds[id];
        return Round(round.committed, round.revealed, round.winners, round.verdict);
    }

    /// @inheritdoc IInferenceMarket
    function seatOf(TaskId id, uint256 place) external view returns (Seat memory) {
        StoredSeat storage seat = _rounds[id].seats[place];
        SeatWord word = seat.word;
        return Seat(word.state(), _workers[word.worker()], word.until(), word.outputTokens(), seat.digest);
    }

    /// @inheritdoc IInferenceMarket
    function batch(bytes32 root) external view returns (Batch memory) {
        return _batches[root];
    }

    /// @inheritdoc IInferenceMarket
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparator();
    }

    /// @inheritdoc IInferenceMarket
    function hashRequest(Request calldata request) external view returns (TaskId) {
        return Digest.taskId(_domainSeparator(), request);
    }

    /// @inheritdoc IInferenceMarket
    function hashBody(Body calldata body) external view returns (bytes32) {
        return Digest.bodyOf(_domainSeparator(), body);
    }

    /// @inheritdoc IInferenceMarket
    function hashCancel(TaskId id) external view returns (bytes32) {
        return Digest.cancelOf(_domainSeparator(), id);
    }
}
