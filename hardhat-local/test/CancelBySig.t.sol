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
import {Accepting, Refusing} from "./utils/Signers.sol";
import {vm} from "./utils/Vm.sol";

contract CancelBySigTest is MarketTest {
    function test_cancelBySig_refundsTheRequesterWhoeverSends() public {
        TaskId id = submit(signerRequest());
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskRefunded(id, RefundReason.Cancelled, uint96(PRICE));
        _send(id, sign(SIGNER_KEY, market.hashCancel(id)));
        assertState(id, State.Refunded);
        assertAccount(vm.addr(SIGNER_KEY), FUNDS, 0);
        assertAccount(STRANGER, 0, 0);
    }

    function test_cancelBySig_signsWhatHashCancelSays() public {
        TaskId id = submit(signerRequest());
        bytes32 struct_ = keccak256(abi.encode(keccak256("Cancel(bytes32 taskId)"), id));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", market.domainSeparator(), struct_));
        vm.assertEq(market.hashCancel(id), digest, "EIP-712");
    }

    function test_cancelBySig_theRequestsOwnSignatureIsNone() public {
        Request memory request = signerRequest();
        TaskId id = submit(request);
        _refused(id, signed(request));
    }

    function test_cancelBySig_ofAnotherTaskOrKeyIsRefused() public {
        TaskId id = submit(signerRequest());
        TaskId other = submit(signerRequest());
        _refused(id, sign(SIGNER_KEY, market.hashCancel(other)));
        _refused(id, sign(SIGNER_KEY + 1, market.hashCancel(id)));
        _refused(id, "");
    }

    function test_cancelBySig_ofAContract() public {
        Request memory request = someRequest();
        request.requester = address(new Accepting());
        fund(request.requester);
        TaskId id = submit(request);
        vm.etch(request.requester, address(new Refusing()).code);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.BadSignature.selector, id, request.requester));
        _send(id, "");
        vm.etch(request.requester, address(new Accepting()).code);
        _send(id, "");
        assertAccount(request.requester, FUNDS, 0);
    }

    function test_cancelBySig_ofARunningLeaseIsRefusedAndBurnsALapsedOne() public {
        TaskId id = submit(signerRequest());
        claim(id, WORKER);
        bytes memory signature = sign(SIGNER_KEY, market.hashCancel(id));
        pass(100);
        vm.expectRevert(refusal(IInferenceMarket.LeaseRunning.selector, id, START + 100));
        _send(id, signature);
        pass(1);
        _send(id, signature);
        assertAccount(WORKER, FUNDS - LEASE_BOND, 0);
        assertAccount(vm.addr(SIGNER_KEY), FUNDS, 0);
        vm.assertEq(market.burned(), LEASE_BOND, "burned");
    }

    function _send(TaskId id, bytes memory signature) private {
        vm.prank(STRANGER);
        market.cancelBySig(id, signature);
    }

    function _refused(TaskId id, bytes memory signature) private {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceMarket.BadSignature.selector, id, vm.addr(SIGNER_KEY))
        );
        _send(id, signature);
        assertState(id, State.Open);
    }
}
