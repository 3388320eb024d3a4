// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract DepositTest is MarketTest {
    function test_deposit_creditsTheBeneficiary() public {
        vm.deal(STRANGER, 5 * UNIT);
        vm.expectEmit(address(market));
        emit IInferenceMarket.Deposited(REQUESTER, 5);
        vm.prank(STRANGER);
        market.deposit{value: 5 * UNIT}(REQUESTER);

        assertAccount(REQUESTER, FUNDS + 5, 0);
        assertAccount(STRANGER, 0, 0);
        vm.assertEq(address(market).balance, (3 * uint256(FUNDS) + 5) * UNIT, "balance");
    }

    function test_deposit_ofPartsOfAUnitIsRefused() public {
        vm.deal(STRANGER, 2 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotWholeUnits.selector, UNIT + 1));
        vm.prank(STRANGER);
        market.deposit{value: UNIT + 1}(STRANGER);
    }

    function test_deposit_toNobodyIsRefused() public {
        vm.expectRevert(IInferenceMarket.ZeroAddress.selector);
        market.deposit(address(0));
    }

    function test_deposit_plainTransferIsRefused() public {
        vm.deal(STRANGER, UNIT);
        vm.prank(STRANGER);
        (bool taken,) = address(market).call{value: UNIT}("");
        vm.assertTrue(!taken, "taken");
        vm.assertEq(STRANGER.balance, UNIT, "kept");
    }

    function test_fuzz_deposit(uint64 amount) public {
        vm.deal(STRANGER, amount * UNIT);
        vm.prank(STRANGER);
        market.deposit{value: amount * UNIT}(STRANGER);
        assertAccount(STRANGER, amount, 0);
    }
}
