// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, Request, State, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {IMarketLens, Standing} from "../contracts/interfaces/IMarketLens.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract LensTest is MarketTest {
    IMarketLens private _lens;

    function setUp() public override {
        super.setUp();
        _lens = IMarketLens(vm.deployCode("MarketLens.sol:MarketLens", abi.encode(market)));
    }

    function test_standingOf_followsTimeThroughALife() public {
        TaskId id = TaskId.wrap("nobody asked");
        _stands(id, Standing.None);
        id = open();
        vm.warp(START + 1000);
        _stands(id, Standing.Open);
        vm.warp(START + 1001);
        _stands(id, Standing.Expired);
        market.expire(id);
        _stands(id, Standing.Refunded);

        vm.warp(START);
        id = leased();
        vm.warp(START + 100);
        _stands(id, Standing.Leased);
        vm.warp(START + 101);
        _stands(id, Standing.Lapsed);
        vm.warp(START + 1000);
        _stands(id, Standing.Lapsed);
        vm.warp(START + 1001);
        _stands(id, Standing.Expired);

        vm.warp(START + 1000);
        post(id, WORKER, 1);
        vm.warp(START + 1000 + WINDOW);
        _stands(id, Standing.Posted);
        pass(1);
        _stands(id, Standing.Settleable);
        settle(id);
        _stands(id, Standing.Settled);
    }

    function test_priorityOf_addsTheAgeToTheTipPerToken() public {
        TaskId id = open();
        vm.assertEq(_lens.priorityOf(id), uint256(30_000) * 1 gwei * 1e6 / 512, "fresh");
        pass(7);
        vm.assertEq(_lens.priorityOf(id), uint256(30_000) * 1 gwei * 1e6 / 512 + 7 gwei, "aged");
        vm.prank(REQUESTER);
        market.raiseTip(id, 60_000);
        vm.assertEq(_lens.priorityOf(id), uint256(60_000) * 1 gwei * 1e6 / 512, "restarted");
    }

    function test_priorityOf_nothingIsRefused() public {
        TaskId id = TaskId.wrap("nobody asked");
        vm.expectRevert(wrongState(id, State.None));
        _lens.priorityOf(id);
    }

    function test_queue_putsTheBestPaidFirstAndTheOldestBeforeItsEqual() public {
        TaskId[] memory ids = new TaskId[](4);
        ids[0] = _openWithTip(10);
        ids[1] = _openWithTip(30);
        pass(1);
        ids[2] = _openWithTip(30);
        ids[3] = _openWithTip(20);
        (TaskId[] memory ranked, uint256[] memory priorities) = _lens.queue(ids);
        vm.assertEq(ranked.length, 4, "all");
        vm.assertEq(TaskId.unwrap(ranked[0]), TaskId.unwrap(ids[1]), "first");
        vm.assertEq(TaskId.unwrap(ranked[1]), TaskId.unwrap(ids[2]), "second");
        vm.assertEq(TaskId.unwrap(ranked[2]), TaskId.unwrap(ids[3]), "third");
        vm.assertEq(TaskId.unwrap(ranked[3]), TaskId.unwrap(ids[0]), "last");
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(priorities[i], _lens.priorityOf(ranked[i]), "priority");
        }
    }

    function test_queue_breaksTiesByTheLowerId() public {
        (TaskId[] memory ranked,) = _lens.queue(two(_openWithTip(10), _openWithTip(10)));
        vm.assertTrue(TaskId.unwrap(ranked[0]) < TaskId.unwrap(ranked[1]), "lower first");
    }

    function test_queue_leavesOutWhatCannotBeClaimed() public {
        TaskId[] memory ids = new TaskId[](5);
        ids[0] = leased();
        pass(101);
        ids[1] = leased();
        ids[2] = posted(1);
        ids[3] = open();
        ids[4] = TaskId.wrap("nobody asked");
        (TaskId[] memory ranked,) = _lens.queue(ids);
        vm.assertEq(ranked.length, 2, "the lapsed and the open one");
        vm.assertEq(TaskId.unwrap(ranked[0]), TaskId.unwrap(ids[0]), "lapsed");
        vm.assertEq(TaskId.unwrap(ranked[1]), TaskId.unwrap(ids[3]), "open");
        vm.warp(START + 1002);
        (ranked,) = _lens.queue(ids);
        vm.assertEq(ranked.length, 0, "no whole lease is left");
    }

    function test_escrowOf_countsLiveTasksOnly() public {
        TaskId[] memory ids = new TaskId[](4);
        (ids[0], ids[1], ids[2]) = (open(), leased(), posted(1));
        ids[3] = TaskId.wrap("nobody asked");
        vm.assertEq(_lens.escrowOf(ids), 3 * 1_030_000, "three live");
        pass(WINDOW + 1);
        settle(ids[2]);
        vm.prank(REQUESTER);
        market.cancel(ids[0]);
        vm.assertEq(_lens.escrowOf(ids), 1_030_000, "one live");
    }

    function test_lens_namesItsMarket() public view {
        vm.assertEq(address(_lens.market()), address(market), "market");
    }

    function _openWithTip(uint48 tip) private returns (TaskId) {
        Request memory request = someRequest();
        request.tip = tip;
        return submit(request);
    }

    function _stands(TaskId id, Standing expected) private view {
        vm.assertEq(uint256(_lens.standingOf(id)), uint256(expected), "standing");
    }
}
