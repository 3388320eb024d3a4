// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SkipReason, State} from "../../contracts/interfaces/IInferenceMarket.sol";
import {TaskWord} from "../../contracts/libraries/Transition.sol";
import {vm} from "../utils/Vm.sol";

/// @notice The states of a task for every word of 256 bits and every time, as halmos sees them. Run by
/// scripts/prove/symbolic.
contract StatesSymbolic {
    /// @notice I14: no call on many takes a task that has ended.
    function check_I14_endedTaskIsTakenByNoCall(uint256 bits, uint32 poster, uint32 tokens, uint32 time)
        public
        pure
    {
        TaskWord word = _word(bits);
        vm.assume(word.state() == State.Settled || word.state() == State.Refunded);
        assert(word.claimRefusal(time) == SkipReason.WrongState);
        assert(word.postRefusal(poster, tokens, time) == SkipReason.WrongState);
        assert(word.settleRefusal(time) == SkipReason.WrongState);
    }

    /// @notice I2: of a batch of two, a task named twice is settled once.
    function check_I2_batchOfTwoSettlesATaskOnce(uint256 bits, uint256 other, bool twice, uint32 time)
        public
        pure
    {
        TaskWord first = _word(bits);
        TaskWord second = _word(other);
        uint256 exits;
        if (first.settleRefusal(time) == SkipReason.None) {
            ++exits;
            first = first.end(State.Settled);
        }
        if (twice) second = first;
        bool taken = second.settleRefusal(time) == SkipReason.None;
        if (twice) assert(!taken);
        if (taken) assert(_word(other).state() == State.Posted && time > _word(other).until());
        assert(exits <= 1);
    }

    /// @notice I2: of a batch of two, a task named twice is posted once, and by its worker alone.
    function check_I2_batchOfTwoPostsATaskOnce(
        uint256 bits,
        uint32 poster,
        uint32 tokens,
        uint32 others,
        uint32 windowEnd,
        uint32 time
    ) public pure {
        TaskWord word = _word(bits);
        vm.assume(word.postRefusal(poster, tokens, time) == SkipReason.None);
        assert(word.worker() == poster);
        assert(time <= word.deadline());
        assert(tokens <= word.maxOutputTokens());
        assert(word.post(windowEnd, tokens).postRefusal(poster, others, time) == SkipReason.WrongState);
    }

    /// @notice I2: of a batch of two, a task of one replica named twice is leased once.
    function check_I2_batchOfTwoLeasesATaskOnce(uint256 bits, uint32 holder, uint32 time) public pure {
        TaskWord word = _word(bits);
        vm.assume(!word.replicated());
        vm.assume(word.claimRefusal(time) == SkipReason.None);
        uint32 until = time + word.leaseSecs();
        assert(until <= word.deadline());
        assert(word.lease(holder, until).claimRefusal(time) == SkipReason.LeaseRunning);
    }

    /// @notice I12 and I14: no move changes the terms of a task, and `end` changes the state alone.
    function check_I14_movesKeepTheTerms(uint256 bits, uint32 holder, uint32 until) public pure {
        TaskWord word = _word(bits);
        _sameTerms(word, word.lease(holder, until));
        _sameTerms(word, word.reopen(until));
        _sameTerms(word, word.openReveal(until));
        _sameTerms(word, word.dispute(until));
        _sameTerms(word, word.post(until, holder));
        TaskWord ended = word.end(State.Refunded);
        assert(ended.state() == State.Refunded);
        assert(TaskWord.unwrap(ended) >> 4 == TaskWord.unwrap(word) >> 4);
    }

    /// @notice I1: open demands are counted, and a count never runs into its neighbours.
    function check_I1_demandsAreCounted(uint256 bits) public pure {
        TaskWord word = _word(bits);
        vm.assume(word.openDemands() < type(uint32).max);
        TaskWord asked = word.demanded();
        assert(asked.openDemands() == word.openDemands() + 1);
        _sameTerms(word, asked);
        assert(TaskWord.unwrap(asked.answered()) == TaskWord.unwrap(word));
    }

    /// @notice I2: a task is not settled before its window is over, nor while a demand waits.
    function check_I2_settledOnlyWhenDue(uint256 bits, uint32 time) public pure {
        TaskWord word = _word(bits);
        vm.assume(word.settleRefusal(time) == SkipReason.None);
        assert(word.state() == State.Posted);
        assert(time > word.until());
        assert(word.openDemands() == 0);
    }

    /// @dev Of the states' sixteen codes, seven are in use; only the libraries write them.
    function _word(uint256 bits) private pure returns (TaskWord) {
        vm.assume(bits & 0xf <= uint256(State.Refunded));
        return TaskWord.wrap(bits);
    }

    function _sameTerms(TaskWord word, TaskWord other) private pure {
        assert(other.replicas() == word.replicas());
        assert(other.deadline() == word.deadline());
        assert(other.leaseSecs() == word.leaseSecs());
        assert(other.bondUnits() == word.bondUnits());
        assert(other.flatPercent() == word.flatPercent());
        assert(other.maxOutputTokens() == word.maxOutputTokens());
    }
}
