// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    IInferenceMarket,
    Request,
    SkipReason,
    State,
    TaskId
} from "../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./utils/MarketTest.sol";
import {vm} from "./utils/Vm.sol";

contract SettleManyTest is MarketTest {
    uint256 private constant BOND = 2 * BOND_UNIT;

    function test_settleMany_paysByTokenAndReturnsTheRest() public {
        TaskId id = posted(128);
        pass(WINDOW + 1);
        uint96 charge = 200_000 + 800_000 * 128 / 512;
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSettled(id, WORKER, charge + 30_000, 1_000_000 - charge);
        vm.assertEq(settle(id), 1, "settled");

        assertState(id, State.Settled);
        assertAccount(WORKER, FUNDS + charge + 30_000, 0);
        assertAccount(REQUESTER, FUNDS - charge - 30_000, 0);
        assertAccount(STRANGER, 0, 0);
        vm.assertEq(market.taskOf(id).worker, WORKER, "the record stays");
        vm.assertEq(market.taskOf(id).outputTokens, 128, "the record stays");
    }

    function test_settleMany_insideTheWindowIsSkippedToItsLastSecond() public {
        TaskId id = posted(1);
        pass(WINDOW);
        expectSkip(id, State.Posted, SkipReason.WindowOpen);
        vm.assertEq(settle(id), 0, "settled");
        pass(1);
        vm.assertEq(settle(id), 1, "settled");
    }

    function test_settleMany_paysARepeatedIdOnce() public {
        TaskId id = posted(512);
        pass(WINDOW + 1);
        expectSkip(id, State.Settled, SkipReason.WrongState);
        vm.assertEq(market.settleMany(two(id, id)), 1, "settled");
        assertAccount(WORKER, FUNDS + 1_030_000, 0);
    }

    function test_settleMany_paysEachWorkerAndRequesterTheirOwn() public {
        TaskId[] memory ids = new TaskId[](6);
        for (uint256 i = 0; i < 6; ++i) {
            Request memory request = someRequest();
            request.requester = i % 3 == 0 ? REQUESTER : OTHER;
            request.tip = uint48(10 ** i);
            ids[i] = submit(request);
            address worker = i % 2 == 0 ? WORKER : REQUESTER;
            claim(ids[i], worker);
            post(ids[i], worker, 512);
        }
        pass(WINDOW + 1);
        vm.assertEq(market.settleMany(ids), 6, "settled");
        assertAccount(WORKER, FUNDS + 3_000_000 + 10_101, 0);
        assertAccount(OTHER, FUNDS - 4_000_000 - 10 - 100 - 10_000 - 100_000, 0);
        // Asked for tasks 0 and 3, did 1, 3 and 5.
        assertAccount(REQUESTER, FUNDS - 2_000_000 - 1 - 1000 + 3_000_000 + 10 + 1000 + 100_000, 0);
    }

    function test_settleMany_ofOnesOwnTaskMovesNothing() public {
        TaskId id = open();
        claim(id, REQUESTER);
        post(id, REQUESTER, 3);
        pass(WINDOW + 1);
        settle(id);
        assertAccount(REQUESTER, FUNDS, 0);
    }

    function test_settleMany_ofNothingDoesNothing() public {
        vm.assertEq(market.settleMany(new TaskId[](0)), 0, "settled");
    }

    function test_settleMany_skipsWhatIsNotPostedAndGoesOn() public {
        TaskId[] memory ids = new TaskId[](3);
        (ids[0], ids[2]) = (leased(), posted(512));
        ids[1] = TaskId.wrap("nobody asked");
        pass(WINDOW + 1);
        expectSkip(ids[0], State.Leased, SkipReason.WrongState);
        expectSkip(ids[1], State.None, SkipReason.WrongState);
        vm.assertEq(market.settleMany(ids), 1, "settled");
        assertState(ids[2], State.Settled);
    }

    function test_fuzz_settleMany_paidAndRefundedAreTheEscrow(
        uint48 maxFee,
        uint48 tip,
        uint8 flatPercent,
        uint32 maxOutputTokens,
        uint32 outputTokens
    ) public {
        Request memory request = someRequest();
        request.maxFee = uint48(bound(maxFee, 0, FUNDS / 2));
        request.tip = uint48(bound(tip, 0, FUNDS / 2));
        request.flatPercent = flatPercent % 101;
        request.maxOutputTokens = uint32(bound(maxOutputTokens, 1, type(uint32).max));
        TaskId id = submit(request);
        claim(id, WORKER);
        post(id, WORKER, uint32(bound(outputTokens, 0, request.maxOutputTokens)));
        pass(WINDOW + 1);
        settle(id);

        uint256 paid = freeOf(WORKER) - FUNDS;
        vm.assertGe(paid, request.tip, "at least the tip");
        vm.assertLe(paid, uint256(request.maxFee) + request.tip, "at most the escrow");
        assertAccount(REQUESTER, FUNDS - paid, 0);
    }
}
