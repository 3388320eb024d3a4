// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    RefundReason,
    Request,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract CancelTest is MarketTest {
    function test_cancel_refundsAnOpenTask() public {
        TaskId id = open();
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Cancelled, 1_030_000);
        vm.prank(REQUESTER);
        market.cancel(id);
        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
    }

    function test_cancel_afterAReleaseRefunds() public {
        TaskId id = leased();
        vm.prank(WORKER);
        market.release(id);
        vm.prank(REQUESTER);
        market.cancel(id);
        assertAccount(REQUESTER, FUNDS, 0);
    }

    function test_cancel_ofARunningLeaseIsRefusedToItsLastSecond() public {
        TaskId id = leased();
        pass(100);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.LeaseRunning.selector, id, START + 100));
        vm.prank(REQUESTER);
        market.cancel(id);
    }

    function test_cancel_afterTheLapseBurnsTheBondAndRefunds() public {
        TaskId id = leased();
        pass(101);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeaseLapsed(id, WORKER, 2 * uint96(BOND_UNIT));
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Cancelled, 1_030_000);
        vm.prank(REQUESTER);
        market.cancel(id);

        assertState(id, State.Refunded);
        assertAccount(REQUESTER, FUNDS, 0);
        assertAccount(WORKER, FUNDS - 2 * BOND_UNIT, 0);
        vm.assertEq(market.burned(), 2 * BOND_UNIT, "burned");
    }

    function test_cancel_byAnotherIsRefused() public {
        TaskId id = open();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotRequester.selector, STRANGER, REQUESTER));
        vm.prank(STRANGER);
        market.cancel(id);
    }

    function test_cancel_usesTheIdUpForEver() public {
        Request memory request = someRequest();
        TaskId id = submit(request);
        vm.prank(REQUESTER);
        market.cancel(id);
        vm.expectRevert(wrongState(id, State.Refunded));
        submit(request);
    }
}
