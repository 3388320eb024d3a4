// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Parameters,
    Request,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {Calling, Coin, Crooked, Silent} from "./utils/Tokens.sol";
import {vm} from "./utils/Vm.sol";

contract TokenTest is MarketTest {
    uint256 private constant COIN = 1 ether;
    uint256 private constant PERMIT_KEY = 0xbeef;

    Coin private _coin;

    function setUp() public override {
        vm.warp(START);
        _coin = new Coin(18);
        market = deployFor(address(_coin));
    }

    function deployFor(address token) internal returns (IInferenceMarket) {
        Parameters memory p = parameters();
        p.token = token;
        return deploy(p);
    }

    function test_token_unitIsABillionthOrTheSmallestPart() public {
        vm.assertEq(market.UNIT(), 1e9, "18 decimals");
        vm.assertEq(deployFor(address(new Coin(0))).UNIT(), 1, "0");
        vm.assertEq(deployFor(address(new Coin(6))).UNIT(), 1, "6");
        vm.assertEq(deployFor(address(new Coin(9))).UNIT(), 1, "9");
        vm.assertEq(deployFor(address(new Coin(10))).UNIT(), 10, "10");
        vm.assertEq(deployFor(address(new Coin(36))).UNIT(), 1e27, "36");
    }

    function test_token_depositCreditsTheBeneficiaryAndChargesTheCaller() public {
        _give(STRANGER, 5);
        vm.expectEmit(address(market));
        emit IInferenceMarket.Deposited(REQUESTER, 5);
        vm.prank(STRANGER);
        market.depositToken(REQUESTER, 5);
        assertAccount(REQUESTER, 5, 0);
        assertAccount(STRANGER, 0, 0);
        vm.assertEq(_coin.balanceOf(address(market)), 5e9, "held");
        vm.assertEq(_coin.balanceOf(STRANGER), 0, "paid");
    }

    function test_token_withdrawSendsTokens() public {
        _deposit(REQUESTER, 100);
        vm.expectEmit(address(market));
        emit IInferenceMarket.Withdrawn(REQUESTER, OTHER, 60);
        vm.prank(REQUESTER);
        market.withdraw(60, OTHER);
        assertAccount(REQUESTER, 40, 0);
        vm.assertEq(_coin.balanceOf(OTHER), 60e9, "received");
        vm.assertEq(_coin.balanceOf(address(market)), 40e9, "held");
    }

    function test_token_aWholeLifeOfATaskWithSixDecimals() public {
        _coin = new Coin(6);
        market = deployFor(address(_coin));
        _deposit(REQUESTER, FUNDS);
        _deposit(WORKER, FUNDS);
        TaskId id = posted(512);
        pass(WINDOW + 1);
        settle(id);
        vm.startPrank(WORKER);
        market.withdraw(FUNDS + PRICE, WORKER);
        vm.stopPrank();
        vm.assertEq(_coin.balanceOf(WORKER), FUNDS + PRICE, "all of it, one unit a part");
        vm.assertEq(_coin.balanceOf(address(market)), FUNDS - PRICE, "held");
    }

    function test_token_withoutAllowanceOrBalanceIsRefused() public {
        _coin.mint(STRANGER, COIN);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(STRANGER);
        market.depositToken(STRANGER, 1);
        vm.prank(STRANGER);
        _coin.approve(address(market), type(uint256).max);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(STRANGER);
        market.depositToken(STRANGER, COIN / 1e9 + 1);
        assertAccount(STRANGER, 0, 0);
    }

    function test_token_toNobodyIsRefused() public {
        vm.expectRevert(IInferenceMarket.ZeroAddress.selector);
        market.depositToken(address(0), 1);
        _deposit(REQUESTER, 1);
        vm.expectRevert(IInferenceMarket.ZeroAddress.selector);
        vm.prank(REQUESTER);
        market.withdraw(1, address(0));
    }

    // ------------------------------------------------------------------------------------------ currencies

    function test_token_etherIsRefusedWhereverItCouldComeIn() public {
        vm.deal(REQUESTER, 10 ether);
        bytes[5] memory calls = [
            abi.encodeCall(IInferenceMarket.deposit, (REQUESTER)),
            abi.encodeCall(IInferenceMarket.submit, (someRequest())),
            abi.encodeCall(IInferenceMarket.submitMany, (one(someRequest()))),
            abi.encodeCall(IInferenceMarket.demand, (TaskId.wrap(0), 0)),
            abi.encodeCall(IInferenceMarket.challenge, (TaskId.wrap(0)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(REQUESTER);
            (bool taken, bytes memory answer) = address(market).call{value: UNIT}(calls[i]);
            vm.assertTrue(!taken, "refused");
            vm.assertEq(keccak256(answer), keccak256(_wrongCurrency(address(_coin))), vm.toString(i));
        }
        vm.expectRevert(_wrongCurrency(address(_coin)));
        market.deposit(REQUESTER);
    }

    function test_token_callsOnAnEtherMarketAreRefused() public {
        market = deploy(parameters());
        vm.expectRevert(_wrongCurrency(address(0)));
        market.depositToken(REQUESTER, 1);
        vm.expectRevert(_wrongCurrency(address(0)));
        market.depositWithPermit(REQUESTER, 1, block.timestamp, 27, 0, 0);
    }

    // ---------------------------------------------------------------------------------------------- permit

    function test_token_permitDepositsWithoutAnApproval() public {
        address holder = vm.addr(PERMIT_KEY);
        _coin.mint(holder, COIN);
        (uint8 v, bytes32 r, bytes32 s) = _permit(holder, 7e9);
        vm.prank(holder);
        market.depositWithPermit(OTHER, 7, block.timestamp, v, r, s);
        assertAccount(OTHER, 7, 0);
        vm.assertEq(_coin.balanceOf(holder), COIN - 7e9, "paid");
    }

    function test_token_permitUsedByAFrontRunnerStillDeposits() public {
        address holder = vm.addr(PERMIT_KEY);
        _coin.mint(holder, COIN);
        (uint8 v, bytes32 r, bytes32 s) = _permit(holder, 7e9);
        vm.prank(STRANGER);
        _coin.permit(holder, address(market), 7e9, block.timestamp, v, r, s);
        vm.prank(holder);
        market.depositWithPermit(holder, 7, block.timestamp, v, r, s);
        assertAccount(holder, 7, 0);
    }

    function test_token_permitOfAnotherGivesTheCallerNothing() public {
        address holder = vm.addr(PERMIT_KEY);
        _coin.mint(holder, COIN);
        (uint8 v, bytes32 r, bytes32 s) = _permit(holder, 7e9);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(STRANGER);
        market.depositWithPermit(STRANGER, 7, block.timestamp, v, r, s);
        vm.assertEq(_coin.balanceOf(holder), COIN, "kept");
    }

    // -------------------------------------------------------------------------------------- hostile tokens

    function test_token_thatReturnsNothingWorks() public {
        Silent silent = new Silent();
        market = deployFor(address(silent));
        silent.mint(REQUESTER, COIN);
        vm.startPrank(REQUESTER);
        market.depositToken(REQUESTER, 10);
        market.depositWithPermit(REQUESTER, 10, block.timestamp, 27, 0, 0);
        market.withdraw(15, OTHER);
        vm.stopPrank();
        assertAccount(REQUESTER, 5, 0);
        vm.assertEq(silent.balanceOf(OTHER), 15e9, "received");
    }

    function test_token_thatTakesAFeeIsRefused() public {
        Crooked crooked = _crooked();
        crooked.become(Crooked.Way.Fee);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.TokenMisbehaved.selector, 100e9, 99e9));
        vm.prank(REQUESTER);
        market.depositToken(REQUESTER, 100);
        assertAccount(REQUESTER, 0, 0);
    }

    /// @dev What grows by itself is nobody's, as forced ether is.
    function test_token_thatGrowsByItselfGivesNobodyMore() public {
        Crooked crooked = _crooked();
        vm.prank(REQUESTER);
        market.depositToken(REQUESTER, 100);
        crooked.mint(address(market), 50e9);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.InsufficientFree.selector, REQUESTER, 100, 101)
        );
        vm.prank(REQUESTER);
        market.withdraw(101, REQUESTER);
        vm.prank(REQUESTER);
        market.withdraw(100, REQUESTER);
        vm.assertEq(crooked.balanceOf(address(market)), 50e9, "stays");
    }

    /// @dev The assumption about tokens, broken: nobody gets more than there is, and who comes last waits.
    function test_token_thatShrinksByItselfPaysWhatIsThereAndKeepsTheRestOwed() public {
        Crooked crooked = _crooked();
        vm.prank(REQUESTER);
        market.depositToken(REQUESTER, 100);
        crooked.shrink(address(market), 10e9);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        vm.prank(REQUESTER);
        market.withdraw(91, REQUESTER);
        vm.prank(REQUESTER);
        market.withdraw(90, REQUESTER);
        assertAccount(REQUESTER, 10, 0);
    }

    function test_token_thatSaysNoIsRefused() public {
        Crooked crooked = _crooked();
        vm.prank(REQUESTER);
        market.depositToken(REQUESTER, 100);
        crooked.become(Crooked.Way.SaysNo);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(REQUESTER);
        market.depositToken(REQUESTER, 100);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        vm.prank(REQUESTER);
        market.withdraw(100, REQUESTER);
        assertAccount(REQUESTER, 100, 0);
    }

    function test_token_thatTakesMoreThanItSendsIsRefused() public {
        Crooked crooked = _crooked();
        vm.prank(REQUESTER);
        market.depositToken(REQUESTER, 100);
        crooked.become(Crooked.Way.TwiceAway);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.TokenMisbehaved.selector, 50e9, 100e9));
        vm.prank(REQUESTER);
        market.withdraw(50, REQUESTER);
    }

    function test_token_withdrawnToTheMarketItselfIsRefused() public {
        _deposit(REQUESTER, 10);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.TokenMisbehaved.selector, 1e9, 0));
        vm.prank(REQUESTER);
        market.withdraw(1, address(market));
    }

    function test_token_thatCallsBackFindsTheDoorsShut() public {
        Calling calling = new Calling();
        market = deployFor(address(calling));
        _callsBack(calling, abi.encodeCall(IInferenceMarket.withdraw, (1, address(calling))));
        _callsBack(calling, abi.encodeCall(IInferenceMarket.depositToken, (address(calling), 1)));
        _callsBack(
            calling,
            abi.encodeCall(
                IInferenceMarket.depositWithPermit, (address(calling), 1, block.timestamp, 27, 0, 0)
            )
        );
    }

    /// @dev Credited before it is paid for; but whatever is done with it falls with the deposit.
    function test_token_thatSpendsItsDepositWhileItComesInHasToPayForIt() public {
        Calling calling = new Calling();
        market = deployFor(address(calling));
        Request memory request = someRequest();
        request.requester = address(calling);
        calling.mint(address(calling), uint256(PRICE) * 1e9);
        calling.run(
            address(calling),
            abi.encodeWithSignature("approve(address,uint256)", address(market), type(uint256).max)
        );
        calling.plan(address(market), abi.encodeCall(IInferenceMarket.submit, (request)));
        bytes memory deposit = abi.encodeCall(IInferenceMarket.depositToken, (address(calling), PRICE));
        vm.assertTrue(calling.run(address(market), deposit), "paid in full");
        assertState(market.hashRequest(request), State.Open);
        vm.assertEq(calling.balanceOf(address(market)), uint256(PRICE) * 1e9, "the escrow is there");
        assertAccount(address(calling), 0, 0);
    }

    function test_fuzz_token_depositAndWithdrawKeepTheBalance(uint64 amount, uint64 out) public {
        _deposit(REQUESTER, amount);
        out = uint64(bound(out, 0, amount));
        vm.prank(REQUESTER);
        market.withdraw(out, OTHER);
        vm.assertEq(_coin.balanceOf(address(market)), uint256(amount - out) * 1e9, "held");
        assertAccount(REQUESTER, amount - out, 0);
    }

    // ----------------------------------------------------------------------------------------------- steps

    function _give(address who, uint256 units) private {
        _coin.mint(who, units * market.UNIT());
        vm.prank(who);
        _coin.approve(address(market), type(uint256).max);
    }

    function _deposit(address who, uint256 units) private {
        _give(who, units);
        vm.prank(who);
        market.depositToken(who, units);
    }

    function _permit(address holder, uint256 amount) private view returns (uint8, bytes32, bytes32) {
        bytes32 permit = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                holder,
                address(market),
                amount,
                _coin.nonces(holder),
                block.timestamp
            )
        );
        return vm.sign(PERMIT_KEY, keccak256(abi.encodePacked(hex"1901", _coin.DOMAIN_SEPARATOR(), permit)));
    }

    function _crooked() private returns (Crooked crooked) {
        crooked = new Crooked();
        market = deployFor(address(crooked));
        crooked.mint(REQUESTER, COIN);
        vm.prank(REQUESTER);
        crooked.approve(address(market), type(uint256).max);
    }

    /// @dev The token itself deposits, withdraws, and calls back in the middle of each.
    function _callsBack(Calling calling, bytes memory call) private {
        calling.mint(address(calling), 10e9);
        calling.run(
            address(calling),
            abi.encodeWithSignature("approve(address,uint256)", address(market), type(uint256).max)
        );
        bytes32 guard = bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()")));
        calling.plan(address(market), call);
        bytes memory deposit = abi.encodeCall(IInferenceMarket.depositToken, (address(calling), 5));
        vm.assertTrue(calling.run(address(market), deposit), "nothing else happened");
        vm.assertTrue(!calling.taken(), "shut");
        vm.assertEq(bytes32(calling.answer()), guard, "by the guard");
        calling.plan(address(market), call);
        bytes memory withdraw = abi.encodeCall(IInferenceMarket.withdraw, (5, address(calling)));
        vm.assertTrue(calling.run(address(market), withdraw), "nothing else happened");
        vm.assertEq(bytes32(calling.answer()), guard, "by the guard");
        assertAccount(address(calling), 0, 0);
    }

    function _wrongCurrency(address token) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IInferenceMarket.WrongCurrency.selector, token);
    }
}
