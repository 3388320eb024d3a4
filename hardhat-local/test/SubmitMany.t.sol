// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Request,
    SkipReason,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract SubmitManyTest is MarketTest {
    function test_submitMany_opensAllAndPaysOnce() public {
        Request[] memory requests = new Request[](3);
        for (uint256 i = 0; i < 3; ++i) {
            requests[i] = someRequest();
        }
        vm.prank(REQUESTER);
        vm.assertEq(market.submitMany(requests), 3, "submitted");
        for (uint256 i = 0; i < 3; ++i) {
            assertState(market.hashRequest(requests[i]), State.Open);
        }
        assertAccount(REQUESTER, FUNDS - 3 * (1_000_000 + 30_000), 0);
    }

    /// @dev The event is written by hand: after a long URI a short one must not show what the long one left.
    function test_submitMany_saysEachRequestAsItIs() public {
        uint8[7] memory lengths = [70, 0, 1, 31, 32, 33, 64];
        Request[] memory requests = new Request[](lengths.length);
        for (uint256 i = 0; i < lengths.length; ++i) {
            requests[i] = someRequest();
            bytes memory uri = new bytes(lengths[i]);
            for (uint256 j = 0; j < uri.length; ++j) {
                uri[j] = "u";
            }
            requests[i].inputURI = string(uri);
        }
        for (uint256 i = 0; i < lengths.length; ++i) {
            vm.expectEmit(address(market));
            emit IInferenceMarket.TaskSubmitted(
                market.hashRequest(requests[i]), REQUESTER, requests[i].modelId, requests[i], uint32(START)
            );
        }
        vm.prank(REQUESTER);
        market.submitMany(requests);
    }

    function test_submitMany_canPayAndAskAtOnce() public {
        Request memory request = someRequest();
        request.requester = STRANGER;
        vm.deal(STRANGER, 2_000_000 * UNIT);
        vm.prank(STRANGER);
        vm.assertEq(market.submitMany{value: 2_000_000 * UNIT}(one(request)), 1, "submitted");
        assertAccount(STRANGER, 2_000_000 - 1_030_000, 0);
    }

    function test_submitMany_ofNothingDoesNothing() public {
        vm.prank(STRANGER);
        vm.assertEq(market.submitMany(new Request[](0)), 0, "submitted");
    }

    function test_submitMany_skipsARepeatedRequest() public {
        Request[] memory requests = new Request[](2);
        requests[0] = someRequest();
        requests[1] = requests[0];
        expectSkip(market.hashRequest(requests[0]), State.Open, SkipReason.WrongState);
        vm.prank(REQUESTER);
        vm.assertEq(market.submitMany(requests), 1, "submitted");
        assertAccount(REQUESTER, FUNDS - 1_030_000, 0);
    }

    function test_submitMany_skipsWhatTheBalanceDoesNotCoverAndGoesOn() public {
        Request[] memory requests = new Request[](3);
        requests[0] = someRequest();
        requests[1] = someRequest();
        requests[1].maxFee = uint48(FUNDS);
        requests[2] = someRequest();
        expectSkip(market.hashRequest(requests[1]), State.None, SkipReason.InsufficientFree);
        vm.prank(REQUESTER);
        vm.assertEq(market.submitMany(requests), 2, "submitted");
        assertAccount(REQUESTER, FUNDS - 2 * 1_030_000, 0);
    }

    function test_submitMany_spendsTheLastUnit() public {
        Request[] memory requests = new Request[](2);
        requests[0] = someRequest();
        requests[1] = someRequest();
        vm.prank(REQUESTER);
        market.withdraw(FUNDS - 2 * 1_030_000, REQUESTER);
        vm.prank(REQUESTER);
        vm.assertEq(market.submitMany(requests), 2, "submitted");
        assertAccount(REQUESTER, 0, 0);
    }

    function test_submitMany_skipsWhatSubmitRefuses() public {
        Request memory request = someRequest();
        request.requester = OTHER;
        _skipped(request, SkipReason.NotRequester);
        request = someRequest();
        request.replicas = 3;
        _skipped(request, SkipReason.NoEquivalence);
        request.replicas = 255;
        _skipped(request, SkipReason.BadReplicas);
        request = someRequest();
        request.maxOutputTokens = 0;
        _skipped(request, SkipReason.NoOutputTokens);
        request = someRequest();
        request.flatPercent = 101;
        _skipped(request, SkipReason.FlatPercentTooHigh);
        request = someRequest();
        request.bondUnits = 0;
        _skipped(request, SkipReason.NoBond);
        request = someRequest();
        request.leaseSecs = 4;
        _skipped(request, SkipReason.LeaseTooShort);
        request = someRequest();
        request.deadline = uint32(block.timestamp + request.leaseSecs - 1);
        _skipped(request, SkipReason.DeadlineTooSoon);
        request = someRequest();
        request.deadline = uint32(block.timestamp + 1 days + 1);
        _skipped(request, SkipReason.DeadlineTooFar);
        assertAccount(REQUESTER, FUNDS, 0);
    }

    function _skipped(Request memory request, SkipReason reason) private {
        expectSkip(market.hashRequest(request), State.None, reason);
        vm.prank(REQUESTER);
        vm.assertEq(market.submitMany(one(request)), 0, "submitted");
    }
}
