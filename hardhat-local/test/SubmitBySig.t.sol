// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Request, State, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {Accepting, Burning, Garbage, Huge, Refusing, Reverting, Short, Writing} from "./utils/Signers.sol";
import {vm} from "./utils/Vm.sol";

contract SubmitBySigTest is MarketTest {
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function test_submitBySig_chargesTheSignerAndNotTheSender() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSubmitted(
            market.hashRequest(request), request.requester, request.modelId, request, uint32(START)
        );
        TaskId id = _send(request, signature);
        assertState(id, State.Open);
        vm.assertEq(market.taskOf(id).requester, request.requester, "requester");
        assertAccount(request.requester, FUNDS - PRICE, 0);
        assertAccount(STRANGER, 0, 0);
    }

    function test_submitBySig_usesASignatureOnce() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        TaskId id = _send(request, signature);
        vm.expectRevert(wrongState(id, State.Open));
        _send(request, signature);
    }

    function test_submitBySig_afterACancelIsRefusedForEver() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        TaskId id = _send(request, signature);
        vm.prank(request.requester);
        market.cancel(id);
        vm.expectRevert(wrongState(id, State.Refunded));
        _send(request, signature);
        assertAccount(request.requester, FUNDS, 0);
    }

    function test_submitBySig_drawsOnFreeMoneyOnly() public {
        Request memory request = signerRequest();
        vm.prank(request.requester);
        market.withdraw(FUNDS - PRICE + 1, request.requester);
        bytes memory signature = signed(request);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceMarket.InsufficientFree.selector, request.requester, PRICE - 1, PRICE
            )
        );
        _send(request, signature);
    }

    function test_submitBySig_ofAnotherKeyIsRefused() public {
        Request memory request = signerRequest();
        _refused(request, sign(SIGNER_KEY + 1, TaskId.unwrap(market.hashRequest(request))));
    }

    function test_submitBySig_ofAnotherRequestIsRefused() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        request.maxFee += 1;
        _refused(request, signature);
    }

    function test_submitBySig_forAnotherInstanceIsRefused() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        market = deploy(parameters());
        fund(request.requester);
        _refused(request, signature);
    }

    function test_submitBySig_forAnotherChainIsRefused() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        vm.chainId(block.chainid + 1);
        _refused(request, signature);
    }

    function test_submitBySig_ofNobodyIsRefused() public {
        Request memory request = someRequest();
        request.requester = address(0);
        (request.maxFee, request.tip) = (0, 0);
        _refused(request, new bytes(65));
        _refused(request, "");
    }

    function test_submitBySig_theOtherHalfOfASignatureIsRefused() public {
        Request memory request = signerRequest();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SIGNER_KEY, TaskId.unwrap(market.hashRequest(request)));
        vm.assertLe(uint256(s), HALF_ORDER, "the lower half is given");
        _refused(request, abi.encodePacked(r, ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27)));
        _refused(request, abi.encodePacked(r, s, v, uint8(0)));
        _refused(request, abi.encodePacked(r, s));
        _refused(request, abi.encodePacked(r, s, v + 2));
    }

    // ---------------------------------------------------------------------------------- accounts with code

    function test_submitBySig_takesTheKeyOfAnAccountWithDelegatedCode() public {
        Request memory request = signerRequest();
        bytes memory signature = signed(request);
        vm.etch(request.requester, address(new Refusing()).code);
        assertState(_send(request, signature), State.Open);
        request.salt = keccak256("another");
        vm.etch(request.requester, hex"ef0100000000000000000000000000000000000000d00d");
        assertState(_send(request, signed(request)), State.Open);
    }

    function test_submitBySig_takesWhatAContractAccepts() public {
        Request memory request = _ofCode(address(new Accepting()));
        assertState(_send(request, "anything"), State.Open);
        request = _ofCode(address(new Accepting()));
        assertState(_send(request, ""), State.Open);
    }

    function test_submitBySig_whatAContractDoesNotAcceptIsRefused() public {
        _refused(_ofCode(address(new Refusing())), "anything");
        _refused(_ofCode(address(new Reverting())), "anything");
        _refused(_ofCode(address(new Garbage())), "anything");
        _refused(_ofCode(address(new Short())), "anything");
        _refused(_ofCode(address(market)), "anything");
    }

    function test_submitBySig_aContractThatWritesIsRefused() public {
        _refused(_ofCode(address(new Writing())), "anything");
    }

    function test_submitBySig_aContractBurnsAHundredThousandGasAtMost() public {
        Request memory request = _ofCode(address(new Burning()));
        uint256 before = gasleft();
        _refused(request, "anything");
        vm.assertLe(before - gasleft(), 200_000, "bounded");
        request = _ofCode(address(new Huge()));
        before = gasleft();
        assertState(_send(request, "anything"), State.Open);
        vm.assertLe(before - gasleft(), 300_000, "a long answer is not copied");
    }

    function _ofCode(address account) private returns (Request memory request) {
        request = someRequest();
        request.requester = account;
        fund(account);
    }

    function _send(Request memory request, bytes memory signature) private returns (TaskId) {
        vm.prank(STRANGER);
        return market.submitBySig(request, signature);
    }

    function _refused(Request memory request, bytes memory signature) private {
        TaskId id = market.hashRequest(request);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.BadSignature.selector, id, request.requester));
        _send(request, signature);
        assertState(id, State.None);
    }
}
