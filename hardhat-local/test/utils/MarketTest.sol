// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Account,
    IInferenceMarket,
    Parameters,
    Receipt,
    RefundReason,
    Request,
    SkipReason,
    State,
    Task,
    TaskId
} from "../../contracts/interfaces/IInferenceMarket.sol";
import {vm} from "./Vm.sol";

/// @notice A market with money in it, and a way into every situation of a task. The market comes from its
/// artifact, so that what is tested is what is deployed.
abstract contract MarketTest {
    uint256 internal constant UNIT = 1 gwei;
    uint256 internal constant START = 1_800_000_000;
    uint32 internal constant WINDOW = 60;
    uint64 internal constant BOND_UNIT = 1_000_000;
    uint96 internal constant FUNDS = 1_000_000_000; // UNITs: one ether

    address internal constant REQUESTER = address(0xA11CE);
    address internal constant WORKER = address(0xB0B);
    address internal constant OTHER = address(0xCAFE);
    address internal constant STRANGER = address(0xD00D);

    IInferenceMarket internal market;
    uint256 private _salt;

    function setUp() public virtual {
        vm.warp(START);
        market = deploy(parameters());
        fund(REQUESTER);
        fund(WORKER);
        fund(OTHER);
    }

    // --------------------------------------------------------------------------------------------- the world

    function parameters() internal pure returns (Parameters memory) {
        return Parameters({
            window: WINDOW,
            answerTime: 20,
            arbiterTimeout: 120,
            minLease: 5,
            maxLife: 1 days,
            inversionGrace: 5,
            bondUnit: BOND_UNIT,
            challengeBond: 2 * BOND_UNIT,
            demandFee: 200_000,
            ageRate: 1 gwei,
            arbiter: address(0xA4B1)
        });
    }

    function deploy(Parameters memory p) internal returns (IInferenceMarket) {
        return IInferenceMarket(vm.deployCode("InferenceMarket.sol:InferenceMarket", abi.encode(p)));
    }

    function fund(address who) internal {
        vm.deal(who, FUNDS * UNIT);
        vm.prank(who);
        market.deposit{value: FUNDS * UNIT}(who);
    }

    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }

    // ------------------------------------------------------------------------------------------------- moves

    /// @notice A request like many, with a salt of its own.
    function someRequest() internal returns (Request memory) {
        return Request({
            requester: REQUESTER,
            salt: keccak256(abi.encode(_salt++)),
            modelId: keccak256("model"),
            inputDigest: keccak256("input"),
            paramsDigest: keccak256("params"),
            equivalence: 0,
            maxFee: 1_000_000,
            flatPercent: 20,
            tip: 30_000,
            maxOutputTokens: 512,
            bondUnits: 2,
            deadline: uint32(block.timestamp + 1000),
            leaseSecs: 100,
            replicas: 1,
            inputURI: "inputs/0011223344556677889900112233445566778899001122334455667788990011"
        });
    }

    function submit(Request memory request) internal returns (TaskId) {
        vm.prank(request.requester);
        return market.submit(request);
    }

    function open() internal returns (TaskId) {
        return submit(someRequest());
    }

    function claim(TaskId id, address worker) internal returns (uint256) {
        vm.prank(worker);
        return market.claimMany(one(id));
    }

    function post(TaskId id, address worker, uint32 outputTokens) internal returns (bytes32) {
        vm.prank(worker);
        return market.postBatch(one(Receipt(id, keccak256("body"), outputTokens)));
    }

    function settle(TaskId id) internal returns (uint256) {
        vm.prank(STRANGER);
        return market.settleMany(one(id));
    }

    function leased() internal returns (TaskId id) {
        id = open();
        claim(id, WORKER);
    }

    function posted(uint32 outputTokens) internal returns (TaskId id) {
        id = leased();
        post(id, WORKER, outputTokens);
    }

    function pass(uint256 secs) internal {
        vm.warp(block.timestamp + secs);
    }

    function one(TaskId id) internal pure returns (TaskId[] memory ids) {
        ids = new TaskId[](1);
        ids[0] = id;
    }

    function one(Receipt memory receipt) internal pure returns (Receipt[] memory receipts) {
        receipts = new Receipt[](1);
        receipts[0] = receipt;
    }

    function one(Request memory request) internal pure returns (Request[] memory requests) {
        requests = new Request[](1);
        requests[0] = request;
    }

    function two(TaskId first, TaskId second) internal pure returns (TaskId[] memory ids) {
        ids = new TaskId[](2);
        (ids[0], ids[1]) = (first, second);
    }

    // ------------------------------------------------------------------------------------------------ checks

    function stateOf(TaskId id) internal view returns (State) {
        return market.taskOf(id).state;
    }

    function freeOf(address who) internal view returns (uint256) {
        return market.account(who).free;
    }

    function lockedOf(address who) internal view returns (uint256) {
        return market.account(who).locked;
    }

    function assertState(TaskId id, State expected) internal view {
        vm.assertEq(uint256(stateOf(id)), uint256(expected), "state");
    }

    function assertAccount(address who, uint256 free, uint256 locked) internal view {
        vm.assertEq(freeOf(who), free, "free");
        vm.assertEq(lockedOf(who), locked, "locked");
    }

    /// @notice The next call must skip `id` with this reason.
    function expectSkip(TaskId id, State state, SkipReason reason) internal {
        vm.expectEmit(address(market));
        emit IInferenceMarket.TaskSkipped(id, state, reason);
    }

    function wrongState(TaskId id, State state) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IInferenceMarket.WrongState.selector, id, state);
    }
}
