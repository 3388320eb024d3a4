// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Where models and output stores are announced
/// @notice Events only. A model's id is the digest of its manifest and proves itself, so whoever announces
/// first gains nothing; a model nobody has announced is unknown. The store of a worker's outputs is the last
/// one that very worker announced.
interface IModelRegistry {
    event ModelAnnounced(bytes32 indexed modelId, address indexed announcer, string uri);
    event StoreAnnounced(address indexed worker, string uri);

    /// @notice Says that the manifest of `modelId` is at `uri`.
    /// @custom:gas 26,379 with a URI of 71 bytes
    function announce(bytes32 modelId, string calldata uri) external;

    /// @notice Says that the caller's outputs are in the store at `uri`.
    /// @custom:gas 24,151 with a URI of 27 bytes
    function announceStore(string calldata uri) external;
}
