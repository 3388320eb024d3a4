// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

/// @notice Calls back into the market while it is paid.
contract Reentrant {
    IInferenceMarket private immutable MARKET;
    bytes private _call;
    bytes public answer;

    constructor(IInferenceMarket market) {
        MARKET = market;
    }

    function run(uint256 units, bytes calldata call) external {
        _call = call;
        MARKET.withdraw(units, address(this));
    }

    receive() external payable {
        (, answer) = address(MARKET).call(_call);
    }
}

contract Refuser {
    function withdraw(IInferenceMarket market, uint256 units) external {
        market.withdraw(units, address(this));
    }
}

contract WithdrawTest is MarketTest {
    function test_withdraw_sendsWeiToWhomTheCallerNames() public {
        vm.expectEmit(address(market));
        emit IInferenceMarket.Withdrawn(REQUESTER, STRANGER, 7);
        vm.prank(REQUESTER);
        market.withdraw(7, STRANGER);

        assertAccount(REQUESTER, FUNDS - 7, 0);
        vm.assertEq(STRANGER.balance, 7 * UNIT, "received");
    }

    function test_withdraw_allThatIsFree() public {
        vm.prank(REQUESTER);
        market.withdraw(FUNDS, REQUESTER);
        assertAccount(REQUESTER, 0, 0);
        vm.assertEq(REQUESTER.balance, uint256(FUNDS) * UNIT, "received");
    }

    function test_withdraw_ofMoreThanIsFreeIsRefused() public {
        leased();
        uint256 free = FUNDS - 2 * BOND_UNIT;
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.InsufficientFree.selector, WORKER, free, free + 1)
        );
        vm.prank(WORKER);
        market.withdraw(free + 1, WORKER);
    }

    function test_withdraw_ofAnAmountNoAccountCanHoldIsRefused() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.InsufficientFree.selector, REQUESTER, uint256(FUNDS), type(uint256).max
            )
        );
        vm.prank(REQUESTER);
        market.withdraw(type(uint256).max, REQUESTER);
    }

    function test_withdraw_toNobodyIsRefused() public {
        vm.expectRevert(IInferenceMarket.ZeroAddress.selector);
        vm.prank(REQUESTER);
        market.withdraw(1, address(0));
    }

    function test_withdraw_toAReceiverThatRefusesIsUndone() public {
        Refuser refuser = new Refuser();
        fund(address(refuser));
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.WithdrawalFailed.selector, address(refuser), 3 * UNIT)
        );
        refuser.withdraw(market, 3);
        assertAccount(address(refuser), FUNDS, 0);
    }

    function test_withdraw_toTheMarketItselfIsUndone() public {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.WithdrawalFailed.selector, address(market), UNIT)
        );
        vm.prank(REQUESTER);
        market.withdraw(1, address(market));
    }

    function test_withdraw_receiverCannotWithdrawAgain() public {
        Reentrant thief = new Reentrant(market);
        fund(address(thief));
        thief.run(10, abi.encodeCall(IInferenceMarket.withdraw, (1, address(thief))));
        vm.assertEq(
            bytes32(thief.answer()),
            bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))),
            "the guard refused"
        );
        assertAccount(address(thief), FUNDS - 10, 0);
    }

    function test_withdraw_receiverFindsTheBooksClosed() public {
        Reentrant thief = new Reentrant(market);
        fund(address(thief));
        thief.run(FUNDS - 1, abi.encodeCall(IInferenceMarket.claimMany, (one(open()))));
        vm.assertEq(thief.answer().length, 32, "claimed nothing: the bond is above what is left");
        vm.assertEq(uint256(bytes32(thief.answer())), 0, "claimed");
        assertAccount(address(thief), 1, 0);
    }

    function test_fuzz_withdraw(uint96 amount) public {
        amount = uint96(bound(amount, 0, FUNDS));
        vm.prank(REQUESTER);
        market.withdraw(amount, STRANGER);
        assertAccount(REQUESTER, FUNDS - amount, 0);
        vm.assertEq(STRANGER.balance, amount * UNIT, "received");
    }
}
