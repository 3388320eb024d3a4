// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Account,
    Batch,
    IInferenceMarket,
    Receipt,
    Request,
    State,
    Task,
    TaskId
} from "../../contracts/interfaces/IInferenceMarket.sol";
import {Vm, vm} from "../utils/Vm.sol";

/// @notice Drives one market with six actors, each of whom asks, works and settles, and keeps a book of its
/// own.
/// @dev Never reverts: a call that the market refuses is part of the run, and `refusals` counts it.
contract MarketHandler {
    uint256 private constant UNIT = 1 gwei;
    uint256 private constant RECENT = 12;
    uint256 public constant ACTORS = 6;

    IInferenceMarket private immutable MARKET;

    TaskId[] public ids;
    bytes32[] public roots;
    mapping(TaskId id => uint256) public escrow;
    mapping(TaskId id => uint256) public left;
    mapping(TaskId id => uint256) public exits;
    mapping(TaskId id => bytes32) public ended;
    mapping(bytes32 root => bytes32) public batches;
    uint256 public burned;
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public refusals;
    mapping(bytes32 selector => uint256) public moves;

    constructor(IInferenceMarket market) {
        MARKET = market;
        for (uint256 i = 0; i < ACTORS; ++i) {
            _deposit(actor(i), 20_000_000);
        }
    }

    function actor(uint256 number) public pure returns (address) {
        return address(uint160(0x10000 + number % ACTORS));
    }

    function taskCount() external view returns (uint256) {
        return ids.length;
    }

    function batchCount() external view returns (uint256) {
        return roots.length;
    }

    // ------------------------------------------------------------------------------------------------- moves

    function deposit(uint256 who, uint32 amount) external {
        _deposit(actor(who), amount % 30_000_000);
    }

    function withdraw(uint256 who, uint32 amount, uint256 to) external {
        amount %= 30_000_000;
        if (_do(actor(who), 0, abi.encodeCall(IInferenceMarket.withdraw, (amount, actor(to))))) {
            withdrawn += amount;
        }
    }

    function submit(uint256 who, uint256 seed, uint256 price) external {
        Request memory request = _request(actor(who), seed);
        uint256 value = price % 3 == 0 ? 1_000_000 : 0;
        if (_do(actor(who), value, abi.encodeCall(IInferenceMarket.submit, (request)))) _note(request);
    }

    function submitMany(uint256 who, uint256 seed) external {
        Request[] memory requests = new Request[](3);
        requests[0] = _request(actor(who), seed);
        requests[1] = _request(actor(who), uint256(keccak256(abi.encode(seed))));
        requests[2] = requests[seed % 2];
        bool[3] memory known;
        for (uint256 i = 0; i < 3; ++i) {
            known[i] = MARKET.taskOf(MARKET.hashRequest(requests[i])).state != State.None;
        }
        _do(actor(who), 0, abi.encodeCall(IInferenceMarket.submitMany, (requests)));
        for (uint256 i = 0; i < 2; ++i) {
            bool opened = MARKET.taskOf(MARKET.hashRequest(requests[i])).state == State.Open;
            if (!known[i] && opened) _note(requests[i]);
        }
    }

    function raiseTip(uint256 pick, uint24 by, bool honest) external {
        TaskId id = _pick(pick, State.Open);
        uint48 tip = MARKET.taskOf(id).tip;
        if (_do(_requester(id, pick, honest), 0, abi.encodeCall(IInferenceMarket.raiseTip, (id, tip + by)))) {
            escrow[id] += by;
        }
    }

    function cancel(uint256 pick, bool honest) external {
        TaskId id = _pick(pick, _either(pick));
        _do(_requester(id, pick, honest), 0, abi.encodeCall(IInferenceMarket.cancel, (id)));
    }

    function claimMany(uint256 who, uint256 pick) external {
        _do(actor(who), 0, abi.encodeCall(IInferenceMarket.claimMany, (_picks(pick, _either(pick)))));
    }

    function release(uint256 pick, uint256 who, bool honest) external {
        TaskId id = _pick(pick, State.Leased);
        address worker = honest ? MARKET.taskOf(id).worker : actor(who);
        _do(worker, 0, abi.encodeCall(IInferenceMarket.release, (id)));
    }

    function postBatch(uint256 who, uint256 pick, bool honest) external {
        TaskId[] memory picked = _picks(pick, State.Leased);
        address worker = honest ? MARKET.taskOf(picked[0]).worker : actor(who);
        Receipt[] memory receipts = new Receipt[](picked.length);
        for (uint256 i = 0; i < picked.length; ++i) {
            receipts[i] = Receipt(
                picked[i],
                keccak256(abi.encode(pick, i)),
                uint32(uint256(keccak256(abi.encode(pick, i))) % 1100)
            );
        }
        _do(worker, 0, abi.encodeCall(IInferenceMarket.postBatch, (receipts)));
    }

    function settleMany(uint256 who, uint256 pick) external {
        _do(actor(who), 0, abi.encodeCall(IInferenceMarket.settleMany, (_picks(pick, State.Posted))));
    }

    function expire(uint256 who, uint256 pick) external {
        _do(actor(who), 0, abi.encodeCall(IInferenceMarket.expire, (_pick(pick, _either(pick)))));
    }

    function pass(uint16 secs) external {
        vm.warp(block.timestamp + secs % 120);
    }

    // ----------------------------------------------------------------------------------------------- choices

    function _request(address requester, uint256 seed) private view returns (Request memory) {
        uint24 leaseSecs = uint24(5 + seed % 60);
        return Request({
            requester: requester,
            salt: keccak256(abi.encode(seed % 1000)),
            modelId: keccak256("model"),
            inputDigest: keccak256("input"),
            paramsDigest: keccak256("params"),
            equivalence: 0,
            maxFee: uint48(seed % 1_000_003),
            flatPercent: uint8(seed % 101),
            tip: uint48(seed % 50_021),
            maxOutputTokens: uint32(1 + seed % 1024),
            bondUnits: uint16(1 + seed % 3),
            deadline: uint32(block.timestamp + leaseSecs + seed % 200),
            leaseSecs: leaseSecs,
            replicas: seed % 23 == 0 ? 3 : 1,
            inputURI: "inputs/aa"
        });
    }

    /// @dev Mostly one of the last tasks that stand in `wanted`; any of the last tasks else, so that refusals
    /// happen too.
    function _pick(uint256 seed, State wanted) private view returns (TaskId) {
        uint256 count = ids.length;
        if (count == 0) return TaskId.wrap(bytes32(seed));
        uint256 recent = count < RECENT ? count : RECENT;
        if (seed % 5 > 0) {
            for (uint256 i = 0; i < recent; ++i) {
                TaskId id = ids[count - 1 - (seed / 5 + i) % recent];
                if (MARKET.taskOf(id).state == wanted) return id;
            }
        }
        return ids[count - 1 - seed % recent];
    }

    function _picks(uint256 seed, State wanted) private view returns (TaskId[] memory picked) {
        picked = new TaskId[](1 + seed % 4);
        for (uint256 i = 0; i < picked.length; ++i) {
            picked[i] = _pick(uint256(keccak256(abi.encode(seed, i))), wanted);
        }
    }

    function _either(uint256 seed) private pure returns (State) {
        return seed % 3 == 0 ? State.Leased : State.Open;
    }

    function _requester(TaskId id, uint256 seed, bool honest) private view returns (address) {
        return honest ? MARKET.taskOf(id).requester : actor(seed);
    }

    // ---------------------------------------------------------------------------------------------- the book

    function _deposit(address who, uint256 amount) private {
        _do(who, amount, abi.encodeCall(IInferenceMarket.deposit, (who)));
    }

    function _do(address who, uint256 units, bytes memory call) private returns (bool done) {
        vm.deal(who, who.balance + units * UNIT);
        vm.recordLogs();
        vm.prank(who);
        (done,) = address(MARKET).call{value: units * UNIT}(call);
        if (!done) {
            ++refusals;
            return false;
        }
        deposited += units;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            _read(logs[i]);
        }
    }

    function _note(Request memory request) private {
        TaskId id = MARKET.hashRequest(request);
        ids.push(id);
        escrow[id] = uint256(request.maxFee) + request.tip;
    }

    function _read(Vm.Log memory log) private {
        bytes32 kind = log.topics[0];
        ++moves[kind];
        if (kind == IInferenceMarket.TaskSettled.selector) {
            (uint256 paid, uint256 refunded) = abi.decode(log.data, (uint256, uint256));
            _exit(TaskId.wrap(log.topics[1]), paid + refunded);
        } else if (kind == IInferenceMarket.TaskRefunded.selector) {
            (, uint256 refunded) = abi.decode(log.data, (uint256, uint256));
            _exit(TaskId.wrap(log.topics[1]), refunded);
        } else if (
            kind == IInferenceMarket.LeaseLapsed.selector || kind == IInferenceMarket.LeaseReleased.selector
        ) {
            burned += abi.decode(log.data, (uint256));
        } else if (kind == IInferenceMarket.BatchPosted.selector) {
            roots.push(log.topics[1]);
            batches[log.topics[1]] = keccak256(abi.encode(MARKET.batch(log.topics[1])));
        }
    }

    function _exit(TaskId id, uint256 amount) private {
        ++exits[id];
        left[id] += amount;
        ended[id] = keccak256(abi.encode(MARKET.taskOf(id)));
    }
}
