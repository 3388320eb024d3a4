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
import {Accepting, Burning} from "./utils/Signers.sol";
import {vm} from "./utils/Vm.sol";

contract SubmitManyBySigTest is MarketTest {
    Request[] private _requests;
    bytes[] private _signatures;

    function test_submitManyBySig_chargesEachSignerItsOwn() public {
        _add(signerRequest());
        Request memory other = someRequest();
        other.requester = address(new Accepting());
        fund(other.requester);
        other.tip = 7;
        _add(other);
        vm.assertEq(_send(), 2, "submitted");
        assertAccount(vm.addr(SIGNER_KEY), FUNDS - PRICE, 0);
        assertAccount(other.requester, FUNDS - 1_000_007, 0);
        assertAccount(STRANGER, 0, 0);
    }

    function test_submitManyBySig_skipsEachThatASingleCallRefuses() public {
        Request memory request = signerRequest();
        _add(request);
        _add(request);
        request = signerRequest();
        _requests.push(request);
        _signatures.push(_signatures[0]);
        request = signerRequest();
        request.replicas = 2;
        _add(request);
        request = signerRequest();
        request.maxFee = uint48(FUNDS);
        _add(request);
        _add(signerRequest());

        expectSkip(_id(1), State.Open, SkipReason.WrongState);
        expectSkip(_id(2), State.None, SkipReason.BadSignature);
        expectSkip(_id(3), State.None, SkipReason.BadReplicas);
        expectSkip(_id(4), State.None, SkipReason.InsufficientFree);
        vm.assertEq(_send(), 2, "the first and the last");
        assertState(_id(5), State.Open);
        assertAccount(vm.addr(SIGNER_KEY), FUNDS - 2 * PRICE, 0);
    }

    function test_submitManyBySig_goesOnAfterASignerThatBurnsItsGas() public {
        Request memory bad = someRequest();
        bad.requester = address(new Burning());
        fund(bad.requester);
        _add(bad);
        _add(signerRequest());
        expectSkip(_id(0), State.None, SkipReason.BadSignature);
        vm.assertEq(_send(), 1, "submitted");
    }

    function test_submitManyBySig_needsASignatureForEachRequest() public {
        _add(signerRequest());
        _requests.push(signerRequest());
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.LengthMismatch.selector, 2, 1));
        _send();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.LengthMismatch.selector, 1, 0));
        market.submitManyBySig(one(_requests[0]), new bytes[](0));
    }

    /// @dev Not even of the sender's own: without a signature there is `submitMany`.
    function test_submitManyBySig_theSenderIsNoSigner() public {
        _requests.push(someRequest());
        _signatures.push("");
        expectSkip(_id(0), State.None, SkipReason.BadSignature);
        vm.prank(REQUESTER);
        vm.assertEq(market.submitManyBySig(_requests, _signatures), 0, "submitted");
    }

    function test_submitManyBySig_ofNothingDoesNothing() public {
        vm.assertEq(_send(), 0, "submitted");
    }

    function _add(Request memory request) private {
        _requests.push(request);
        _signatures.push(signed(request));
    }

    function _id(uint256 place) private view returns (TaskId) {
        return market.hashRequest(_requests[place]);
    }

    function _send() private returns (uint256) {
        vm.prank(STRANGER);
        return market.submitManyBySig(_requests, _signatures);
    }
}
