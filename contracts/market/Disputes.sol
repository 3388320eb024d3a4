// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {
    Answer,
    Demand,
    Dispute,
    IInferenceMarket,
    RefundReason,
    State,
    TaskId
} from "../interfaces/IInferenceMarket.sol";
import {Digest} from "../libraries/Digest.sol";
import {Ledger} from "../libraries/Ledger.sol";
import {TaskWord} from "../libraries/Transition.sol";
import {Ending} from "./Ending.sol";

/// @title Doubts about a posted result: demands for its leaves, and challenges
abstract contract Disputes is Ending {
    mapping(TaskId id => mapping(uint32 leaf => Demand)) private _demands;
    mapping(TaskId id => Dispute) private _disputes;

    // ----------------------------------------------------------------------------------------------- demands

    /// @inheritdoc IInferenceMarket
    function demand(TaskId id, uint32 leaf) external payable {
        _creditValue(msg.sender);

        TaskWord word = _tasks[id].word;
        uint32 windowEnd = _windowEnd(id, word);
        if (block.timestamp > windowEnd) revert WindowEnded(id, windowEnd);
        uint256 leaves = Digest.leafCount(word.outputTokens());
        if (leaf >= leaves) revert NoSuchLeaf(id, leaf, leaves);
        if (_demands[id][leaf].demander != address(0)) revert AlreadyDemanded(id, leaf);

        _spend(msg.sender, DEMAND_FEE);
        uint32 until = _in(ANSWER_TIME);
        _demands[id][leaf] = Demand(msg.sender, until);
        _tasks[id].word = word.demanded();

        emit LeafDemanded(id, leaf, msg.sender, until);
    }

    /// @inheritdoc IInferenceMarket
    function answer(TaskId id, uint32 leaf, Answer calldata evidence) external {
        TaskWord word = _contested(id);
        Demand storage asked = _openDemand(id, leaf);
        if (block.timestamp > asked.until) revert AnswerTimeOver(id, leaf, asked.until);
        _requireAnswer(id, leaf, word, evidence);

        asked.until = 0;
        _tasks[id].word = word.answered();
        uint32[] memory winners = _winnersOf(id, word);
        (uint96 each, uint96 rest) = Ledger.share(DEMAND_FEE, winners.length);
        for (uint256 i = 0; i < winners.length; ++i) {
            _pay(_workers[winners[i]], each);
        }
        if (rest > 0) _burn(rest);

        emit LeafAnswered(id, leaf, evidence.tokens, each, rest);
    }

    /// @inheritdoc IInferenceMarket
    function lapseDemand(TaskId id, uint32 leaf) external {
        TaskWord word = _contested(id);
        Demand storage asked = _openDemand(id, leaf);
        if (block.timestamp <= asked.until) revert AnswerTimeRunning(id, leaf, asked.until);

        address demander = _endDemand(asked);
        emit DemandLapsed(id, leaf, demander, DEMAND_FEE);

        _slash(id, word, address(0), _burnWhole);
        if (word.state() == State.Disputed) _returnChallenge(id);
        _refund(id, word, RefundReason.Unanswered, 0);
    }

    /// @inheritdoc IInferenceMarket
    function closeDemand(TaskId id, uint32 leaf) external {
        State state = _tasks[id].word.state();
        if (state != State.Settled && state != State.Refunded) revert WrongState(id, state);

        address demander = _endDemand(_openDemand(id, leaf));
        emit DemandClosed(id, leaf, demander, DEMAND_FEE);
    }

    // -------------------------------------------------------------------------------------------- challenges

    /// @inheritdoc IInferenceMarket
    function challenge(TaskId id) external payable {
        _creditValue(msg.sender);

        TaskWord word = _tasks[id].word;
        if (word.state() != State.Posted) revert WrongState(id, word.state());
        if (block.timestamp > word.until()) revert WindowEnded(id, word.until());

        _spend(msg.sender, CHALLENGE_BOND);
        uint32 until = _in(ARBITER_TIMEOUT);
        _disputes[id] = Dispute(msg.sender, word.until());
        _tasks[id].word = word.dispute(until);

        emit TaskChallenged(id, msg.sender, CHALLENGE_BOND, until);
    }

    /// @inheritdoc IInferenceMarket
    function rule(TaskId id, bool faulty) external {
        TaskWord word = _ripe(id);
        if (msg.sender != ARBITER) revert NotArbiter(msg.sender, ARBITER);
        if (block.timestamp > word.until()) revert RulingTooLate(id, word.until());

        emit TaskRuled(id, faulty);
        if (faulty) {
            _slash(id, word, _disputes[id].challenger, Ledger.slash);
            _returnChallenge(id);
            _refund(id, word, RefundReason.Faulty, 0);
        } else {
            _shareChallenge(id, word);
            _settle(id, word);
        }
    }

    /// @inheritdoc IInferenceMarket
    function timeout(TaskId id) external {
        TaskWord word = _ripe(id);
        if (block.timestamp <= word.until()) revert RulingTimeRunning(id, word.until());

        _returnChallenge(id);
        _settle(id, word);
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IInferenceMarket
    function demandOf(TaskId id, uint32 leaf) external view returns (Demand memory) {
        return _demands[id][leaf];
    }

    /// @inheritdoc IInferenceMarket
    function disputeOf(TaskId id) external view returns (Dispute memory) {
        return _disputes[id];
    }

    // ------------------------------------------------------------------------------------------------- steps

    /// @dev The word of a task that may have demands.
    function _contested(TaskId id) private view returns (TaskWord word) {
        word = _tasks[id].word;
        State state = word.state();
        if (state != State.Posted && state != State.Disputed) revert WrongState(id, state);
    }

    /// @dev The word of a task in dispute that waits for no demand.
    function _ripe(TaskId id) private view returns (TaskWord word) {
        word = _tasks[id].word;
        if (word.state() != State.Disputed) revert WrongState(id, word.state());
        if (word.openDemands() > 0) revert DemandsOpen(id, word.openDemands());
    }

    /// @dev A dispute takes the task's `until` for the ruling and keeps the window's end elsewhere.
    function _windowEnd(TaskId id, TaskWord word) private view returns (uint32) {
        if (word.state() == State.Posted) return word.until();
        if (word.state() == State.Disputed) return _disputes[id].windowEnd;
        revert WrongState(id, word.state());
    }

    function _openDemand(TaskId id, uint32 leaf) private view returns (Demand storage asked) {
        asked = _demands[id][leaf];
        if (asked.until == 0) revert NoDemand(id, leaf);
    }

    /// @dev Gives the fee back.
    function _endDemand(Demand storage asked) private returns (address demander) {
        demander = asked.demander;
        asked.until = 0;
        _pay(demander, DEMAND_FEE);
    }

    /// @dev Hashes only: whether the tokens are right is the arbiter's question.
    function _requireAnswer(TaskId id, uint32 leaf, TaskWord word, Answer calldata evidence) private view {
        uint256 expected = Digest.leafLength(leaf, word.outputTokens());
        if (evidence.tokens.length != expected) {
            revert WrongLeafLength(id, leaf, evidence.tokens.length, expected);
        }
        if (!_isPosted(id, word, evidence)) revert BodyNotPosted(id);
        bytes32 outputRoot = evidence.body.outputRoot;
        bytes32 outputLeaf = Digest.outputLeaf(leaf, evidence.tokens);
        if (!MerkleProof.verifyCalldata(evidence.leafPath, outputRoot, outputLeaf)) {
            revert LeafNotInOutput(id, leaf, outputRoot);
        }
    }

    /// @dev Every root in `_batches` was computed over what the market took, and a task is taken once.
    function _isPosted(TaskId id, TaskWord word, Answer calldata evidence) private view returns (bool) {
        if (word.replicated()) {
            return Digest.verdict(evidence.body, word.outputTokens()) == _rounds[id].verdict;
        }
        bytes32 body = Digest.bodyOf(_domainSeparator(), evidence.body);
        bytes32 leaf = Digest.leaf(id, word.outputTokens(), body);
        bytes32 root = MerkleProof.processProofCalldata(evidence.batchPath, leaf);
        return _batches[root].worker != address(0);
    }

    /// @dev Takes the bonds of all whose result stood, and divides each by `split`.
    function _slash(
        TaskId id,
        TaskWord word,
        address challenger,
        function(uint256) pure returns (uint96, uint96, uint96) split
    ) private {
        uint256 bond = _bond(word);
        (uint96 toChallenger, uint96 toArbiter, uint96 burn) = split(bond);
        uint32[] memory winners = _winnersOf(id, word);
        for (uint256 i = 0; i < winners.length; ++i) {
            address holder = _workers[winners[i]];
            _unlock(holder, bond, 0);

            emit BondSlashed(id, holder, toChallenger, toArbiter, burn);
        }
        unchecked {
            // Bonds of 80 bits, seven at most.
            if (toChallenger > 0) _pay(challenger, toChallenger * winners.length);
            if (toArbiter > 0) _pay(ARBITER, toArbiter * winners.length);
            _burn(burn * winners.length);
        }
    }

    /// @dev Nobody earns from a penalty that the requester can provoke.
    function _burnWhole(uint256 bond) private pure returns (uint96, uint96, uint96) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return (0, 0, uint96(bond)); // 80 bits
    }

    function _returnChallenge(TaskId id) private {
        address challenger = _disputes[id].challenger;
        _pay(challenger, CHALLENGE_BOND);

        emit ChallengeReturned(id, challenger, CHALLENGE_BOND);
    }

    function _shareChallenge(TaskId id, TaskWord word) private {
        uint32[] memory winners = _winnersOf(id, word);
        (uint96 toEach, uint96 toArbiter, uint96 burn) = Ledger.loseChallenge(CHALLENGE_BOND, winners.length);
        for (uint256 i = 0; i < winners.length; ++i) {
            _pay(_workers[winners[i]], toEach);
        }
        _pay(ARBITER, toArbiter);
        _burn(burn);

        emit ChallengeLost(id, _disputes[id].challenger, toEach, toArbiter, burn);
    }

    function _settle(TaskId id, TaskWord word) private {
        if (word.replicated()) _settleRound(id, word);
        else _settleOne(id, word);
    }
}
