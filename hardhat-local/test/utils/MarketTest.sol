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

    uint64 internal constant CHALLENGE_BOND = 2 * BOND_UNIT;
    uint64 internal constant DEMAND_FEE = 200_000;
    uint32 internal constant ANSWER_TIME = 20;
    uint32 internal constant ARBITER_TIMEOUT = 120;

    /// @dev Of `someRequest`.
    uint256 internal constant PRICE = 1_030_000;
    uint256 internal constant LEASE_BOND = 2 * BOND_UNIT;

    uint256 internal constant SIGNER_KEY = 0x51647e4;

    address internal constant ARBITER = address(0xA4B1);
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

    function parameters() internal view virtual returns (Parameters memory) {
        return Parameters({
            window: WINDOW,
            answerTime: ANSWER_TIME,
            arbiterTimeout: ARBITER_TIMEOUT,
            minLease: 5,
            maxLife: 1 days,
            inversionGrace: 5,
            bondUnit: BOND_UNIT,
            challengeBond: CHALLENGE_BOND,
            demandFee: DEMAND_FEE,
            ageRate: 1 gwei,
            arbiter: ARBITER,
            token: address(0)
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

    /// @notice Makes a contract or says why not: zero, and what its constructor reverted with.
    function create(bytes memory code) internal returns (address made, bytes memory answer) {
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        if (made != address(0)) return (made, "");
        assembly ("memory-safe") {
            let size := returndatasize()
            answer := mload(0x40)
            mstore(answer, size)
            returndatacopy(add(answer, 0x20), 0, size)
            mstore(0x40, add(answer, and(add(size, 0x3f), not(0x1f))))
        }
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

    /// @notice A request of somebody who has money in the market and a key.
    function signerRequest() internal returns (Request memory request) {
        request = someRequest();
        request.requester = vm.addr(SIGNER_KEY);
        if (freeOf(request.requester) == 0) fund(request.requester);
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function signed(Request memory request) internal view returns (bytes memory) {
        return sign(SIGNER_KEY, TaskId.unwrap(market.hashRequest(request)));
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

    function one(bytes memory signature) internal pure returns (bytes[] memory signatures) {
        signatures = new bytes[](1);
        signatures[0] = signature;
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

    function refusal(bytes4 selector, TaskId id) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, id);
    }

    function refusal(bytes4 selector, TaskId id, uint256 value) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, id, value);
    }

    function refusal(bytes4 selector, TaskId id, uint256 value, uint256 other)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(selector, id, value, other);
    }

    function wrongState(TaskId id, State state) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IInferenceMarket.WrongState.selector, id, state);
    }
}
