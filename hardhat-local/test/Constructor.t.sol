// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Parameters} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

interface IEip712Domain {
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}

contract ConstructorTest is MarketTest {
    function test_constructor_keepsTheParameters() public view {
        vm.assertEq(
            keccak256(abi.encode(market.parameters())), keccak256(abi.encode(parameters())), "parameters"
        );
        vm.assertEq(market.UNIT(), 1 gwei, "unit");
    }

    function test_constructor_namesTheDomain() public view {
        (, string memory name, string memory version, uint256 chainId, address verifyingContract,,) =
            IEip712Domain(address(market)).eip712Domain();
        bytes32 separator = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Quern InferenceMarket"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        vm.assertEq(keccak256(bytes(name)), keccak256("Quern InferenceMarket"), "name");
        vm.assertEq(keccak256(bytes(version)), keccak256("1"), "version");
        vm.assertEq(chainId, block.chainid, "chain");
        vm.assertEq(verifyingContract, address(market), "instance");
        vm.assertEq(market.domainSeparator(), separator, "separator");
    }

    function test_constructor_refusesParametersThatMakeNoMarket() public {
        Parameters memory p = parameters();
        p.minLease = 0;
        _refused(p, "minLease", 0);
        p = parameters();
        p.maxLife = 4;
        _refused(p, "maxLife", 4);
        p = parameters();
        p.bondUnit = 0;
        _refused(p, "bondUnit", 0);
        p = parameters();
        p.challengeBond = BOND_UNIT - 1;
        _refused(p, "challengeBond", BOND_UNIT - 1);
    }

    function test_constructor_takesTheLimits() public {
        Parameters memory p = parameters();
        (p.minLease, p.maxLife, p.challengeBond) = (1, 1, p.bondUnit);
        vm.assertEq(deploy(p).parameters().maxLife, 1, "made");
    }

    function test_size_leavesRoomUnderTheLimit() public view {
        vm.assertLe(address(market).code.length, 24_576, "size");
    }

    function _refused(Parameters memory p, string memory name, uint256 value) private {
        try this.deployed(p) {
            vm.assertTrue(false, "made a market");
        } catch (bytes memory refusal) {
            bytes memory expected =
                abi.encodeWithSelector(IInferenceMarket.BadParameter.selector, name, value);
            vm.assertEq(keccak256(refusal), keccak256(expected), name);
        }
    }

    function deployed(Parameters memory p) external returns (IInferenceMarket) {
        bytes memory code = bytes.concat(vm.getCode("InferenceMarket.sol:InferenceMarket"), abi.encode(p));
        address made;
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
        return IInferenceMarket(made);
    }
}
