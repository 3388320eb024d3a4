// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Receipt,
    Request,
    SkipReason,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {IMarketLens} from "../contracts/interfaces/IMarketLens.sol";
import {LawTest} from "./utils/LawTest.sol";
import {Accepting, Burning} from "./utils/Signers.sol";
import {vm} from "./utils/Vm.sol";

/// @notice The rows of "Attacks and answers", each tried. What an attacker and its friends own together, free,
/// locked and in live escrow, is counted before and after: the difference is what the attack gains.
contract AttacksTest is LawTest {
    /// @dev Of TOKENS tokens in a task like `someRequest`.
    uint256 private constant CHARGE = 200_000 + uint256(800_000) * TOKENS / 512;

    // ------------------------------------------------------------------------------- claim and sit, release

    function test_attack_claimAndSit_costsTheBondAndBlocksForOneLease() public {
        TaskId id = open();
        claim(id, WORKER);
        pass(101);
        vm.assertEq(claim(id, OTHER), 1, "evicted after one lease");
        _owns(WORKER, FUNDS - LEASE_BOND);
        _owns(REQUESTER, FUNDS - PRICE);
    }

    function test_attack_releaseAtTheLastSecond_costsTheWholeBond() public {
        TaskId id = leased();
        pass(100);
        vm.prank(WORKER);
        market.release(id);
        _owns(WORKER, FUNDS - LEASE_BOND);
    }

    function test_attack_claimAndReleaseAtOnce_costsAFloorEachTime() public {
        TaskId id = open();
        for (uint256 i = 1; i <= 10; ++i) {
            claim(id, WORKER);
            vm.prank(WORKER);
            market.release(id);
            _owns(WORKER, FUNDS - i * LEASE_BOND / 20);
        }
    }

    function test_attack_evictOneselfToHoldALease_costsABondALease() public {
        TaskId id = open();
        for (uint256 i = 0; i < 5; ++i) {
            claim(id, WORKER);
            pass(101);
        }
        _owns(WORKER, FUNDS - 4 * LEASE_BOND); // and the fifth bond is still locked
        vm.prank(REQUESTER);
        market.cancel(id);
        _owns(WORKER, FUNDS - 5 * LEASE_BOND);
    }

    // ---------------------------------------------------------------------------------------------- poison

    function test_attack_poisonTask_earnsItsRequesterNothing() public {
        Request memory request = someRequest();
        request.bondUnits = 100;
        TaskId id = submit(request);
        claim(id, WORKER);
        pass(101);
        vm.prank(REQUESTER);
        market.cancel(id);
        _owns(REQUESTER, FUNDS);
        vm.assertEq(market.burned(), 100 * BOND_UNIT, "the bond is nobody's");
    }

    /// @dev A prompt that nobody can serve is an answer of no tokens, and its prefill is paid by the flat share.
    function test_attack_promptThatCannotBeServed_paysTheFlatShareAndTheTip() public {
        TaskId id = posted(0);
        pass(WINDOW + 1);
        settle(id);
        _owns(WORKER, FUNDS + 200_000 + 30_000);
        _owns(REQUESTER, FUNDS - 230_000);
    }

    // --------------------------------------------------------------------------------------------- demands

    function test_attack_resultKeptFromTheRequester_isNotPaidAndCostsTheBond() public {
        TaskId id = answered(TOKENS);
        vm.prank(REQUESTER);
        market.demand(id, 0);
        pass(WINDOW + 1);
        expectSkip(id, State.Posted, SkipReason.DemandsOpen);
        market.settleMany(one(id));
        pass(ANSWER_TIME);
        market.lapseDemand(id, 0);
        _owns(WORKER, FUNDS - LEASE_BOND);
        _owns(REQUESTER, FUNDS);
    }

    function test_attack_demandOfALeafThatIsNot_isRefused() public {
        TaskId id = answered(TOKENS);
        vm.expectRevert(refusal(IInferenceMarket.NoSuchLeaf.selector, id, 7, 7));
        demandLeaf(id, 7);
    }

    function test_attack_demandEveryLeaf_paysTheWorkerForEach() public {
        TaskId id = answered(TOKENS);
        for (uint32 leaf = 0; leaf < 7; ++leaf) {
            demandLeaf(id, leaf);
            market.answer(id, leaf, evidenceOf(id, WORKER, TOKENS, leaf));
        }
        _owns(OTHER, FUNDS - 7 * DEMAND_FEE);
        pass(WINDOW + 1);
        settle(id);
        _owns(WORKER, FUNDS + CHARGE + 30_000 + 7 * DEMAND_FEE);
    }

    function test_attack_requesterDemandsToGetTheBond_gainsItsOwnMoneyBackAtMost() public {
        TaskId id = answered(TOKENS);
        vm.prank(REQUESTER);
        market.demand(id, 0);
        pass(ANSWER_TIME + 1);
        market.lapseDemand(id, 0);
        _owns(REQUESTER, FUNDS);
        vm.assertEq(market.burned(), LEASE_BOND, "burned");
    }

    function test_attack_friendlyDemand_shieldsNoOtherLeafNorAChallenge() public {
        TaskId id = answered(TOKENS);
        vm.prank(WORKER);
        market.demand(id, 0);
        demandLeaf(id, 1);
        challengeTask(id);
        vm.assertEq(market.taskOf(id).openDemands, 2, "in parallel");
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        pass(ANSWER_TIME + 1);
        market.lapseDemand(id, 1);
        _owns(WORKER, FUNDS - LEASE_BOND);
    }

    function test_attack_friendlyChallenge_shieldsNoDemandAndTheWholeTaskIsJudged() public {
        TaskId id = answered(TOKENS);
        vm.prank(WORKER);
        market.challenge(id);
        demandLeaf(id, 0);
        market.answer(id, 0, evidenceOf(id, WORKER, TOKENS, 0));
        ruleTask(id, true);
        // Half of its own bond comes back, half is gone: a challenger's part is never the whole.
        _owns(WORKER, FUNDS - LEASE_BOND / 2 + DEMAND_FEE);
        _owns(REQUESTER, FUNDS);
    }

    // ---------------------------------------------------------------------------------------------- receipts

    function test_attack_overstatedTokens_areBoundedAndOneFigureChargesAndProves() public {
        TaskId id = leased();
        expectSkip(id, State.Leased, SkipReason.TooManyTokens);
        post(id, WORKER, 513);
        // The output has 64 tokens; the receipt says 512, so leaf 15 must exist, and cannot.
        bytes32 body = market.hashBody(bodyOf(id, WORKER, 64, 0));
        vm.prank(WORKER);
        market.postBatch(one(Receipt(id, body, 512)));
        demandLeaf(id, 15);
        pass(ANSWER_TIME + 1);
        market.lapseDemand(id, 15);
        _owns(WORKER, FUNDS - LEASE_BOND);
        _owns(REQUESTER, FUNDS);
    }

    function test_attack_badItemsInABatch_haveTheirOwnFate() public {
        TaskId[] memory ids = new TaskId[](4);
        for (uint256 i = 0; i < 4; ++i) {
            ids[i] = leased();
        }
        pass(101);
        claim(ids[2], OTHER);
        Receipt[] memory receipts = new Receipt[](5);
        for (uint256 i = 0; i < 4; ++i) {
            receipts[i] = Receipt(ids[i], keccak256("body"), i == 1 ? 513 : 512);
        }
        receipts[4] = receipts[0];
        expectSkip(ids[1], State.Leased, SkipReason.TooManyTokens);
        expectSkip(ids[2], State.Leased, SkipReason.NotWorker);
        expectSkip(ids[0], State.Posted, SkipReason.WrongState);
        vm.prank(WORKER);
        market.postBatch(receipts);
        pass(WINDOW + 1);
        vm.assertEq(market.settleMany(ids), 2, "the good ones");
        _owns(WORKER, FUNDS + 2 * PRICE - LEASE_BOND);
    }

    // --------------------------------------------------------------------------------------------- strangers

    function test_attack_strangerSettlesOrExpires_isPaidNothing() public {
        TaskId id = posted(512);
        TaskId open_ = open();
        vm.warp(START + 1001);
        vm.startPrank(STRANGER);
        market.settleMany(one(id));
        market.expire(open_);
        vm.stopPrank();
        _owns(STRANGER, 0);
        _owns(WORKER, FUNDS + PRICE);
        _owns(REQUESTER, FUNDS - PRICE);
    }

    function test_attack_resentRequest_opensNothing() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        TaskId id = market.submitBySig(request, signature);
        claim(id, WORKER);
        post(id, WORKER, 512);
        pass(WINDOW + 1);
        settle(id);
        request.deadline += 1; // else it is too late for that one anyway
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.BadSignature.selector, market.hashRequest(request), request.requester
            )
        );
        market.submitBySig(request, signature);
        request.deadline -= 1;
        vm.expectRevert(wrongState(id, State.Settled));
        market.submitBySig(request, signature);
        _owns(request.requester, FUNDS - PRICE);
    }

    function test_attack_foreignRequest_isAnothersOnThisInstance() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        market = deploy(parameters());
        fund(request.requester);
        TaskId id = market.hashRequest(request);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.BadSignature.selector, id, request.requester));
        market.submitBySig(request, signature);
        _owns(request.requester, FUNDS);
    }

    /// @dev A relayer chooses whether and when, nothing else.
    function test_attack_relayerTurnsOnItsClient_canOnlyKeepSilent() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        request.tip += 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.BadSignature.selector, market.hashRequest(request), request.requester
            )
        );
        market.submitBySig(request, signature);
        request.tip -= 1;
        vm.prank(request.requester);
        market.revoke(request);
        vm.expectRevert(wrongState(market.hashRequest(request), State.Refunded));
        market.submitBySig(request, signature);
        _owns(request.requester, FUNDS);
    }

    // ---------------------------------------------------------------------------------------------- replicas

    function test_attack_colludingReplicas_areChallengedByTheMinority() public {
        TaskId id = won(three(0, 1, 1)); // replica 0 is honest
        vm.prank(replica(0));
        market.challenge(id);
        ruleTask(id, true);
        _owns(replica(0), FUNDS + LEASE_BOND); // half of each of two bonds
        _owns(replica(1), FUNDS - LEASE_BOND);
        _owns(replica(2), FUNDS - LEASE_BOND);
        _owns(REQUESTER, FUNDS);
    }

    function test_attack_requesterBreaksTheQuorum_paysHalfForTheWorkOfOthers() public {
        // Two of three seats are the requester's friends, each with an answer of its own.
        TaskId id = won(three(0, 1, 2));
        assertState(id, State.Refunded);
        _owns(replica(0), FUNDS + CHARGE / 2);
        uint256 together = _all(REQUESTER) + _all(replica(1)) + _all(replica(2));
        vm.assertEq(together, 3 * uint256(FUNDS) - CHARGE / 2, "half price, the known residue");
    }

    /// @dev The known residue of replicas: one person behind all seats, each with garbage of full length.
    function test_attack_garbageInEverySeat_earnsHalfOfTheFeesAndNoTip() public {
        TaskId id = seated(3, 3);
        for (uint256 i = 0; i < 3; ++i) {
            commitAs(i, id, 512, i);
        }
        for (uint256 i = 0; i < 3; ++i) {
            revealAs(i, id, 512, i);
        }
        market.closeRound(id);
        assertState(id, State.Refunded);
        uint256 together = _all(replica(0)) + _all(replica(1)) + _all(replica(2));
        vm.assertEq(together, 3 * uint256(FUNDS) + 3 * 500_000, "half of each fee");
        _owns(REQUESTER, FUNDS - 3 * 500_000);
        vm.expectRevert(wrongState(id, State.Refunded));
        challengeTask(id);
    }

    function test_attack_requesterSeatsFriendsWhoKeepSilent_losesTheirBondsAndPaysHalf() public {
        TaskId id = revealing(unanimous(3));
        revealAs(0, id, TOKENS, 0);
        pass(ANSWER_TIME + 1);
        market.closeRound(id);
        uint256 together = _all(REQUESTER) + _all(replica(1)) + _all(replica(2));
        vm.assertEq(together, 3 * uint256(FUNDS) - CHARGE / 2 - 2 * LEASE_BOND, "dearer than half");
    }

    function test_attack_copiedCommitment_cannotBeRevealed() public {
        TaskId id = seated(3, 3);
        bytes32 copied = commitmentOf(id, replica(0), TOKENS, 0);
        commitAs(0, id, TOKENS, 0);
        vm.prank(replica(1));
        market.commit(id, copied);
        commitAs(2, id, TOKENS, 0);
        bytes32 own = commitmentOf(id, replica(1), TOKENS, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.CommitmentMismatch.selector, id, copied, own));
        revealAs(1, id, TOKENS, 0);
        pass(ANSWER_TIME + 1);
        vm.expectRevert(refusal(IInferenceMarket.RevealEnded.selector, id, START + ANSWER_TIME));
        revealAs(0, id, TOKENS, 0);
        market.closeRound(id);
        _owns(replica(1), FUNDS - LEASE_BOND);
    }

    /// @dev A friend commits to the verdict itself and keeps silent: the winners' tokens would count as none.
    function test_attack_verdictAsCommitment_doesNotCutTheWinnersPay() public {
        TaskId id = seated(3, 3);
        bytes32 verdict = verdictOf(bodyOf(id, replica(1), TOKENS, 0), TOKENS);
        vm.prank(replica(0));
        market.commit(id, verdict);
        commitAs(1, id, TOKENS, 0);
        commitAs(2, id, TOKENS, 0);
        revealAs(1, id, TOKENS, 0);
        revealAs(2, id, TOKENS, 0);
        pass(ANSWER_TIME + 1);
        market.closeRound(id);
        pass(WINDOW + 1);
        settle(id);
        _owns(replica(1), FUNDS + CHARGE + 10_000);
        uint256 together = _all(REQUESTER) + _all(replica(0));
        vm.assertEq(together, 2 * uint256(FUNDS) - 2 * (CHARGE + 10_000) - LEASE_BOND, "a bond lost");
    }

    // -------------------------------------------------------------------------------------------- challenges

    function test_attack_challengeSpam_costsABondEachAndPaysTheWorker() public {
        TaskId id = disputed();
        ruleTask(id, false);
        _owns(CHALLENGER, FUNDS - CHALLENGE_BOND);
        _owns(WORKER, FUNDS + CHARGE + 30_000 + CHALLENGE_BOND / 2);
        vm.expectRevert(wrongState(id, State.Settled));
        challengeTask(id);
    }

    function test_attack_silentArbiter_costsTheChallengerTimeOnly() public {
        TaskId id = disputed();
        pass(ARBITER_TIMEOUT + 1);
        market.timeout(id);
        _owns(CHALLENGER, FUNDS);
        _owns(WORKER, FUNDS + CHARGE + 30_000);
    }

    function test_attack_arbiterRulesTwiceOrOnTasksInPeace_isRefused() public {
        TaskId id = answered(TOKENS);
        vm.expectRevert(wrongState(id, State.Posted));
        ruleTask(id, true);
        challengeTask(id);
        ruleTask(id, true);
        vm.expectRevert(wrongState(id, State.Refunded));
        ruleTask(id, true);
        _owns(ARBITER, LEASE_BOND / 4);
    }

    // ----------------------------------------------------------------------------------------------- hostile

    function test_attack_hostileSigner_burnsABoundedPartOfTheSendersGas() public {
        Request memory request = someRequest();
        request.requester = address(new Burning());
        fund(request.requester);
        uint256 before = gasleft();
        vm.assertEq(market.submitManyBySig(one(request), one(bytes(""))), 0, "skipped");
        vm.assertLe(before - gasleft(), 180_000, "gas");
        _owns(request.requester, FUNDS);
    }

    function test_attack_signerThatChangesItsMind_escrowsOnce() public {
        Request memory request = someRequest();
        request.requester = address(new Accepting());
        fund(request.requester);
        TaskId id = market.submitBySig(request, "");
        vm.expectRevert(wrongState(id, State.Open));
        market.submitBySig(request, "again");
        vm.assertEq(freeOf(request.requester), FUNDS - PRICE, "once");
    }

    function test_attack_forcedEther_isNobodys() public {
        vm.deal(address(market), address(market).balance + 5 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.InsufficientFree.selector, WORKER, uint256(FUNDS), uint256(FUNDS) + 1
            )
        );
        vm.prank(WORKER);
        market.withdraw(FUNDS + 1, WORKER);
    }

    /// @dev Of two tasks the worse paid is claimed: provable, and worth nothing to anybody.
    function test_attack_passingOverABetterTask_movesNoMoney() public {
        IMarketLens lens = IMarketLens(vm.deployCode("MarketLens.sol:MarketLens", abi.encode(market)));
        Request memory worse = someRequest();
        Request memory better = someRequest();
        better.tip += 1;
        submit(worse);
        submit(better);
        pass(parameters().inversionGrace + 1);
        claim(market.hashRequest(worse), WORKER);
        vm.expectEmit(address(lens));
        emit IMarketLens.InversionRecorded(
            market.hashRequest(worse), market.hashRequest(better), WORKER, uint32(block.timestamp)
        );
        vm.prank(STRANGER);
        lens.recordSkip(worse, better, WORKER);
        _owns(WORKER, FUNDS);
        _owns(STRANGER, 0);
        _owns(REQUESTER, FUNDS - 2 * PRICE - 1);
    }

    /// @dev Requester and worker are one: the market has no history to sell, only gas is spent.
    function test_attack_washTrade_movesNoMoney() public {
        TaskId id = open();
        claim(id, REQUESTER);
        post(id, REQUESTER, 512);
        pass(WINDOW + 1);
        settle(id);
        _owns(REQUESTER, FUNDS);
    }

    // ------------------------------------------------------------------------------------------------- books

    function _all(address who) private view returns (uint256) {
        return freeOf(who) + lockedOf(who);
    }

    function _owns(address who, uint256 amount) private view {
        vm.assertEq(_all(who), amount, "owns");
    }
}
