// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {EfficientHashLib} from "solady/src/utils/EfficientHashLib.sol";

import {Body, Request, TaskId} from "../interfaces/IInferenceMarket.sol";

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
    bytes32 internal constant CANCEL_TYPE = keccak256("Cancel(bytes32 taskId)");

    uint256 internal constant LEAF_TOKENS = 32;

    /// @dev Fields of `Request` before `inputURI`.
    uint256 private constant REQUEST_FIXED_FIELDS = 14;
    uint256 private constant BODY_FIELDS = 9;

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
    /// @dev Copied like a request: every field is a word.
    function bodyOf(bytes32 domain, Body calldata body) internal pure returns (bytes32) {
        bytes32 typeHash = BODY_TYPE;
        uint256 size = BODY_FIELDS * 32;
        bytes32 structHash;
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, typeHash)
            calldatacopy(add(start, 0x20), body, size)
            structHash := keccak256(start, add(size, 0x20))
        }
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @notice What a requester signs to take a task back.
    function cancelOf(bytes32 domain, TaskId id) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, EfficientHashLib.hash(CANCEL_TYPE, TaskId.unwrap(id)));
    }

    /// @notice The leaf of a receipt in its batch. Hashed twice, so that no leaf can pass for a node.
    function leaf(TaskId id, uint32 outputTokens, bytes32 body) internal pure returns (bytes32) {
        return
            EfficientHashLib.hash(
                EfficientHashLib.hash(TaskId.unwrap(id), bytes32(uint256(outputTokens)), body)
            );
    }

    /// @notice How many leaves an output has.
    function leafCount(uint256 outputTokens) internal pure returns (uint256) {
        unchecked {
            return (outputTokens + LEAF_TOKENS - 1) / LEAF_TOKENS; // `outputTokens` has 32 bits
        }
    }

    /// @notice How many tokens leaf `index` has, which is below `leafCount`.
    function leafLength(uint256 index, uint256 outputTokens) internal pure returns (uint256) {
        unchecked {
            uint256 left = outputTokens - index * LEAF_TOKENS;
            return left < LEAF_TOKENS ? left : LEAF_TOKENS;
        }
    }

    /// @notice The leaf of up to 32 tokens in its output: `abi.encode(index, tokens)`, hashed twice.
    /// @dev Copied like a request. A token with bits beyond its type has another leaf than the token without.
    function outputLeaf(uint256 index, uint32[] calldata tokens) internal pure returns (bytes32) {
        bytes32 once;
        assembly ("memory-safe") {
            let start := mload(0x40)
            let size := shl(5, tokens.length)
            mstore(start, index)
            mstore(add(start, 0x20), 0x40) // where the tokens begin
            mstore(add(start, 0x40), tokens.length)
            calldatacopy(add(start, 0x60), tokens.offset, size)
            once := keccak256(start, add(size, 0x60))
        }
        return EfficientHashLib.hash(once);
    }

    /// @notice What a replica commits to. The body binds task and worker.
    function commitment(bytes32 body, uint32 outputTokens, bytes32 salt) internal pure returns (bytes32) {
        return EfficientHashLib.hash(body, bytes32(uint256(outputTokens)), salt);
    }

    /// @notice What honest replicas agree on: no engine, no worker, no strategy, no time.
    function verdict(Body calldata body, uint32 outputTokens) internal pure returns (bytes32) {
        return EfficientHashLib.hash(
            body.outputRoot,
            body.tableDigest,
            bytes32(uint256(body.promptTokens)),
            bytes32(uint256(outputTokens))
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
