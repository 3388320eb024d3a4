// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelRegistry} from "../contracts/interfaces/IModelRegistry.sol";
import {vm} from "./utils/Vm.sol";

contract RegistryTest {
    IModelRegistry private _registry;

    function setUp() public {
        _registry = IModelRegistry(vm.deployCode("ModelRegistry.sol:ModelRegistry", ""));
    }

    function test_announce_saysWhoSaysWhereAModelIs() public {
        vm.expectEmit(address(_registry));
        emit IModelRegistry.ModelAnnounced(keccak256("model"), address(0xB0B), "models/ab/manifest.json");
        vm.prank(address(0xB0B));
        _registry.announce(keccak256("model"), "models/ab/manifest.json");
    }

    function test_announce_ofAnAnnouncedModelIsOpenToAll() public {
        _registry.announce(keccak256("model"), "a");
        vm.expectEmit(address(_registry));
        emit IModelRegistry.ModelAnnounced(keccak256("model"), address(0xB0B), "b");
        vm.prank(address(0xB0B));
        _registry.announce(keccak256("model"), "b");
    }

    function test_announceStore_isTheCallersOwn() public {
        vm.expectEmit(address(_registry));
        emit IModelRegistry.StoreAnnounced(address(0xB0B), "s3://outputs");
        vm.prank(address(0xB0B));
        _registry.announceStore("s3://outputs");
    }
}
