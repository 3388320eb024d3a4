// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IArbiter} from "./IArbiter.sol";
import {IInferenceMarket, TaskId} from "./IInferenceMarket.sol";

/// @notice A vote of the panel on one task.
struct Hearing {
    /// @dev Last second to commit a vote; zero: not opened.
    uint32 commitUntil;
    /// @dev Last second to reveal it.
    uint32 revealUntil;
    uint8 committed;
    uint8 revealed;
    /// @dev Revealed votes for "faulty".
    uint8 faulty;
    bool ruled;
    /// @dev What the members who voted with the ruling got, each, in UNITs.
    uint96 share;
}

/// @notice Where a member stands in a hearing.
enum Vote {
    None,
    Committed,
    Sound,
    Faulty
}

/// @title A panel of named members that rules by vote
/// @notice Fixed at construction; serves any market that names it as its arbiter, each hearing bound to one
/// market and task. A ruling needs `threshold` equal votes, more than half of the members, so that there are
/// never two. Too few equal votes are no ruling: the market's own timeout then pays the worker.
///
/// Votes are committed and revealed, so that nobody votes with the others. A member who voted with the ruling
/// shares the arbiter's part of the lost bond.
interface IPanelArbiter is IArbiter {
    event HearingOpened(
        IInferenceMarket indexed market, TaskId indexed id, uint32 commitUntil, uint32 revealUntil
    );
    event VoteCommitted(
        IInferenceMarket indexed market, TaskId indexed id, address indexed member, bytes32 commitment
    );
    event VoteRevealed(
        IInferenceMarket indexed market, TaskId indexed id, address indexed member, bool faulty
    );
    event HearingRuled(
        IInferenceMarket indexed market, TaskId indexed id, bool faulty, uint8 votes, uint96 share
    );
    event ShareCollected(
        IInferenceMarket indexed market, address indexed member, address indexed to, uint96 amount
    );

    error NotMember(address caller);
    /// @notice The market names another arbiter.
    error NotOurMarket(IInferenceMarket market, address arbiter);
    error NotDisputed(IInferenceMarket market, TaskId id);
    error AlreadyOpen(IInferenceMarket market, TaskId id);
    error NotOpen(IInferenceMarket market, TaskId id);
    /// @notice The hearing could not end by `latest`, the market's last second of a ruling.
    error TooLateToOpen(uint256 end, uint32 latest);
    error CommitEnded(uint32 commitUntil);
    error AlreadyCommitted(address member);
    error RevealNotBegun(uint32 commitUntil);
    error RevealEnded(uint32 revealUntil);
    error VoteNotCommitted(address member);
    error CommitmentMismatch(bytes32 committed, bytes32 revealed);
    error AlreadyRuled(IInferenceMarket market, TaskId id);
    /// @notice Neither side has `threshold` votes.
    error NoMajority(uint8 faulty, uint8 sound, uint8 threshold);
    error NothingToCollect(address member);
    error BadPanel(string name, uint256 value);

    /// @notice Begins the vote on a task in dispute. For anyone to call.
    /// @custom:gas 61,842
    function open(IInferenceMarket market, TaskId id) external;

    /// @param commitment `hashVote` of the member's vote and a salt of its own.
    /// @custom:gas 77,531
    function commitVote(IInferenceMarket market, TaskId id, bytes32 commitment) external;

    /// @notice Reveals the caller's vote, once the time to commit is over or every member has committed.
    /// @custom:gas 41,129
    function revealVote(IInferenceMarket market, TaskId id, bool faulty, bytes32 salt) external;

    /// @notice Carries the panel's majority to the market, as soon as there is one. Reverts with the market's
    /// error while a demand is open there. For anyone to call.
    /// @custom:gas 149,126 of two votes for a fault
    function rule(IInferenceMarket market, TaskId id) external;

    /// @notice Sends what the caller has earned in `market` to `to`.
    /// @custom:gas 42,819
    function collect(IInferenceMarket market, address to) external;

    function members() external view returns (address[] memory);
    function isMember(address who) external view returns (bool);
    function threshold() external view returns (uint8);
    function commitSecs() external view returns (uint32);
    function revealSecs() external view returns (uint32);
    function hearingOf(IInferenceMarket market, TaskId id) external view returns (Hearing memory);
    function voteOf(IInferenceMarket market, TaskId id, address member) external view returns (Vote);
    /// @notice UNITs that `member` may collect in `market`.
    function shareOf(IInferenceMarket market, address member) external view returns (uint256);
    /// @notice `keccak256(abi.encode(chainid, panel, market, id, member, faulty, salt))`.
    function hashVote(IInferenceMarket market, TaskId id, address member, bool faulty, bytes32 salt)
        external
        view
        returns (bytes32);
}
