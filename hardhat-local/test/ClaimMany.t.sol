// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Request,
    SkipReason,
    State,
    Task,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract ClaimManyTest is MarketTest {
    uint256 private constant BOND = 2 * BOND_UNIT;

    function test_claimMany_leasesAgainstABond() public {
        TaskId id = open();
        pass(7);
        vm.expectEmit(address(market));
        emit IInferenceMarket.WorkerIndexed(WORKER, 1);
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskClaimed(id, WORKER, uint32(START + 107));
        vm.assertEq(claim(id, WORKER), 1, "claimed");

        Task memory task = market.taskOf(id);
        assertState(id, State.Leased);
        vm.assertEq(task.worker, WORKER, "worker");
        vm.assertEq(task.until, START + 107, "until");
        assertAccount(WORKER, FUNDS - BOND, BOND);
    }

    function test_claimMany_numbersWorkersInOrderAndOnce() public {
        claim(open(), WORKER);
        claim(open(), OTHER);
        claim(open(), WORKER);
        vm.assertEq(market.account(WORKER).index, 1, "first");
        vm.assertEq(market.account(OTHER).index, 2, "second");
        vm.assertEq(market.worker(1), WORKER, "first");
        vm.assertEq(market.worker(2), OTHER, "second");
        vm.assertEq(market.worker(0), address(0), "nobody");
        vm.assertEq(market.worker(3), address(0), "nobody");
    }

    function test_claimMany_leasesManyAndSkipsARepeatedId() public {
        (TaskId first, TaskId second) = (open(), open());
        TaskId[] memory ids = new TaskId[](3);
        (ids[0], ids[1], ids[2]) = (first, second, first);
        expectSkip(first, State.Leased, SkipReason.LeaseRunning);
        vm.prank(WORKER);
        vm.assertEq(market.claimMany(ids), 2, "claimed");
        assertAccount(WORKER, FUNDS - 2 * BOND, 2 * BOND);
    }

    function test_claimMany_skipsARunningLeaseToItsLastSecond() public {
        TaskId id = leased();
        pass(100);
        expectSkip(id, State.Leased, SkipReason.LeaseRunning);
        vm.assertEq(claim(id, OTHER), 0, "claimed");
    }

    function test_claimMany_evictsALapsedLeaseAndBurnsItsBond() public {
        TaskId id = leased();
        pass(101);
        vm.expectEmit(address(market));
        emit IInferenceMarket.WorkerIndexed(OTHER, 2);
        vm.expectEmit(address(market));
        emit IInferenceMarket.LeaseLapsed(id, WORKER, uint96(BOND));
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskClaimed(id, OTHER, uint32(START + 201));
        vm.assertEq(claim(id, OTHER), 1, "claimed");

        vm.assertEq(market.taskOf(id).worker, OTHER, "worker");
        assertAccount(WORKER, FUNDS - BOND, 0);
        assertAccount(OTHER, FUNDS - BOND, BOND);
        vm.assertEq(market.burned(), BOND, "burned");
    }

    function test_claimMany_ofOnesOwnLapsedLeaseIsNotFree() public {
        TaskId id = leased();
        pass(101);
        vm.assertEq(claim(id, WORKER), 1, "claimed");
        assertAccount(WORKER, FUNDS - 2 * BOND, BOND);
        vm.assertEq(market.burned(), BOND, "burned");
    }

    function test_claimMany_sameLapsedIdTwiceBurnsOnce() public {
        TaskId id = leased();
        pass(101);
        vm.prank(WORKER);
        vm.assertEq(market.claimMany(two(id, id)), 1, "claimed");
        assertAccount(WORKER, FUNDS - 2 * BOND, BOND);
        vm.assertEq(market.burned(), BOND, "burned");
    }

    function test_claimMany_mixOfFreshOwnLapsedAndForeignLapsed() public {
        TaskId foreign = open();
        claim(foreign, OTHER);
        TaskId own = leased();
        pass(101);
        TaskId[] memory ids = new TaskId[](3);
        (ids[0], ids[1], ids[2]) = (own, open(), foreign);
        vm.prank(WORKER);
        vm.assertEq(market.claimMany(ids), 3, "claimed");
        assertAccount(WORKER, FUNDS - 4 * BOND, 3 * BOND);
        assertAccount(OTHER, FUNDS - BOND, 0);
        vm.assertEq(market.burned(), 2 * BOND, "burned");
    }

    function test_claimMany_needsAWholeLeaseBeforeTheDeadline() public {
        TaskId id = open();
        pass(901);
        expectSkip(id, State.Open, SkipReason.DeadlineTooSoon);
        vm.assertEq(claim(id, WORKER), 0, "claimed");
        vm.warp(START + 900);
        vm.assertEq(claim(id, WORKER), 1, "claimed");
        vm.assertEq(market.taskOf(id).until, START + 1000, "not clipped");
    }

    function test_claimMany_doesNotEvictWhenNoWholeLeaseIsLeft() public {
        TaskId id = open();
        pass(850);
        claim(id, WORKER);
        pass(101);
        expectSkip(id, State.Leased, SkipReason.DeadlineTooSoon);
        vm.assertEq(claim(id, OTHER), 0, "claimed");
        assertAccount(WORKER, FUNDS - BOND, BOND);
    }

    function test_claimMany_skipsWhatTheFreeBalanceDoesNotBond() public {
        vm.prank(WORKER);
        market.withdraw(FUNDS - 2 * BOND + 1, WORKER);
        (TaskId first, TaskId second) = (open(), open());
        expectSkip(second, State.Open, SkipReason.InsufficientFree);
        vm.prank(WORKER);
        vm.assertEq(market.claimMany(two(first, second)), 1, "claimed");
        assertAccount(WORKER, BOND - 1, BOND);
    }

    function test_claimMany_bondsTheLastUnit() public {
        vm.prank(WORKER);
        market.withdraw(FUNDS - 2 * BOND, WORKER);
        TaskId[] memory ids = two(open(), open());
        vm.prank(WORKER);
        vm.assertEq(market.claimMany(ids), 2, "claimed");
        assertAccount(WORKER, 0, 2 * BOND);
    }

    function test_claimMany_doesNotEvictWithoutABond() public {
        TaskId id = leased();
        pass(101);
        expectSkip(id, State.Leased, SkipReason.InsufficientFree);
        vm.assertEq(claim(id, STRANGER), 0, "claimed");
        vm.assertEq(market.taskOf(id).worker, WORKER, "worker");
        vm.assertEq(market.burned(), 0, "burned");
        vm.assertEq(market.account(STRANGER).index, 0, "not numbered");
    }

    function test_claimMany_ofOnesOwnTask() public {
        TaskId id = open();
        vm.assertEq(claim(id, REQUESTER), 1, "claimed");
        assertAccount(REQUESTER, FUNDS - 1_030_000 - BOND, BOND);
    }

    function test_fuzz_claimMany_bondsWhatTheRequestNames(uint16 bondUnits) public {
        Request memory request = someRequest();
        request.bondUnits = uint16(bound(bondUnits, 1, FUNDS / BOND_UNIT));
        claim(submit(request), WORKER);
        uint256 bond = uint256(request.bondUnits) * BOND_UNIT;
        assertAccount(WORKER, FUNDS - bond, bond);
    }
}
