// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {EfficientHashLib} from "solady/src/utils/EfficientHashLib.sol";

import {Body, Receipt, Request, TaskId} from "../interfaces/IInferenceMarket.sol";

/// @title What the market hashes
library Digest {
    bytes32 internal constant REQUEST_TYPE = keccak256(
        "Request(address requester,bytes32 salt,bytes32 modelId,bytes32 inputDigest,bytes32 paramsDigest,"
        "bytes32 equivalence,uint48 maxFee,uint8 flatPercent,uint48 tip,uint32 maxOutputTokens,uint16 bondUnits,"
        "uint32 deadline,uint24 leaseSecs,uint8 replicas,string inputURI)"
    );
    bytes32 internal constant BODY_TYPE = keccak256(
        "Body(bytes32 taskId,address worker,bytes32 outputRoot,bytes32 tableDigest,bytes32 engineDigest,"
        "bytes32 strategyDigest,uint32 promptTokens,uint64 startedAt,uint64 finishedAt)"
    );

    /// @dev Fields of `Request` before `inputURI`.
    uint256 private constant REQUEST_FIXED_FIELDS = 14;

    /// @notice The id of a task: the EIP-712 digest of its request.
    /// @dev In calldata the fields before `inputURI` are what EIP-712 hashes, a word each, so they are copied
    /// as they are. A field with bits beyond its type would be hashed with them; the market refuses it when
    /// it reads the field.
    function taskId(bytes32 domain, Request calldata request) internal pure returns (TaskId) {
        bytes32 typeHash = REQUEST_TYPE;
        bytes32 uriHash = keccak256(bytes(request.inputURI));
        uint256 fixedSize = REQUEST_FIXED_FIELDS * 32;
        bytes32 structHash;
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, typeHash)
            calldatacopy(add(start, 0x20), request, fixedSize)
            mstore(add(add(start, 0x20), fixedSize), uriHash)
            structHash := keccak256(start, add(fixedSize, 0x40))
        }
        return TaskId.wrap(MessageHashUtils.toTypedDataHash(domain, structHash));
    }

    /// @notice The EIP-712 digest of what a worker vouches for.
    function bodyOf(bytes32 domain, Body calldata body) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(BODY_TYPE, body)));
    }

    /// @notice The leaf of a receipt in its batch. Hashed twice, so that no leaf can pass for a node.
    function leaf(Receipt calldata receipt) internal pure returns (bytes32) {
        return EfficientHashLib.hash(
            EfficientHashLib.hash(
                TaskId.unwrap(receipt.id), bytes32(uint256(receipt.outputTokens)), receipt.body
            )
        );
    }

    /// @notice Merkle root of the first `count` leaves; pairs are sorted, an odd node is carried up.
    /// @dev Overwrites `leaves`. `count` is at least 1.
    function root(bytes32[] memory leaves, uint256 count) internal pure returns (bytes32) {
        unchecked {
            while (count > 1) {
                uint256 pairs = count / 2;
                for (uint256 i = 0; i < pairs; ++i) {
                    leaves[i] = Hashes.commutativeKeccak256(leaves[2 * i], leaves[2 * i + 1]);
                }
                if (count % 2 == 1) leaves[pairs] = leaves[count - 1];
                count = pairs + count % 2;
            }
        }
        return leaves[0];
    }
}
