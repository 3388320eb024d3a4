// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceMarket, State, Task, TaskId} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract ReleaseTest is MarketTest {
    uint256 private constant BOND = 2 * BOND_UNIT;

    function test_release_opensTheTaskAgain() public {
        TaskId id = open();
        Task memory before = market.taskOf(id);
        claim(id, WORKER);
        pass(1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeaseReleased(id, WORKER, uint96(BOND / 20));
        vm.prank(WORKER);
        market.release(id);

        before.until = uint32(block.timestamp);
        vm.assertEq(
            keccak256(abi.encode(market.taskOf(id))),
            keccak256(abi.encode(before)),
            "as before the claim, but open since now"
        );
        assertAccount(WORKER, FUNDS - BOND / 20, 0);
        vm.assertEq(market.burned(), BOND / 20, "burned");
        claim(id, OTHER);
        assertState(id, State.Leased);
    }

    function test_release_burnsTheShareHeldAboveFivePercent() public {
        _burns(4, BOND * 5 / 100);
        _burns(5, BOND * 5 / 100);
        _burns(6, BOND * 6 / 100);
        _burns(50, BOND / 2);
        _burns(100, BOND);
    }

    function test_release_afterTheLapseIsRefused() public {
        TaskId id = leased();
        pass(101);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.LeaseEnded.selector, id, START + 100));
        vm.prank(WORKER);
        market.release(id);
    }

    function test_release_byAnotherIsRefused() public {
        TaskId id = leased();
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotWorker.selector, id, OTHER, WORKER));
        vm.prank(OTHER);
        market.release(id);
    }

    function test_release_byTheEvictedWorkerIsRefused() public {
        TaskId id = leased();
        pass(101);
        claim(id, OTHER);
        vm.expectRevert(abi.encodeWithSelector(IInferenceMarket.NotWorker.selector, id, WORKER, OTHER));
        vm.prank(WORKER);
        market.release(id);
    }

    function test_fuzz_release_neverBurnsMoreThanTheBondNorLessThanFivePercent(uint256 held) public {
        TaskId id = leased();
        pass(bound(held, 0, 100));
        vm.prank(WORKER);
        market.release(id);
        vm.assertLe(market.burned(), BOND, "at most the bond");
        vm.assertGe(market.burned(), BOND / 20, "at least 5 %");
        assertAccount(WORKER, FUNDS - market.burned(), 0);
    }

    function _burns(uint256 heldSecs, uint256 burn) private {
        uint256 before = market.burned();
        uint256 free = freeOf(WORKER);
        TaskId id = leased();
        pass(heldSecs);
        vm.prank(WORKER);
        market.release(id);
        vm.assertEq(market.burned() - before, burn, "burned");
        assertAccount(WORKER, free - burn, 0);
    }
}
