// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {Body, IInferenceMarket, Receipt, Request, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {IPanelArbiter} from "../contracts/interfaces/IPanelArbiter.sol";
import {Digest} from "../contracts/libraries/Digest.sol";
import {Ledger} from "../contracts/libraries/Ledger.sol";
import {Priority} from "../contracts/libraries/Priority.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

/// @notice The cases that the Python side made and reads too: both must hash and count alike.
contract VectorsTest is MarketTest {
    string private _json;

    function setUp() public override {
        _json = vm.readFile("../tests/vectors/digests.json");
        vm.chainId(vm.parseJsonUint(_json, ".domain.chainId"));
        super.setUp();
        address there = vm.parseJsonAddress(_json, ".domain.verifyingContract");
        vm.etch(there, address(market).code);
        market = IInferenceMarket(there);
    }

    function test_vectors_domain() public view {
        vm.assertEq(market.domainSeparator(), vm.parseJsonBytes32(_json, ".domain.separator"), "separator");
    }

    function test_vectors_requests() public view {
        uint256 count;
        for (; _has("requests", count); ++count) {
            string memory item = _item("requests", count);
            Request memory request = Request({
                requester: _address(item, "requester"),
                salt: _bytes32(item, "salt"),
                modelId: _bytes32(item, "modelId"),
                inputDigest: _bytes32(item, "inputDigest"),
                paramsDigest: _bytes32(item, "paramsDigest"),
                equivalence: _bytes32(item, "equivalence"),
                maxFee: uint48(_uint(item, "maxFee")),
                flatPercent: uint8(_uint(item, "flatPercent")),
                tip: uint48(_uint(item, "tip")),
                maxOutputTokens: uint32(_uint(item, "maxOutputTokens")),
                bondUnits: uint16(_uint(item, "bondUnits")),
                deadline: uint32(_uint(item, "deadline")),
                leaseSecs: uint24(_uint(item, "leaseSecs")),
                replicas: uint8(_uint(item, "replicas")),
                inputURI: vm.parseJsonString(_json, string.concat(item, "inputURI"))
            });
            vm.assertEq(TaskId.unwrap(market.hashRequest(request)), _bytes32(item, "taskId"), item);
        }
        vm.assertGe(count, 8, "cases");
    }

    function test_vectors_bodies() public view {
        uint256 count;
        for (; _has("bodies", count); ++count) {
            string memory item = _item("bodies", count);
            Body memory body = Body({
                taskId: TaskId.wrap(_bytes32(item, "taskId")),
                worker: _address(item, "worker"),
                outputRoot: _bytes32(item, "outputRoot"),
                tableDigest: _bytes32(item, "tableDigest"),
                engineDigest: _bytes32(item, "engineDigest"),
                strategyDigest: _bytes32(item, "strategyDigest"),
                promptTokens: uint32(_uint(item, "promptTokens")),
                startedAt: uint64(_uint(item, "startedAt")),
                finishedAt: uint64(_uint(item, "finishedAt"))
            });
            vm.assertEq(market.hashBody(body), _bytes32(item, "digest"), item);
        }
        vm.assertGe(count, 4, "cases");
    }

    function test_vectors_batches() public view {
        uint256 count;
        for (; _has("batches", count); ++count) {
            string memory item = _item("batches", count);
            bytes32[] memory leaves = new bytes32[](64);
            uint256 size;
            for (; vm.keyExistsJson(_json, string.concat(item, "taskIds[", vm.toString(size), "]")); ++size) {
                string memory index = string.concat("[", vm.toString(size), "]");
                Receipt memory receipt = Receipt({
                    id: TaskId.wrap(_bytes32(item, string.concat("taskIds", index))),
                    body: _bytes32(item, string.concat("bodies", index)),
                    outputTokens: uint32(_uint(item, string.concat("outputTokens", index)))
                });
                leaves[size] = Digest.leaf(receipt.id, receipt.outputTokens, receipt.body);
                vm.assertEq(leaves[size], _bytes32(item, string.concat("leaves", index)), item);
            }
            vm.assertGe(size, 1, "leaves");
            vm.assertEq(Digest.root(leaves, size), _bytes32(item, "root"), item);
        }
        vm.assertGe(count, 9, "cases");
    }

    function test_vectors_charges() public view {
        uint256 count;
        for (; _has("charges", count); ++count) {
            string memory item = _item("charges", count);
            uint256 charge = Ledger.charge(
                _uint(item, "maxFee"),
                _uint(item, "flatPercent"),
                _uint(item, "outputTokens"),
                _uint(item, "maxOutputTokens")
            );
            vm.assertEq(charge, _uint(item, "charge"), item);
        }
        vm.assertGe(count, 24, "cases");
    }

    function test_vectors_releases() public view {
        uint256 count;
        for (; _has("releases", count); ++count) {
            string memory item = _item("releases", count);
            uint256 burn =
                Ledger.releaseBurn(_uint(item, "bond"), _uint(item, "heldSecs"), _uint(item, "leaseSecs"));
            vm.assertEq(burn, _uint(item, "burned"), item);
        }
        vm.assertGe(count, 16, "cases");
    }

    function test_vectors_priorities() public view {
        uint256 count;
        for (; _has("priorities", count); ++count) {
            string memory item = _item("priorities", count);
            uint256 priority = Priority.priority(
                _uint(item, "tipWei"),
                _uint(item, "replicas"),
                _uint(item, "maxOutputTokens"),
                _uint(item, "pricedAt"),
                _uint(item, "time"),
                _uint(item, "ageRate")
            );
            vm.assertEq(priority, _uint(item, "priority"), item);
        }
        vm.assertGe(count, 16, "cases");
    }

    function test_vectors_verdicts() public view {
        uint256 count;
        for (; _has("verdicts", count); ++count) {
            string memory item = _item("verdicts", count);
            Body memory body;
            body.outputRoot = _bytes32(item, "outputRoot");
            body.tableDigest = _bytes32(item, "tableDigest");
            body.promptTokens = uint32(_uint(item, "promptTokens"));
            bytes32 verdict = this.verdictOf(body, uint32(_uint(item, "outputTokens")));
            vm.assertEq(verdict, _bytes32(item, "verdict"), item);
        }
        vm.assertGe(count, 4, "cases");
    }

    function test_vectors_commitments() public view {
        uint256 count;
        for (; _has("commitments", count); ++count) {
            string memory item = _item("commitments", count);
            bytes32 commitment = Digest.commitment(
                _bytes32(item, "body"), uint32(_uint(item, "outputTokens")), _bytes32(item, "salt")
            );
            vm.assertEq(commitment, _bytes32(item, "commitment"), item);
        }
        vm.assertGe(count, 3, "cases");
    }

    function test_vectors_cancels() public view {
        uint256 count;
        for (; _has("cancels", count); ++count) {
            string memory item = _item("cancels", count);
            bytes32 digest = market.hashCancel(TaskId.wrap(_bytes32(item, "taskId")));
            vm.assertEq(digest, _bytes32(item, "digest"), item);
        }
        vm.assertGe(count, 3, "cases");
    }

    function test_vectors_votes() public {
        address[] memory members = new address[](1);
        members[0] = STRANGER;
        address panel = vm.deployCode(
            "PanelArbiter.sol:PanelArbiter", abi.encode(members, uint8(1), uint32(1), uint32(1))
        );
        uint256 count;
        for (; _has("votes", count); ++count) {
            string memory item = _item("votes", count);
            address there = _address(item, "panel");
            vm.etch(there, panel.code);
            bytes32 digest = IPanelArbiter(there)
                .hashVote(
                    IInferenceMarket(_address(item, "market")),
                    TaskId.wrap(_bytes32(item, "taskId")),
                    _address(item, "member"),
                    _uint(item, "faulty") == 1,
                    _bytes32(item, "salt")
                );
            vm.assertEq(digest, _bytes32(item, "digest"), item);
        }
        vm.assertGe(count, 2, "cases");
    }

    function test_vectors_answers() public view {
        uint256 count;
        for (; _has("answers", count); ++count) {
            string memory item = _item("answers", count);
            uint256 leafIndex = _uint(item, "leaf");
            uint32[] memory tokens = new uint32[](_length(string.concat(item, "tokens")));
            for (uint256 i = 0; i < tokens.length; ++i) {
                tokens[i] = uint32(_uint(item, string.concat("tokens[", vm.toString(i), "]")));
            }
            vm.assertEq(Digest.leafLength(leafIndex, _uint(item, "outputTokens")), tokens.length, item);
            bytes32 node = this.outputLeafOf(uint32(leafIndex), tokens);
            vm.assertEq(node, _bytes32(item, "leafHash"), item);
            vm.assertEq(_climb(item, "leafPath", node), _bytes32(item, "body.outputRoot"), item);
            bytes32 leaf = Digest.leaf(
                TaskId.wrap(_bytes32(item, "body.taskId")),
                uint32(_uint(item, "outputTokens")),
                _bytes32(item, "body.digest")
            );
            vm.assertEq(_climb(item, "batchPath", leaf), _bytes32(item, "batchRoot"), item);
        }
        vm.assertGe(count, 7, "cases");
    }

    function test_vectors_slashes() public view {
        uint256 count;
        for (; _has("slashes", count); ++count) {
            string memory item = _item("slashes", count);
            (uint256 toChallenger, uint256 toArbiter, uint256 burn) = Ledger.slash(_uint(item, "bond"));
            vm.assertEq(toChallenger, _uint(item, "toChallenger"), item);
            vm.assertEq(toArbiter, _uint(item, "toArbiter"), item);
            vm.assertEq(burn, _uint(item, "burned"), item);
        }
        vm.assertGe(count, 8, "cases");
    }

    function test_vectors_lostChallenges() public view {
        uint256 count;
        for (; _has("lostChallenges", count); ++count) {
            string memory item = _item("lostChallenges", count);
            (uint256 toEach, uint256 toArbiter, uint256 burn) =
                Ledger.loseChallenge(uint64(_uint(item, "bond")), _uint(item, "winners"));
            vm.assertEq(toEach, _uint(item, "toEach"), item);
            vm.assertEq(toArbiter, _uint(item, "toArbiter"), item);
            vm.assertEq(burn, _uint(item, "burned"), item);
        }
        vm.assertGe(count, 49, "cases");
    }

    function test_vectors_demandShares() public view {
        uint256 count;
        for (; _has("demandShares", count); ++count) {
            string memory item = _item("demandShares", count);
            (uint256 each, uint256 rest) = Ledger.share(uint64(_uint(item, "fee")), _uint(item, "winners"));
            vm.assertEq(each, _uint(item, "toEach"), item);
            vm.assertEq(rest, _uint(item, "burned"), item);
        }
        vm.assertGe(count, 15, "cases");
    }

    /// @dev For what the library takes from calldata.
    function verdictOf(Body calldata body, uint32 outputTokens) external pure returns (bytes32) {
        return Digest.verdict(body, outputTokens);
    }

    function outputLeafOf(uint32 index, uint32[] calldata tokens) external pure returns (bytes32) {
        return Digest.outputLeaf(index, tokens);
    }

    // ---------------------------------------------------------------------------------------------- the file

    function _climb(string memory item, string memory path, bytes32 node) private view returns (bytes32) {
        uint256 length = _length(string.concat(item, path));
        for (uint256 i = 0; i < length; ++i) {
            bytes32 sibling = _bytes32(item, string.concat(path, "[", vm.toString(i), "]"));
            node = Hashes.commutativeKeccak256(node, sibling);
        }
        return node;
    }

    function _length(string memory list) private view returns (uint256 length) {
        while (vm.keyExistsJson(_json, string.concat(list, "[", vm.toString(length), "]"))) ++length;
    }

    function _item(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(index), "].");
    }

    function _has(string memory list, uint256 index) private view returns (bool) {
        return vm.keyExistsJson(_json, string.concat(".", list, "[", vm.toString(index), "]"));
    }

    function _uint(string memory item, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(_json, string.concat(item, field));
    }

    function _address(string memory item, string memory field) private view returns (address) {
        return vm.parseJsonAddress(_json, string.concat(item, field));
    }

    function _bytes32(string memory item, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(_json, string.concat(item, field));
    }
}
