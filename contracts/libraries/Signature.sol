// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Whether somebody signed
library Signature {
    /// @dev Bounds what a signer's contract can burn of the sender's gas.
    uint256 internal constant SIGNER_GAS = 100_000;

    /// @notice By key first, for an account with delegated code (EIP-7702) still has its key; then by the
    /// account's own code (ERC-1271).
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        // What is left out is the detail of an error that nobody is told.
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return signer.code.length != 0 && _acceptedByCode(signer, digest, signature);
    }

    /// @dev Copies one word of the answer, however long it is.
    function _acceptedByCode(address signer, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool accepted)
    {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes4 magic = IERC1271.isValidSignature.selector;
        uint256 gasLimit = SIGNER_GAS;
        assembly ("memory-safe") {
            let done := staticcall(gasLimit, signer, add(question, 0x20), mload(question), 0x00, 0x20)
            accepted := and(and(done, gt(returndatasize(), 0x1f)), eq(mload(0x00), magic))
        }
    }
}
