// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Parameters} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {Coin} from "./utils/Tokens.sol";
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
    uint32 private constant YEAR = 365 days;

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
        p.window = 0;
        _refused(p, "window", 0);
        p.window = YEAR + 1;
        _refused(p, "window", YEAR + 1);
        p = parameters();
        p.answerTime = 0;
        _refused(p, "answerTime", 0);
        p.answerTime = YEAR + 1;
        _refused(p, "answerTime", YEAR + 1);
        p = parameters();
        p.minLease = 0;
        _refused(p, "minLease", 0);
        p = parameters();
        p.maxLife = 4;
        _refused(p, "maxLife", 4);
        p.maxLife = YEAR + 1;
        _refused(p, "maxLife", YEAR + 1);
        p = parameters();
        p.bondUnit = 0;
        _refused(p, "bondUnit", 0);
        p = parameters();
        p.challengeBond = BOND_UNIT - 1;
        _refused(p, "challengeBond", BOND_UNIT - 1);
        p = parameters();
        p.arbiter = address(0);
        _refused(p, "arbiter", 0);
        p = parameters();
        p.arbiterTimeout = WINDOW + ANSWER_TIME;
        _refused(p, "arbiterTimeout", WINDOW + ANSWER_TIME);
        p.arbiterTimeout = YEAR + 1;
        _refused(p, "arbiterTimeout", YEAR + 1);
        p = parameters();
        p.token = address(new Coin(37));
        _refused(p, "token", 37);
    }

    /// @dev An address without code has no decimals to tell.
    function test_constructor_refusesATokenThatIsNone() public {
        Parameters memory p = parameters();
        p.token = STRANGER;
        (address made,) =
            create(bytes.concat(vm.getCode("InferenceMarket.sol:InferenceMarket"), abi.encode(p)));
        vm.assertEq(made, address(0), "made");
    }

    function test_constructor_takesTheLimits() public {
        Parameters memory p = parameters();
        (p.minLease, p.maxLife, p.challengeBond) = (1, 1, p.bondUnit);
        p.arbiterTimeout = WINDOW + ANSWER_TIME + 1;
        vm.assertEq(deploy(p).parameters().maxLife, 1, "the shortest");
        (p.maxLife, p.arbiterTimeout, p.window, p.answerTime) = (YEAR, YEAR, YEAR / 2, YEAR / 2 - 1);
        vm.assertEq(deploy(p).parameters().maxLife, YEAR, "the longest");
    }

    function test_size_leavesRoomUnderTheLimit() public view {
        vm.assertLe(address(market).code.length, 24_576, "size");
    }

    function _refused(Parameters memory p, string memory name, uint256 value) private {
        bytes memory code = bytes.concat(vm.getCode("InferenceMarket.sol:InferenceMarket"), abi.encode(p));
        (address made, bytes memory answer) = create(code);
        vm.assertEq(made, address(0), name);
        bytes memory expected = abi.encodeWithSelector(IInferenceMarket.BadParameter.selector, name, value);
        vm.assertEq(keccak256(answer), keccak256(expected), name);
    }
}
