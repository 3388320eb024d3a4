// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, RefundReason, State, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract ExpireTest is MarketTest {
    function test_expire_refundsAnOpenTaskForAnyone() public {
        TaskId id = open();
        vm.warp(START + 1001);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Expired, 1_030_000);
        vm.prank(STRANGER);
        market.expire(id);
        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
        assertAccount(STRANGER, 0, 0);
    }

    function test_expire_ofALeasedTaskBurnsTheBond() public {
        TaskId id = leased();
        vm.warp(START + 1001);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeaseLapsed(id, WORKER, 2 * uint96(BOND_UNIT));
        vm.prank(STRANGER);
        market.expire(id);
        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
        assertAccount(WORKER, FUNDS - 2 * BOND_UNIT, 0);
        vm.assertEq(market.burned(), 2 * BOND_UNIT, "burned");
    }

    function test_expire_onTheDeadlineIsRefused() public {
        TaskId id = open();
        vm.warp(START + 1000);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.DeadlineNotPassed.selector, id, START + 1000));
        market.expire(id);
    }

    function test_expire_takesNothingFromAPostedTask() public {
        TaskId id = posted(512);
        vm.warp(START + 2000);
        vm.expectRevert(wrongState(id, State.Posted));
        market.expire(id);
        settle(id);
        assertAccount(WORKER, FUNDS + 1_030_000, 0);
    }
}
