// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Body, Request, TaskId} from "contracts/interfaces/IInferenceMarket.sol";
import {Digest} from "contracts/libraries/Digest.sol";
import {EscrowWord, Ledger} from "contracts/libraries/Ledger.sol";
import {Priority} from "contracts/libraries/Priority.sol";

/// @notice The market's pure libraries, for a caller outside.
contract Libraries {
    function taskId(bytes32 domain, Request calldata request) external pure returns (TaskId) {
        return Digest.taskId(domain, request);
    }

    function bodyOf(bytes32 domain, Body calldata body) external pure returns (bytes32) {
        return Digest.bodyOf(domain, body);
    }

    function cancelOf(bytes32 domain, TaskId id) external pure returns (bytes32) {
        return Digest.cancelOf(domain, id);
    }

    function leaf(TaskId id, uint32 outputTokens, bytes32 body) external pure returns (bytes32) {
        return Digest.leaf(id, outputTokens, body);
    }

    function outputLeaf(uint32 index, uint32[] calldata tokens) external pure returns (bytes32) {
        return Digest.outputLeaf(index, tokens);
    }

    function commitment(bytes32 body, uint32 outputTokens, bytes32 salt) external pure returns (bytes32) {
        return Digest.commitment(body, outputTokens, salt);
    }

    function verdict(Body calldata body, uint32 outputTokens) external pure returns (bytes32) {
        return Digest.verdict(body, outputTokens);
    }

    function root(bytes32[] memory leaves) external pure returns (bytes32) {
        return Digest.root(leaves, leaves.length);
    }

    function escrow(Request calldata request) external pure returns (uint256) {
        return Ledger.pack(request).amount(request.replicas);
    }

    function charge(uint256 fee, uint256 flatPercent, uint256 outputTokens, uint256 maxOutputTokens)
        external
        pure
        returns (uint256)
    {
        return Ledger.charge(fee, flatPercent, outputTokens, maxOutputTokens);
    }

    function releaseBurn(uint256 bond, uint256 heldSecs, uint256 leaseSecs) external pure returns (uint256) {
        return Ledger.releaseBurn(bond, heldSecs, leaseSecs);
    }

    function share(uint64 total, uint256 parts) external pure returns (uint256, uint256) {
        return Ledger.share(total, parts);
    }

    function leafCount(uint256 outputTokens) external pure returns (uint256) {
        return Digest.leafCount(outputTokens);
    }

    function leafLength(uint256 index, uint256 outputTokens) external pure returns (uint256) {
        return Digest.leafLength(index, outputTokens);
    }

    function slash(uint256 bond) external pure returns (uint256, uint256, uint256) {
        return Ledger.slash(bond);
    }

    function loseChallenge(uint64 bond, uint256 winners) external pure returns (uint256, uint256, uint256) {
        return Ledger.loseChallenge(bond, winners);
    }

    function priority(
        uint256 tipWei,
        uint256 replicas,
        uint256 maxOutputTokens,
        uint256 pricedAt,
        uint256 time,
        uint256 ageRate
    ) external pure returns (uint256) {
        return Priority.priority(tipWei, replicas, maxOutputTokens, pricedAt, time, ageRate);
    }
}
