// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IArbiter} from "./interfaces/IArbiter.sol";
import {IInferenceMarket, State, Task, TaskId} from "./interfaces/IInferenceMarket.sol";
import {Hearing, IPanelArbiter, Vote} from "./interfaces/IPanelArbiter.sol";

/// @title A panel of named members that rules by vote
/// @dev Trusts no market: what one market says touches nothing but its own hearings and shares.
contract PanelArbiter is IPanelArbiter {
    using SafeCast for uint256;

    struct StoredVote {
        bytes32 commitment;
        Vote vote;
    }

    uint256 private constant MOST_MEMBERS = 32;
    uint256 private constant MOST_SECS = 365 days;

    /// @inheritdoc IPanelArbiter
    uint8 public immutable threshold;
    /// @inheritdoc IPanelArbiter
    uint32 public immutable commitSecs;
    /// @inheritdoc IPanelArbiter
    uint32 public immutable revealSecs;

    address[] private _members;
    /// @inheritdoc IPanelArbiter
    mapping(address who => bool) public isMember;
    mapping(IInferenceMarket market => mapping(TaskId id => Hearing)) private _hearings;
    mapping(IInferenceMarket market => mapping(TaskId id => mapping(address member => StoredVote))) private
        _votes;
    mapping(IInferenceMarket market => mapping(address member => uint256)) private _shares;

    constructor(address[] memory members_, uint8 threshold_, uint32 commitSecs_, uint32 revealSecs_) {
        if (members_.length == 0 || members_.length > MOST_MEMBERS) {
            revert BadPanel("members", members_.length);
        }
        if (threshold_ <= members_.length / 2 || threshold_ > members_.length) {
            revert BadPanel("threshold", threshold_);
        }
        if (commitSecs_ == 0 || commitSecs_ > MOST_SECS) revert BadPanel("commitSecs", commitSecs_);
        if (revealSecs_ == 0 || revealSecs_ > MOST_SECS) revert BadPanel("revealSecs", revealSecs_);
        for (uint256 i = 0; i < members_.length; ++i) {
            address member = members_[i];
            if (member == address(0) || isMember[member]) revert BadPanel("member", i);
            isMember[member] = true;
        }
        _members = members_;
        threshold = threshold_;
        commitSecs = commitSecs_;
        revealSecs = revealSecs_;
    }

    /// @inheritdoc IPanelArbiter
    function open(IInferenceMarket market, TaskId id) external {
        Hearing storage hearing = _hearings[market][id];
        if (hearing.commitUntil != 0) revert AlreadyOpen(market, id);
        address arbiter = market.parameters().arbiter;
        if (arbiter != address(this)) revert NotOurMarket(market, arbiter);
        Task memory task = market.taskOf(id);
        if (task.state != State.Disputed) revert NotDisputed(market, id);
        uint256 commitUntil = block.timestamp + commitSecs;
        uint256 revealUntil = commitUntil + revealSecs;
        if (revealUntil > task.until) revert TooLateToOpen(revealUntil, task.until);

        hearing.commitUntil = commitUntil.toUint32();
        hearing.revealUntil = revealUntil.toUint32();

        emit HearingOpened(market, id, hearing.commitUntil, hearing.revealUntil);
    }

    /// @inheritdoc IPanelArbiter
    function commitVote(IInferenceMarket market, TaskId id, bytes32 commitment) external {
        if (!isMember[msg.sender]) revert NotMember(msg.sender);
        Hearing storage hearing = _opened(market, id);
        if (block.timestamp > hearing.commitUntil) revert CommitEnded(hearing.commitUntil);
        StoredVote storage own = _votes[market][id][msg.sender];
        if (own.vote != Vote.None) revert AlreadyCommitted(msg.sender);

        own.commitment = commitment;
        own.vote = Vote.Committed;
        ++hearing.committed;

        emit VoteCommitted(market, id, msg.sender, commitment);
    }

    /// @inheritdoc IPanelArbiter
    function revealVote(IInferenceMarket market, TaskId id, bool faulty, bytes32 salt) external {
        Hearing storage hearing = _opened(market, id);
        bool begun = block.timestamp > hearing.commitUntil || hearing.committed == _members.length;
        if (!begun) revert RevealNotBegun(hearing.commitUntil);
        if (block.timestamp > hearing.revealUntil) revert RevealEnded(hearing.revealUntil);
        StoredVote storage own = _votes[market][id][msg.sender];
        if (own.vote != Vote.Committed) revert VoteNotCommitted(msg.sender);
        bytes32 revealed = hashVote(market, id, msg.sender, faulty, salt);
        if (revealed != own.commitment) revert CommitmentMismatch(own.commitment, revealed);

        own.vote = faulty ? Vote.Faulty : Vote.Sound;
        ++hearing.revealed;
        if (faulty) ++hearing.faulty;

        emit VoteRevealed(market, id, msg.sender, faulty);
    }

    /// @inheritdoc IPanelArbiter
    // A hostile market that calls back can only change its own hearings, of which it may say what it likes anyway.
    // slither-disable-next-line reentrancy-benign,reentrancy-events
    function rule(IInferenceMarket market, TaskId id) external {
        Hearing storage hearing = _opened(market, id);
        if (hearing.ruled) revert AlreadyRuled(market, id);
        uint8 sound = hearing.revealed - hearing.faulty;
        bool faulty = hearing.faulty >= threshold;
        if (!faulty && sound < threshold) revert NoMajority(hearing.faulty, sound, threshold);
        uint8 votes = faulty ? hearing.faulty : sound;
        hearing.ruled = true;

        uint256 before = market.account(address(this)).free;
        market.rule(id, faulty);
        uint256 share = (market.account(address(this)).free - before) / votes;

        hearing.share = share.toUint96();
        _credit(market, id, faulty ? Vote.Faulty : Vote.Sound, share);
        emit HearingRuled(market, id, faulty, votes, hearing.share);
    }

    /// @inheritdoc IPanelArbiter
    function collect(IInferenceMarket market, address to) external {
        uint256 amount = _shares[market][msg.sender];
        if (amount == 0) revert NothingToCollect(msg.sender);
        _shares[market][msg.sender] = 0;

        emit ShareCollected(market, msg.sender, to, amount.toUint96());
        market.withdraw(amount, to);
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IArbiter
    function rulingSecs() external view returns (uint32) {
        return commitSecs + revealSecs;
    }

    /// @inheritdoc IPanelArbiter
    function members() external view returns (address[] memory) {
        return _members;
    }

    /// @inheritdoc IPanelArbiter
    function hearingOf(IInferenceMarket market, TaskId id) external view returns (Hearing memory) {
        return _hearings[market][id];
    }

    /// @inheritdoc IPanelArbiter
    function voteOf(IInferenceMarket market, TaskId id, address member) external view returns (Vote) {
        return _votes[market][id][member].vote;
    }

    /// @inheritdoc IPanelArbiter
    function shareOf(IInferenceMarket market, address member) external view returns (uint256) {
        return _shares[market][member];
    }

    /// @inheritdoc IPanelArbiter
    function hashVote(IInferenceMarket market, TaskId id, address member, bool faulty, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), market, id, member, faulty, salt));
    }

    // ------------------------------------------------------------------------------------------------- steps

    function _opened(IInferenceMarket market, TaskId id) private view returns (Hearing storage hearing) {
        hearing = _hearings[market][id];
        if (hearing.commitUntil == 0) revert NotOpen(market, id);
    }

    /// @dev `share` to each member who voted `side`.
    function _credit(IInferenceMarket market, TaskId id, Vote side, uint256 share) private {
        for (uint256 i = 0; i < _members.length; ++i) {
            if (_votes[market][id][_members[i]].vote == side) _shares[market][_members[i]] += share;
        }
    }
}
