// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";

/// @title The announcements, kept as events.
contract ModelRegistry is IModelRegistry {
    /// @inheritdoc IModelRegistry
    function announce(bytes32 modelId, string calldata uri) external {
        emit ModelAnnounced(modelId, msg.sender, uri);
    }

    /// @inheritdoc IModelRegistry
    function announceStore(string calldata uri) external {
        emit StoreAnnounced(msg.sender, uri);
    }
}
