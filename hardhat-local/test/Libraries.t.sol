// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Request, State} from "../contracts/interfaces/IInferenceMarket.sol";
import {EscrowWord, Ledger} from "../contracts/libraries/Ledger.sol";
import {TaskWord, Transition} from "../contracts/libraries/Transition.sol";
import {vm} from "./utils/Vm.sol";

/// @notice Takes requests from calldata, as the libraries do.
contract Packer {
    function open(Request calldata request, uint32 time) external pure returns (TaskWord) {
        return Transition.open(request, time);
    }

    function pack(Request calldata request) external pure returns (EscrowWord) {
        return Ledger.pack(request);
    }
}

/// @notice The pure parts, over the whole width of their fields.
contract LibrariesTest {
    Packer private immutable PACKER = new Packer();

    function test_fuzz_charge_isBetweenTheFlatPartAndTheFee(
        uint48 maxFee,
        uint8 flatPercent,
        uint32 tokens,
        uint32 maxTokens
    ) public pure {
        flatPercent %= 101;
        if (maxTokens == 0) maxTokens = 1;
        if (tokens > maxTokens) tokens %= maxTokens;
        uint256 charge = Ledger.charge(maxFee, flatPercent, tokens, maxTokens);
        vm.assertGe(charge, uint256(maxFee) * flatPercent / 100, "flat part");
        vm.assertLe(charge, maxFee, "fee");
        vm.assertEq(
            Ledger.charge(maxFee, flatPercent, maxTokens, maxTokens), maxFee, "all tokens cost the fee"
        );
    }

    function test_fuzz_releaseBurn_growsToTheBond(uint80 bond, uint24 leaseSecs, uint24 held) public pure {
        if (leaseSecs == 0) leaseSecs = 1;
        held = uint24(held % (uint256(leaseSecs) + 1));
        uint256 burn = Ledger.releaseBurn(bond, held, leaseSecs);
        vm.assertLe(burn, bond, "at most the bond");
        vm.assertGe(burn, uint256(bond) * 5 / 100, "at least 5 %");
        vm.assertEq(Ledger.releaseBurn(bond, leaseSecs, leaseSecs), bond, "all at the end");
        if (held > 0) {
            vm.assertGe(burn, Ledger.releaseBurn(bond, held - 1, leaseSecs), "never less than before");
        }
    }

    function test_fuzz_taskWord_keepsEveryField(Request memory request, uint32 time) public view {
        request.replicas = 2 * (request.replicas % 4) + 1;
        TaskWord word = PACKER.open(request, time);
        vm.assertEq(uint256(word.state()), uint256(State.Open), "state");
        vm.assertEq(word.worker(), 0, "worker");
        vm.assertEq(word.until(), 0, "until");
        vm.assertEq(word.outputTokens(), 0, "outputTokens");
        _sameTerms(word, request, time);
    }

    function test_fuzz_taskWord_movesTouchTheirFieldsOnly(
        Request memory request,
        uint32 time,
        uint32 worker,
        uint32 until,
        uint32 windowEnd,
        uint32 tokens
    ) public view {
        request.replicas = 2 * (request.replicas % 4) + 1;
        TaskWord word = PACKER.open(request, time);
        TaskWord leased = word.lease(worker, until);
        vm.assertEq(uint256(leased.state()), uint256(State.Leased), "state");
        vm.assertEq(leased.worker(), worker, "worker");
        vm.assertEq(leased.until(), until, "until");
        _sameTerms(leased, request, time);
        TaskWord reopened = leased.reopen(until);
        vm.assertEq(
            TaskWord.unwrap(reopened), TaskWord.unwrap(word) | uint256(until) << 48, "as before the lease"
        );

        TaskWord posted = leased.post(windowEnd, tokens);
        vm.assertEq(uint256(posted.state()), uint256(State.Posted), "state");
        vm.assertEq(posted.worker(), worker, "worker");
        vm.assertEq(posted.until(), windowEnd, "until");
        vm.assertEq(posted.outputTokens(), tokens, "outputTokens");
        _sameTerms(posted, request, 0); // no demand is open

        TaskWord ended = posted.end(State.Settled);
        vm.assertEq(uint256(ended.state()), uint256(State.Settled), "state");
        vm.assertEq(TaskWord.unwrap(ended) >> 4, TaskWord.unwrap(posted) >> 4, "the rest");

        TaskWord repriced = word.reprice(until);
        _sameTerms(repriced, request, until);
        vm.assertEq(TaskWord.unwrap(repriced.reprice(time)), TaskWord.unwrap(word), "the rest");
    }

    function test_fuzz_escrowWord_keepsEveryField(Request memory request, uint48 newTip) public view {
        EscrowWord word = PACKER.pack(request);
        vm.assertEq(word.requester(), request.requester, "requester");
        vm.assertEq(word.maxFee(), request.maxFee, "maxFee");
        vm.assertEq(word.tip(), request.tip, "tip");
        EscrowWord raised = word.withTip(newTip);
        vm.assertEq(raised.requester(), request.requester, "requester");
        vm.assertEq(raised.maxFee(), request.maxFee, "maxFee");
        vm.assertEq(raised.tip(), newTip, "tip");
        vm.assertEq(word.amount(7), uint256(request.maxFee) * 7 + request.tip, "escrow");
    }

    function _sameTerms(TaskWord word, Request memory request, uint32 pricedAt) private pure {
        vm.assertEq(word.replicas(), request.replicas, "replicas");
        vm.assertEq(word.deadline(), request.deadline, "deadline");
        vm.assertEq(word.leaseSecs(), request.leaseSecs, "leaseSecs");
        vm.assertEq(word.bondUnits(), request.bondUnits, "bondUnits");
        vm.assertEq(word.flatPercent(), request.flatPercent, "flatPercent");
        vm.assertEq(word.pricedAt(), pricedAt, "pricedAt");
        vm.assertEq(word.maxOutputTokens(), request.maxOutputTokens, "maxOutputTokens");
    }
}
