// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, State, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract RaiseTipTest is MarketTest {
    function test_raiseTip_locksTheDifferenceAndRestartsTheAge() public {
        TaskId id = open();
        pass(10);
        vm.expectEmit(address(market));
        emit IInferenceMarket.PriorityRaised(id, 50_000, 512, uint32(START + 10));
        vm.prank(REQUESTER);
        market.raiseTip(id, 50_000);

        vm.assertEq(market.taskOf(id).tip, 50_000, "tip");
        vm.assertEq(market.taskOf(id).pricedAt, START + 10, "pricedAt");
        assertAccount(REQUESTER, FUNDS - 1_000_000 - 50_000, 0);
    }

    function test_raiseTip_keepsTheOtherFields() public {
        TaskId id = open();
        vm.prank(REQUESTER);
        market.raiseTip(id, 900_000_000);
        claim(id, WORKER);
        post(id, WORKER, 512);
        pass(WINDOW + 1);
        settle(id);
        vm.assertEq(freeOf(WORKER), FUNDS + 1_000_000 + 900_000_000, "paid");
    }

    function test_raiseTip_toTheSameOrLessIsRefused() public {
        TaskId id = open();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.TipNotRaised.selector, 30_000, 30_000));
        vm.prank(REQUESTER);
        market.raiseTip(id, 30_000);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.TipNotRaised.selector, 30_000, 0));
        vm.prank(REQUESTER);
        market.raiseTip(id, 0);
    }

    function test_raiseTip_byAnotherIsRefused() public {
        TaskId id = open();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotRequester.selector, STRANGER, REQUESTER));
        vm.prank(STRANGER);
        market.raiseTip(id, 50_000);
    }

    function test_raiseTip_beyondTheBalanceIsRefused() public {
        TaskId id = open();
        uint256 free = FUNDS - 1_030_000;
        uint48 tip = uint48(30_000 + free + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.InsufficientFree.selector, REQUESTER, free, free + 1)
        );
        vm.prank(REQUESTER);
        market.raiseTip(id, tip);
        vm.prank(REQUESTER);
        market.raiseTip(id, tip - 1);
        assertAccount(REQUESTER, 0, 0);
    }

    function test_raiseTip_isRefundedWithTheRest() public {
        TaskId id = open();
        vm.prank(REQUESTER);
        market.raiseTip(id, 50_000);
        vm.prank(REQUESTER);
        market.cancel(id);
        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
    }
}
