// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    IInferenceMarket,
    RefundReason,
    Request,
    SkipReason,
    State,
    TaskId
} from "../interfaces/IInferenceMarket.sol";
import {Digest} from "../libraries/Digest.sol";
import {EscrowWord, Ledger} from "../libraries/Ledger.sol";
import {Signature} from "../libraries/Signature.sol";
import {TaskWord, Transition} from "../libraries/Transition.sol";
import {Rounds} from "./Rounds.sol";

/// @title The requester's calls, and those of whoever sends for one
abstract contract Asking is Rounds {
    /// @dev A request on its way in.
    struct Entry {
        TaskId id;
        TaskWord word;
        EscrowWord escrow;
        SkipReason refusal;
    }

    /// @inheritdoc IInferenceMarket
    function submit(Request calldata request) external payable returns (TaskId) {
        _creditValue(msg.sender);

        Entry memory entry = _enter(request, _domainSeparator());
        if (entry.refusal != SkipReason.None) _revertSubmit(entry, request);
        if (request.requester != msg.sender) revert NotRequester(msg.sender, request.requester);
        _spend(msg.sender, entry.escrow.amount(request.replicas));
        return _open(entry, request);
    }

    /// @inheritdoc IInferenceMarket
    function submitMany(Request[] calldata requests) external payable returns (uint256 submitted) {
        _creditValue(msg.sender);

        bytes32 domain = _domainSeparator();
        uint256 free = _accounts[msg.sender].free;
        uint256 spent;
        for (uint256 i = 0; i < requests.length; ++i) {
            Request calldata request = requests[i];
            Entry memory entry = _enter(request, domain);
            if (request.requester != msg.sender) entry.refusal = SkipReason.NotRequester;
            uint256 price = entry.escrow.amount(request.replicas);
            if (_skipped(entry, price, free - spent)) continue;
            unchecked {
                spent += price; // `free` at most
                ++submitted;
            }
            _open(entry, request);
        }
        _spend(msg.sender, spent);
    }

    /// @inheritdoc IInferenceMarket
    function submitBySig(Request calldata request, bytes calldata signature) external returns (TaskId) {
        Entry memory entry = _enter(request, _domainSeparator());
        if (entry.refusal != SkipReason.None) _revertSubmit(entry, request);
        _requireSigned(entry.id, request.requester, TaskId.unwrap(entry.id), signature);
        _spend(request.requester, entry.escrow.amount(request.replicas));
        return _open(entry, request);
    }

    /// @inheritdoc IInferenceMarket
    function submitManyBySig(Request[] calldata requests, bytes[] calldata signatures)
        external
        returns (uint256 submitted)
    {
        if (requests.length != signatures.length) {
            revert LengthMismatch(requests.length, signatures.length);
        }
        bytes32 domain = _domainSeparator();
        for (uint256 i = 0; i < requests.length; ++i) {
            Request calldata request = requests[i];
            Entry memory entry = _enter(request, domain);
            if (
                entry.refusal == SkipReason.None
                    && !Signature.isValid(request.requester, TaskId.unwrap(entry.id), signatures[i])
            ) entry.refusal = SkipReason.BadSignature;
            uint256 price = entry.escrow.amount(request.replicas);
            if (_skipped(entry, price, _accounts[request.requester].free)) continue;
            ++submitted;
            _spend(request.requester, price);
            _open(entry, request);
        }
    }

    /// @inheritdoc IInferenceMarket
    function revoke(Request calldata request) external {
        if (msg.sender != request.requester) revert NotRequester(msg.sender, request.requester);
        TaskId id = Digest.taskId(_domainSeparator(), request);
        TaskWord word = _tasks[id].word;
        if (word.state() != State.None) revert WrongState(id, word.state());
        _tasks[id].word = word.end(State.Refunded);

        emit RequestRevoked(id, msg.sender);
    }

    /// @inheritdoc IInferenceMarket
    function raiseTip(TaskId id, uint48 newTip) external {
        StoredTask storage task = _tasks[id];
        TaskWord word = task.word;
        if (word.state() != State.Open) revert WrongState(id, word.state());
        EscrowWord escrow = task.escrow;
        if (msg.sender != escrow.requester()) revert NotRequester(msg.sender, escrow.requester());
        uint48 tip = escrow.tip();
        if (newTip <= tip) revert TipNotRaised(tip, newTip);

        _spend(msg.sender, newTip - tip);
        uint32 time = uint32(block.timestamp);
        task.word = word.reprice(time);
        task.escrow = escrow.withTip(newTip);

        emit PriorityRaised(id, newTip, word.maxOutputTokens(), time);
    }

    /// @inheritdoc IInferenceMarket
    function cancel(TaskId id) external {
        TaskWord word = _unserved(id);
        address requester = _tasks[id].escrow.requester();
        if (msg.sender != requester) revert NotRequester(msg.sender, requester);
        _cancel(id, word);
    }

    /// @inheritdoc IInferenceMarket
    function cancelBySig(TaskId id, bytes calldata signature) external {
        TaskWord word = _unserved(id);
        bytes32 digest = Digest.cancelOf(_domainSeparator(), id);
        _requireSigned(id, _tasks[id].escrow.requester(), digest, signature);
        _cancel(id, word);
    }

    // ------------------------------------------------------------------------------------------------- steps

    /// @dev Packs a request and says why it cannot open a task; whose it is and who pays is the caller's to
    /// check.
    function _enter(Request calldata request, bytes32 domain) private view returns (Entry memory entry) {
        entry.word = Transition.open(request, uint32(block.timestamp));
        entry.escrow = Ledger.pack(request);
        entry.id = Digest.taskId(domain, request);
        entry.refusal = _refusalOf(request, entry.word);
        if (entry.refusal == SkipReason.None && _tasks[entry.id].word.state() != State.None) {
            entry.refusal = SkipReason.WrongState;
        }
    }

    function _refusalOf(Request calldata request, TaskWord word) private view returns (SkipReason) {
        if (request.replicas % 2 == 0 || request.replicas > 7) return SkipReason.BadReplicas;
        if (request.replicas > 1 && request.equivalence == 0) return SkipReason.NoEquivalence;
        return word.submitRefusal(MIN_LEASE, MAX_LIFE, block.timestamp);
    }

    /// @dev Says the same as an error with its values.
    function _revertSubmit(Entry memory entry, Request calldata request) private view {
        SkipReason refusal = entry.refusal;
        if (refusal == SkipReason.BadReplicas) revert BadReplicas(request.replicas);
        if (refusal == SkipReason.NoEquivalence) revert NoEquivalence(request.replicas);
        if (refusal == SkipReason.NoOutputTokens) revert NoOutputTokens();
        if (refusal == SkipReason.FlatPercentTooHigh) revert FlatPercentTooHigh(request.flatPercent);
        if (refusal == SkipReason.NoBond) revert NoBond();
        if (refusal == SkipReason.LeaseTooShort) revert LeaseTooShort(request.leaseSecs, MIN_LEASE);
        if (refusal == SkipReason.DeadlineTooSoon) {
            revert DeadlineTooSoon(request.deadline, block.timestamp + request.leaseSecs);
        }
        if (refusal == SkipReason.DeadlineTooFar) {
            revert DeadlineTooFar(request.deadline, block.timestamp + MAX_LIFE);
        }
        revert WrongState(entry.id, _tasks[entry.id].word.state());
    }

    function _requireSigned(TaskId id, address signer, bytes32 digest, bytes calldata signature)
        private
        view
    {
        if (!Signature.isValid(signer, digest, signature)) revert BadSignature(id, signer);
    }

    /// @dev For the calls with many: says why a request does not open that is refused or not paid for.
    function _skipped(Entry memory entry, uint256 price, uint256 free) private returns (bool) {
        SkipReason refusal = entry.refusal;
        if (refusal == SkipReason.None) {
            if (price <= free) return false;
            refusal = SkipReason.InsufficientFree;
        }
        emit TaskSkipped(entry.id, _tasks[entry.id].word.state(), refusal);
        return true;
    }

    /// @dev The escrow is taken.
    function _open(Entry memory entry, Request calldata request) private returns (TaskId) {
        StoredTask storage task = _tasks[entry.id];
        task.word = entry.word;
        task.escrow = entry.escrow;

        _announce(entry, request);
        return entry.id;
    }

    /// @dev Emits `TaskSubmitted`. In calldata the fields before `inputURI` are a word each as in the event, so
    /// they are copied as they are, like `Digest.taskId` does; written out field by field, they cost a fiftieth
    /// of the whole call more.
    function _announce(Entry memory entry, Request calldata request) private {
        TaskId id = entry.id;
        uint256 pricedAt = entry.word.pricedAt();
        address requester = request.requester;
        bytes32 modelId = request.modelId;
        string calldata inputURI = request.inputURI;
        bytes32 kind = TaskSubmitted.selector;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, 0x40) // where the request begins
            mstore(add(data, 0x20), pricedAt)
            calldatacopy(add(data, 0x40), request, 0x1c0)
            mstore(add(data, 0x200), 0x1e0) // where its URI begins
            mstore(add(data, 0x220), inputURI.length)
            let padded := and(add(inputURI.length, 0x1f), not(0x1f))
            mstore(add(add(data, 0x220), padded), 0) // else the last word has what was in memory before
            calldatacopy(add(data, 0x240), inputURI.offset, inputURI.length)
            log4(data, add(0x240, padded), kind, id, requester, modelId)
        }
    }

    /// @dev The word of a task without a result.
    function _unserved(TaskId id) private view returns (TaskWord word) {
        word = _tasks[id].word;
        if (word.state() != State.Open && word.state() != State.Leased) revert WrongState(id, word.state());
    }

    function _cancel(TaskId id, TaskWord word) private {
        if (word.state() == State.Leased) {
            if (word.replicated()) {
                _abandonSeats(id, word);
            } else {
                if (block.timestamp <= word.until()) revert LeaseRunning(id, word.until());
                _lapse(id, word, _workers[word.worker()]);
            }
        }
        _refund(id, word, RefundReason.Cancelled, 0);
    }
}
