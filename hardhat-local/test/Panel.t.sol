// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Parameters, State, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {Hearing, IPanelArbiter, Vote} from "../contracts/interfaces/IPanelArbiter.sol";
import {LawTest} from "./utils/LawTest.sol";
import {vm} from "./utils/Vm.sol";

contract PanelTest is LawTest {
    uint32 private constant COMMIT = 20;
    uint32 private constant REVEAL = 15;

    IPanelArbiter private _panel;

    function setUp() public override {
        _panel = _deploy(_members(3), 2, COMMIT, REVEAL);
        super.setUp();
    }

    function parameters() internal view override returns (Parameters memory p) {
        p = super.parameters();
        (p.arbiter, p.challengeBond) = (address(_panel), CHALLENGE_BOND + 3);
    }

    // ------------------------------------------------------------------------------------------- the panel

    function test_panel_keepsWhatItIsMadeOf() public view {
        vm.assertEq(keccak256(abi.encode(_panel.members())), keccak256(abi.encode(_members(3))), "members");
        vm.assertTrue(_panel.isMember(member(1)) && !_panel.isMember(STRANGER), "members");
        vm.assertEq(_panel.threshold(), 2, "threshold");
        vm.assertEq(_panel.commitSecs(), COMMIT, "commit");
        vm.assertEq(_panel.revealSecs(), REVEAL, "reveal");
        vm.assertEq(_panel.rulingSecs(), COMMIT + REVEAL, "ruling");
    }

    function test_panel_refusesWhatMakesNoPanel() public {
        _refused(_members(0), 1, 1, 1, "members", 0);
        _refused(_members(33), 17, 1, 1, "members", 33);
        _refused(_members(3), 1, 1, 1, "threshold", 1);
        _refused(_members(4), 2, 1, 1, "threshold", 2);
        _refused(_members(3), 4, 1, 1, "threshold", 4);
        _refused(_members(3), 2, 0, 1, "commitSecs", 0);
        _refused(_members(3), 2, 365 days + 1, 1, "commitSecs", 365 days + 1);
        _refused(_members(3), 2, 1, 0, "revealSecs", 0);
        _refused(_members(3), 2, 1, 365 days + 1, "revealSecs", 365 days + 1);
        address[] memory members = _members(3);
        members[2] = members[0];
        _refused(members, 2, 1, 1, "member", 2);
        members[1] = address(0);
        _refused(members, 2, 1, 1, "member", 1);
        vm.assertEq(_deploy(_members(32), 17, 365 days, 365 days).members().length, 32, "the limits");
        vm.assertEq(_deploy(_members(1), 1, 1, 1).threshold(), 1, "one alone");
    }

    // ----------------------------------------------------------------------------------------- the hearing

    function test_panel_rulesFaultyAndTheMajoritySharesItsPart() public {
        TaskId id = _opened();
        _commit(id, 0, true);
        _commit(id, 1, true);
        _commit(id, 2, false);
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(id, i, i < 2);
        }
        vm.expectEmit(address(_panel));
        emit IPanelArbiter.HearingRuled(market, id, true, 2, uint96(LEASE_BOND / 4 / 2));
        vm.prank(STRANGER);
        _panel.rule(market, id);
        assertState(id, State.Refunded);
        vm.assertEq(_panel.shareOf(market, member(0)), LEASE_BOND / 4 / 2, "half of a quarter");
        vm.assertEq(_panel.shareOf(market, member(1)), LEASE_BOND / 4 / 2, "half of a quarter");
        vm.assertEq(_panel.shareOf(market, member(2)), 0, "voted against it");
        vm.assertEq(_panel.hearingOf(market, id).share, LEASE_BOND / 4 / 2, "share");
        vm.assertTrue(_panel.hearingOf(market, id).ruled, "ruled");

        vm.prank(member(0));
        _panel.collect(market, STRANGER);
        vm.assertEq(STRANGER.balance, LEASE_BOND / 8 * UNIT, "collected");
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NothingToCollect.selector, member(0)));
        vm.prank(member(0));
        _panel.collect(market, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NothingToCollect.selector, member(2)));
        vm.prank(member(2));
        _panel.collect(market, STRANGER);
    }

    function test_panel_rulesSoundOnTwoVotesAndSharesAnOddPart() public {
        TaskId id = _opened();
        _commit(id, 1, false);
        _commit(id, 2, false);
        pass(COMMIT + 1);
        _reveal(id, 1, false);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NoMajority.selector, 0, 1, 2));
        _panel.rule(market, id);
        _reveal(id, 2, false);
        _panel.rule(market, id);
        assertState(id, State.Settled);
        vm.assertEq(_panel.shareOf(market, member(0)), 0, "did not vote");
        vm.assertEq(_panel.shareOf(market, member(1)), (CHALLENGE_BOND + 3) / 4 / 2, "share");
        vm.assertTrue(_panel.voteOf(market, id, member(1)) == Vote.Sound, "vote");
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.AlreadyRuled.selector, market, id));
        _panel.rule(market, id);
    }

    function test_panel_withoutAMajorityLeavesItToTheMarketsTimeout() public {
        TaskId id = _opened();
        _commit(id, 0, true);
        _commit(id, 1, false);
        pass(COMMIT + 1);
        _reveal(id, 0, true);
        _reveal(id, 1, false);
        pass(REVEAL + 1);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NoMajority.selector, 1, 1, 2));
        _panel.rule(market, id);
        pass(ARBITER_TIMEOUT);
        market.timeout(id);
        assertState(id, State.Settled);
    }

    function test_panel_waitsForOpenDemandsAndThenRules() public {
        TaskId id = _opened();
        demandLeaf(id, 0);
        for (uint256 i = 0; i < 3; ++i) {
            _commit(id, i, true);
        }
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(id, i, true);
        }
        vm.expectRevert(refusal(IInferenceMarket.DemandsOpen.selector, id, 1));
        _panel.rule(market, id);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        _panel.rule(market, id);
        assertState(id, State.Refunded);
    }

    function test_panel_open_onlyOnceForItsMarketInADisputeInTime() public {
        TaskId id = answered(TOKENS);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotDisputed.selector, market, id));
        _panel.open(market, id);
        challengeTask(id);
        pass(ARBITER_TIMEOUT - COMMIT - REVEAL + 1);
        uint256 late = block.timestamp + COMMIT + REVEAL;
        vm.expectRevert(
            abi.encodeWithSelector(IPanelArbiter.TooLateToOpen.selector, late, START + ARBITER_TIMEOUT)
        );
        _panel.open(market, id);
        vm.warp(block.timestamp - 1);
        vm.expectEmit(address(_panel));
        emit IPanelArbiter.HearingOpened(
            market, id, uint32(block.timestamp + COMMIT), uint32(START + ARBITER_TIMEOUT)
        );
        _panel.open(market, id);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.AlreadyOpen.selector, market, id));
        _panel.open(market, id);

        Parameters memory p = parameters();
        p.arbiter = ARBITER;
        IInferenceMarket foreign = deploy(p);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotOurMarket.selector, foreign, ARBITER));
        _panel.open(foreign, id);
    }

    function test_panel_commit_ofMembersOnceInTime() public {
        TaskId id = disputed();
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotOpen.selector, market, id));
        vm.prank(member(0));
        _panel.commitVote(market, id, 0);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotOpen.selector, market, id));
        _panel.rule(market, id);
        _panel.open(market, id);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.NotMember.selector, STRANGER));
        vm.prank(STRANGER);
        _panel.commitVote(market, id, 0);
        _commit(id, 0, true);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.AlreadyCommitted.selector, member(0)));
        vm.prank(member(0));
        _panel.commitVote(market, id, 0);
        pass(COMMIT);
        _commit(id, 1, true);
        pass(1);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.CommitEnded.selector, START + COMMIT));
        vm.prank(member(2));
        _panel.commitVote(market, id, 0);
    }

    function test_panel_reveal_ofACommittedVoteInTime() public {
        TaskId id = _opened();
        _commit(id, 0, true);
        _commit(id, 1, true);
        pass(COMMIT);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.RevealNotBegun.selector, START + COMMIT));
        _reveal(id, 0, true);
        pass(1);
        bytes32 committed = _panel.hashVote(market, id, member(0), true, bytes32(0));
        bytes32 shown = _panel.hashVote(market, id, member(0), false, bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.CommitmentMismatch.selector, committed, shown));
        _reveal(id, 0, false);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.VoteNotCommitted.selector, member(2)));
        _reveal(id, 2, true);
        pass(REVEAL - 1);
        _reveal(id, 0, true);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.VoteNotCommitted.selector, member(0)));
        _reveal(id, 0, true);
        pass(1);
        vm.expectRevert(abi.encodeWithSelector(IPanelArbiter.RevealEnded.selector, START + COMMIT + REVEAL));
        _reveal(id, 1, true);
    }

    function test_panel_aCopiedVoteCannotBeRevealed() public {
        TaskId id = _opened();
        bytes32 copied = _panel.hashVote(market, id, member(0), true, bytes32(0));
        _commit(id, 0, true);
        vm.prank(member(1));
        _panel.commitVote(market, id, copied);
        pass(COMMIT + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPanelArbiter.CommitmentMismatch.selector,
                copied,
                _panel.hashVote(market, id, member(1), true, bytes32(0))
            )
        );
        _reveal(id, 1, true);
    }

    function test_panel_hearingsOfTwoTasksAreApart() public {
        TaskId id = _opened();
        TaskId other = _opened();
        for (uint256 i = 0; i < 3; ++i) {
            _commit(id, i, true);
            _commit(other, i, false);
        }
        for (uint256 i = 0; i < 3; ++i) {
            _reveal(id, i, true);
            _reveal(other, i, false);
        }
        _panel.rule(market, other);
        _panel.rule(market, id);
        assertState(id, State.Refunded);
        assertState(other, State.Settled);
        Hearing memory hearing = _panel.hearingOf(market, other);
        vm.assertEq(hearing.faulty, 0, "apart");
        vm.assertEq(hearing.revealed, 3, "apart");
        vm.assertEq(hearing.share, (CHALLENGE_BOND + 3) / 4 / 3, "its own part");
        vm.assertEq(_panel.hearingOf(market, id).share, LEASE_BOND / 4 / 3, "its own, none collected before");
    }

    // ----------------------------------------------------------------------------------------------- steps

    function member(uint256 number) internal pure returns (address) {
        return address(uint160(0x9A7E100 + number));
    }

    function _members(uint256 count) private pure returns (address[] memory members) {
        members = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            members[i] = member(i);
        }
    }

    function _deploy(address[] memory members, uint8 threshold, uint32 commitSecs, uint32 revealSecs)
        private
        returns (IPanelArbiter)
    {
        bytes memory arguments = abi.encode(members, threshold, commitSecs, revealSecs);
        return IPanelArbiter(vm.deployCode("PanelArbiter.sol:PanelArbiter", arguments));
    }

    function _refused(
        address[] memory members,
        uint8 threshold,
        uint32 commitSecs,
        uint32 revealSecs,
        string memory name,
        uint256 value
    ) private {
        bytes memory code = bytes.concat(
            vm.getCode("PanelArbiter.sol:PanelArbiter"),
            abi.encode(members, threshold, commitSecs, revealSecs)
        );
        (address made, bytes memory answer) = create(code);
        vm.assertEq(made, address(0), name);
        bytes memory expected = abi.encodeWithSelector(IPanelArbiter.BadPanel.selector, name, value);
        vm.assertEq(keccak256(answer), keccak256(expected), name);
    }

    function _opened() private returns (TaskId id) {
        id = disputed();
        _panel.open(market, id);
    }

    function _commit(TaskId id, uint256 number, bool faulty) private {
        bytes32 commitment = _panel.hashVote(market, id, member(number), faulty, bytes32(0));
        vm.prank(member(number));
        _panel.commitVote(market, id, commitment);
    }

    function _reveal(TaskId id, uint256 number, bool faulty) private {
        vm.prank(member(number));
        _panel.revealVote(market, id, faulty, bytes32(0));
    }
}
