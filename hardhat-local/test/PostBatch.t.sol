// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Receipt,
    SkipReason,
    State,
    Task,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {Vm, vm} from "./utils/Vm.sol";

contract PostBatchTest is MarketTest {
    uint256 private constant BOND = 2 * BOND_UNIT;

    function test_postBatch_startsTheWindowAndKeepsTheBond() public {
        TaskId id = leased();
        pass(10);
        bytes32 leaf = _leaf(Receipt(id, keccak256("body"), 77));
        vm.expectEmit(address(market));
        emit IInferenceMarket.BatchPosted(leaf, WORKER, 1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.ResultPosted(id, leaf, keccak256("body"), 77, uint32(START + 10 + WINDOW));
        vm.assertEq(post(id, WORKER, 77), leaf, "a tree of one is its leaf");

        Task memory task = market.taskOf(id);
        assertState(id, State.Posted);
        vm.assertEq(task.until, START + 10 + WINDOW, "until");
        vm.assertEq(task.outputTokens, 77, "outputTokens");
        vm.assertEq(task.worker, WORKER, "worker");
        vm.assertEq(market.batch(leaf).worker, WORKER, "batch");
        vm.assertEq(market.batch(leaf).postedAt, START + 10, "postedAt");
        assertAccount(WORKER, FUNDS - BOND, BOND);
    }

    function test_postBatch_rootOfThreeCarriesTheOddLeafUp() public {
        Receipt[] memory receipts = _leasedReceipts(3);
        bytes32 pair = _pair(_leaf(receipts[0]), _leaf(receipts[1]));
        vm.prank(WORKER);
        vm.assertEq(market.postBatch(receipts), _pair(pair, _leaf(receipts[2])), "root");
    }

    function test_postBatch_rootCoversTheItemsTakenOnly() public {
        Receipt[] memory receipts = _leasedReceipts(4);
        receipts[1].id = receipts[0].id;
        receipts[3].outputTokens = 513;
        bytes32 root = _pair(_leaf(receipts[0]), _leaf(receipts[2]));
        expectSkip(receipts[0].id, State.Posted, SkipReason.WrongState);
        expectSkip(receipts[3].id, State.Leased, SkipReason.TooManyTokens);
        vm.expectEmit(address(market));
        emit IInferenceMarket.BatchPosted(root, WORKER, 2);
        vm.prank(WORKER);
        vm.assertEq(market.postBatch(receipts), root, "root");
    }

    function test_postBatch_ofNothingTakenHasNoRoot() public {
        TaskId id = open();
        vm.recordLogs();
        vm.assertEq(post(id, WORKER, 1), 0, "root");
        vm.assertEq(vm.getRecordedLogs().length, 1, "only the skip");
        vm.assertEq(market.batch(0).worker, address(0), "no batch");
        vm.prank(WORKER);
        vm.assertEq(market.postBatch(new Receipt[](0)), 0, "root");
    }

    function test_postBatch_ofAnothersLeaseIsSkipped() public {
        TaskId id = leased();
        claim(open(), OTHER);
        expectSkip(id, State.Leased, SkipReason.NotWorker);
        post(id, OTHER, 1);
        expectSkip(id, State.Leased, SkipReason.NotWorker);
        post(id, STRANGER, 1);
        assertState(id, State.Leased);
    }

    function test_postBatch_byTheEvictedWorkerIsSkipped() public {
        TaskId id = leased();
        pass(101);
        claim(id, OTHER);
        expectSkip(id, State.Leased, SkipReason.NotWorker);
        post(id, WORKER, 1);
    }

    function test_postBatch_afterTheLapseCountsWhileNobodyConsumedIt() public {
        TaskId id = leased();
        pass(101);
        post(id, WORKER, 512);
        assertState(id, State.Posted);
        pass(WINDOW + 1);
        settle(id);
        assertAccount(WORKER, FUNDS + 1_030_000, 0);
        vm.assertEq(market.burned(), 0, "burned");
    }

    function test_postBatch_endsWithTheDeadline() public {
        (TaskId onTime, TaskId late) = (leased(), leased());
        vm.warp(START + 1000);
        post(onTime, WORKER, 1);
        assertState(onTime, State.Posted);
        vm.warp(START + 1001);
        expectSkip(late, State.Leased, SkipReason.DeadlinePassed);
        post(late, WORKER, 1);
    }

    function test_postBatch_tokensEndAtTheRequestsLimit() public {
        (TaskId most, TaskId more) = (leased(), leased());
        post(most, WORKER, 512);
        assertState(most, State.Posted);
        expectSkip(more, State.Leased, SkipReason.TooManyTokens);
        post(more, WORKER, 513);
    }

    function test_postBatch_emitsTheBatchBeforeItsResultsInTheOrderOfTheLeaves() public {
        Receipt[] memory receipts = _leasedReceipts(3);
        vm.recordLogs();
        vm.prank(WORKER);
        bytes32 root = market.postBatch(receipts);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 4, "logs");
        vm.assertEq(logs[0].topics[0], IInferenceMarket.BatchPosted.selector, "first the batch");
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(logs[i + 1].topics[0], IInferenceMarket.ResultPosted.selector, "then the results");
            vm.assertEq(logs[i + 1].topics[1], TaskId.unwrap(receipts[i].id), "in order");
            vm.assertEq(logs[i + 1].topics[2], root, "under the root");
        }
    }

    function test_fuzz_postBatch_everyLeafIsProvable(uint8 size, uint8 index) public {
        uint256 count = bound(size, 1, 12);
        Receipt[] memory receipts = _leasedReceipts(count);
        bytes32[] memory level = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            level[i] = _leaf(receipts[i]);
        }
        uint256 place = index % count;
        bytes32 node = level[place];
        for (uint256 length = count; length > 1; length = (length + 1) / 2) {
            if (place ^ 1 < length) node = _pair(node, level[place ^ 1]);
            for (uint256 i = 0; i < length; i += 2) {
                level[i / 2] = i + 1 < length ? _pair(level[i], level[i + 1]) : level[i];
            }
            place /= 2;
        }
        vm.prank(WORKER);
        vm.assertEq(market.postBatch(receipts), node, "root");
    }

    function _leasedReceipts(uint256 count) private returns (Receipt[] memory receipts) {
        receipts = new Receipt[](count);
        for (uint256 i = 0; i < count; ++i) {
            receipts[i] = Receipt(leased(), keccak256(abi.encode("body", i)), uint32(i));
        }
    }

    function _leaf(Receipt memory receipt) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(receipt.id, receipt.outputTokens, receipt.body))));
    }

    function _pair(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(left < right ? bytes.concat(left, right) : bytes.concat(right, left));
    }
}
