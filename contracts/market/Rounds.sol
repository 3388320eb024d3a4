// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Body,
    IInferenceMarket,
    RefundReason,
    SeatState,
    SkipReason,
    State,
    TaskId
} from "../interfaces/IInferenceMarket.sol";
import {Digest} from "../libraries/Digest.sol";
import {EscrowWord, Ledger} from "../libraries/Ledger.sol";
import {SeatWord, Seating} from "../libraries/Seating.sol";
import {TaskWord} from "../libraries/Transition.sol";
import {Tasks} from "./Tasks.sol";

/// @title Replicas: their seats, what they commit to and reveal, and who wins
/// @dev Loops go over seats, of which a task has seven at most.
abstract contract Rounds is Tasks {
    /// @inheritdoc IInferenceMarket
    function commit(TaskId id, bytes32 commitment) external {
        TaskWord word = _leasedRound(id);
        StoredSeat storage seat = _seatOf(id, word, msg.sender);
        _requireSeat(id, msg.sender, seat.word, SeatState.Leased);
        if (block.timestamp > word.deadline()) revert DeadlinePassed(id, word.deadline());

        seat.word = seat.word.become(SeatState.Committed);
        seat.digest = commitment;
        uint8 committed = _rounds[id].committed;
        unchecked {
            _rounds[id].committed = ++committed; // seven at most
        }

        emit ResultCommitted(id, msg.sender, commitment);
        if (committed == word.replicas()) _openReveal(id, word);
    }

    /// @inheritdoc IInferenceMarket
    function openReveal(TaskId id) external {
        TaskWord word = _leasedRound(id);
        uint8 committed = _rounds[id].committed;
        if (word.revealing() || block.timestamp <= word.deadline() || committed < word.quorum()) {
            revert RevealNotDue(id, committed);
        }
        // A lease ends by the deadline: those still without a commitment are over.
        _lapseSeats(id, word);
        _openReveal(id, word);
    }

    /// @inheritdoc IInferenceMarket
    function reveal(Body calldata body, uint32 outputTokens, bytes32 salt) external {
        TaskId id = body.taskId;
        TaskWord word = _revealing(id);
        if (block.timestamp > word.until()) revert RevealEnded(id, word.until());
        StoredSeat storage seat = _seatOf(id, word, body.worker);
        _requireSeat(id, body.worker, seat.word, SeatState.Committed);
        if (outputTokens > word.maxOutputTokens()) {
            revert TooManyTokens(id, outputTokens, word.maxOutputTokens());
        }
        bytes32 bodyDigest = Digest.bodyOf(_domainSeparator(), body);
        bytes32 revealed = Digest.commitment(bodyDigest, outputTokens, salt);
        if (revealed != seat.digest) revert CommitmentMismatch(id, seat.digest, revealed);

        bytes32 verdict = Digest.verdict(body, outputTokens);
        seat.word = seat.word.reveal(outputTokens);
        seat.digest = verdict;
        unchecked {
            ++_rounds[id].revealed; // seven at most
        }

        emit ResultRevealed(id, body.worker, bodyDigest, verdict, outputTokens);
    }

    /// @inheritdoc IInferenceMarket
    function closeRound(TaskId id) external {
        TaskWord word = _revealing(id);
        StoredRound storage round = _rounds[id];
        if (block.timestamp <= word.until() && round.revealed < round.committed) {
            revert RevealRunning(id, word.until());
        }
        (uint256 votes, uint256 leader) = _leadingSeat(round, word.replicas());
        if (votes >= word.quorum()) {
            _win(id, word, round, leader, votes);
        } else {
            // A free retry would let a requester break rounds for free work.
            uint256 paid = _closeSeats(id, word, 0);
            _refund(id, word, RefundReason.NoQuorum, paid);
        }
    }

    // ------------------------------------------------------------------------------------------------- seats

    /// @dev Where the worker of number `index` may sit: on its own lapsed lease, on an empty seat, or on
    /// somebody's lapsed lease, in this order.
    function _freeSeat(TaskId id, TaskWord word, uint32 index)
        internal
        view
        returns (uint256 place, SkipReason refusal)
    {
        uint256 replicas = word.replicas();
        uint256 empty = replicas;
        uint256 lapsed = replicas;
        for (uint256 i = 0; i < replicas; ++i) {
            SeatWord seat = _rounds[id].seats[i].word;
            bool over = seat.lapsed(block.timestamp);
            if (seat.state() == SeatState.Empty) {
                if (empty == replicas) empty = i;
            } else if (seat.worker() == index) {
                return (i, over ? SkipReason.None : SkipReason.AlreadySeated);
            } else if (over && lapsed == replicas) {
                lapsed = i;
            }
        }
        place = empty < replicas ? empty : lapsed;
        if (place == replicas) refusal = SkipReason.LeaseRunning;
    }

    /// @dev Seats the worker of number `index`; a lapsed lease there is burned.
    function _takeSeat(TaskId id, TaskWord word, uint256 place, uint32 index, uint32 until) internal {
        StoredSeat storage seat = _rounds[id].seats[place];
        SeatWord old = seat.word;
        if (old.state() == SeatState.Leased) _lapse(id, word, _workers[old.worker()]);
        else _tasks[id].word = word.seat();
        seat.word = Seating.lease(index, until);
    }

    /// @dev Frees the caller's seat. Returns the end of its lease.
    function _leaveSeat(TaskId id, TaskWord word) internal returns (uint32 until) {
        StoredSeat storage seat = _seatOf(id, word, msg.sender);
        _requireSeat(id, msg.sender, seat.word, SeatState.Leased);
        until = seat.word.until();
        seat.word = seat.word.become(SeatState.Empty);
        _tasks[id].word = word.seats() > 1 ? word.unseat() : word.reopen(uint32(block.timestamp));
    }

    /// @dev For `cancel`: reverts unless every lease is over and nobody has committed.
    function _abandonSeats(TaskId id, TaskWord word) internal {
        if (_rounds[id].committed > 0) revert AlreadyCommitted(id);
        for (uint256 i = 0; i < word.replicas(); ++i) {
            SeatWord seat = _rounds[id].seats[i].word;
            if (seat.state() == SeatState.Leased && !seat.lapsed(block.timestamp)) {
                revert LeaseRunning(id, seat.until());
            }
        }
        _lapseSeats(id, word);
    }

    /// @dev For `expire`: burns lapsed leases and returns the bonds of those who did the work in vain.
    function _expireSeats(TaskId id, TaskWord word) internal {
        if (_rounds[id].committed >= word.quorum()) revert QuorumCommitted(id);
        _lapseSeats(id, word);
        for (uint256 i = 0; i < word.replicas(); ++i) {
            StoredSeat storage seat = _rounds[id].seats[i];
            if (seat.word.state() == SeatState.Committed) _endSeat(id, word, seat, 0);
        }
    }

    function _lapseSeats(TaskId id, TaskWord word) private {
        for (uint256 i = 0; i < word.replicas(); ++i) {
            StoredSeat storage seat = _rounds[id].seats[i];
            SeatWord old = seat.word;
            if (old.state() != SeatState.Leased) continue;
            seat.word = old.become(SeatState.Burned);
            _lapse(id, word, _workers[old.worker()]);
        }
    }

    // --------------------------------------------------------------------------------------------- the count

    function _openReveal(TaskId id, TaskWord word) private {
        uint32 until = _in(ANSWER_TIME);
        _tasks[id].word = word.openReveal(until);

        emit RevealOpened(id, until);
    }

    /// @dev The first revealed seat of the most frequent verdict, and how many have it.
    function _leadingSeat(StoredRound storage round, uint256 replicas)
        private
        view
        returns (uint256 votes, uint256 leader)
    {
        for (uint256 i = 0; i < replicas; ++i) {
            bytes32 digest = round.seats[i].digest;
            // A commitment never revealed may well be a copy of somebody's verdict: it leads nobody.
            if (!_voted(round.seats[i], digest)) continue;
            uint256 count = 0;
            for (uint256 k = i; k < replicas; ++k) {
                if (_voted(round.seats[k], digest)) ++count;
            }
            if (count > votes) (votes, leader) = (count, i);
        }
    }

    function _win(TaskId id, TaskWord word, StoredRound storage round, uint256 leader, uint256 votes)
        private
    {
        bytes32 verdict = round.seats[leader].digest;
        uint32 outputTokens = round.seats[leader].word.outputTokens();
        uint32 windowEnd = _in(WINDOW);
        _closeSeats(id, word, verdict);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint8 winners = uint8(votes); // seven at most
        round.winners = winners;
        round.verdict = verdict;
        _tasks[id].word = word.post(windowEnd, outputTokens);

        emit RoundWon(id, verdict, winners, outputTokens, windowEnd);
    }

    /// @dev Burns what was not revealed and lets go all who did not win; without a winning `verdict` they get
    /// half their charge. Returns what was paid.
    function _closeSeats(TaskId id, TaskWord word, bytes32 verdict) private returns (uint256 paid) {
        for (uint256 i = 0; i < word.replicas(); ++i) {
            StoredSeat storage seat = _rounds[id].seats[i];
            SeatWord old = seat.word;
            if (old.state() == SeatState.Committed) {
                _burnCommitment(id, word, seat);
            } else if (_voted(seat, verdict)) {
                seat.word = old.become(SeatState.Won);
            } else if (old.state() == SeatState.Revealed) {
                uint256 half = verdict == 0 ? _charge(id, word, old.outputTokens()) / 2 : 0;
                _endSeat(id, word, seat, half);
                paid += half;
            }
        }
    }

    /// @dev No verdict is zero.
    function _voted(StoredSeat storage seat, bytes32 verdict) private view returns (bool) {
        return seat.word.state() == SeatState.Revealed && seat.digest == verdict;
    }

    // ----------------------------------------------------------------------------------------------- winners

    /// @dev Numbers of the workers whose result stands: the one that posted, or the round's winners.
    function _winnersOf(TaskId id, TaskWord word) internal view returns (uint32[] memory winners) {
        if (!word.replicated()) {
            winners = new uint32[](1);
            winners[0] = word.worker();
            return winners;
        }
        winners = new uint32[](_rounds[id].winners);
        uint256 found;
        for (uint256 i = 0; i < word.replicas(); ++i) {
            SeatWord seat = _rounds[id].seats[i].word;
            if (seat.state() == SeatState.Won) winners[found++] = seat.worker();
        }
    }

    /// @dev Pays the winners of a replicated task, returns their bonds and the rest to the requester.
    function _settleRound(TaskId id, TaskWord word) internal {
        EscrowWord escrow = _tasks[id].escrow;
        uint256 paid;
        uint256 rest;
        unchecked {
            // A charge is at most the fee, and there is a fee and a part of the tip for each replica.
            uint256 each = _charge(id, word, word.outputTokens()) + escrow.tip() / word.replicas();
            for (uint256 i = 0; i < word.replicas(); ++i) {
                StoredSeat storage seat = _rounds[id].seats[i];
                if (seat.word.state() != SeatState.Won) continue;
                _endSeat(id, word, seat, each);
                paid += each;
            }
            rest = escrow.amount(word.replicas()) - paid;
        }
        _tasks[id].word = word.end(State.Settled);
        _pay(escrow.requester(), rest);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit TaskSettled(id, address(0), uint96(paid), uint96(rest)); // 52 bits
    }

    function _charge(TaskId id, TaskWord word, uint256 outputTokens) private view returns (uint256) {
        return
            Ledger.charge(
                _tasks[id].escrow.maxFee(), word.flatPercent(), outputTokens, word.maxOutputTokens()
            );
    }

    /// @dev The seat leaves without a fault.
    function _endSeat(TaskId id, TaskWord word, StoredSeat storage seat, uint256 paid) private {
        address holder = _workers[seat.word.worker()];
        uint256 bond = _bond(word);
        seat.word = seat.word.become(SeatState.Left);
        _unlock(holder, bond, bond + paid);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit SeatPaid(id, holder, uint96(paid), uint96(bond)); // 80 bits
    }

    function _burnCommitment(TaskId id, TaskWord word, StoredSeat storage seat) private {
        address holder = _workers[seat.word.worker()];
        uint256 bond = _bond(word);
        seat.word = seat.word.become(SeatState.Burned);
        _burnBond(holder, bond);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit CommitmentBurned(id, holder, uint96(bond)); // 80 bits
    }

    // ---------------------------------------------------------------------------------------------- look-ups

    function _leasedRound(TaskId id) private view returns (TaskWord word) {
        word = _tasks[id].word;
        if (word.state() != State.Leased) revert WrongState(id, word.state());
        if (!word.replicated()) revert NotReplicated(id);
    }

    function _revealing(TaskId id) private view returns (TaskWord word) {
        word = _leasedRound(id);
        if (!word.revealing()) revert RevealNotOpen(id);
    }

    /// @dev The one seat of `holder`.
    function _seatOf(TaskId id, TaskWord word, address holder)
        private
        view
        // Set in the loop before it is read; a task has a replica at least.
        // slither-disable-next-line uninitialized-storage
        returns (StoredSeat storage seat)
    {
        uint32 index = _accounts[holder].index;
        for (uint256 i = 0; i < word.replicas(); ++i) {
            seat = _rounds[id].seats[i];
            if (seat.word.worker() == index && seat.word.state() != SeatState.Empty) return seat;
        }
        revert WrongSeat(id, holder, SeatState.Empty);
    }

    function _requireSeat(TaskId id, address holder, SeatWord seat, SeatState expected) private pure {
        if (seat.state() != expected) revert WrongSeat(id, holder, seat.state());
    }
}
