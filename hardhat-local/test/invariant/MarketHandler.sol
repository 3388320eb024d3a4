// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Body,
    IInferenceMarket,
    Receipt,
    Request,
    State,
    Task,
    TaskId
} from "../../contracts/interfaces/IInferenceMarket.sol";
import {Outputs} from "../utils/Outputs.sol";
import {Vm, vm} from "../utils/Vm.sol";
import {Turncoat, TurncoatToken} from "./Turncoats.sol";

/// @notice Drives one market with ten actors, each of whom asks, works and settles, and keeps a book of its own
/// from what the market says.
/// @dev Never reverts: a call that the market refuses is part of the run, and `refusals` counts it.
abstract contract MarketHandler {
    uint256 internal constant UNIT = 1 gwei;
    uint256 internal constant RECENT = 12;
    uint256 public constant ACTORS = 10;
    /// @dev How many of them have code: the last ones.
    uint256 internal constant CODED = 2;

    IInferenceMarket internal immutable MARKET;
    /// @dev The market's currency; zero: ether.
    TurncoatToken internal immutable TOKEN;
    Turncoat[CODED] internal turncoats;

    TaskId[] public ids;
    bytes32[] public roots;
    mapping(TaskId id => uint256) public escrow;
    mapping(TaskId id => uint256) public left;
    mapping(TaskId id => uint256) public exits;
    mapping(TaskId id => bytes32) public ended;
    mapping(TaskId id => uint256) private _seatPaid;
    mapping(bytes32 root => bytes32) public batches;
    uint256 public burned;
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public refusals;
    mapping(bytes32 selector => uint256) public moves;

    constructor(IInferenceMarket market, TurncoatToken token) {
        (MARKET, TOKEN) = (market, token);
        for (uint256 i = 0; i < CODED; ++i) {
            turncoats[i] = new Turncoat();
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            _deposit(actor(i), 20_000_000);
        }
    }

    function actor(uint256 number) public view returns (address) {
        number %= ACTORS;
        if (number >= ACTORS - CODED) return address(turncoats[number + CODED - ACTORS]);
        return address(uint160(0x10000 + number));
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
        _do(actor(who), abi.encodeCall(IInferenceMarket.withdraw, (amount, actor(to))));
    }

    function submit(uint256 who, uint256 seed, uint256 price) external {
        bool pays = price % 3 == 0 && address(TOKEN) == address(0);
        bytes memory call = abi.encodeCall(IInferenceMarket.submit, (_request(actor(who), seed)));
        _pay(actor(who), pays ? 1_000_000 : 0, call);
    }

    function submitMany(uint256 who, uint256 seed) external {
        Request[] memory requests = new Request[](3);
        requests[0] = _request(actor(who), seed);
        requests[1] = _request(actor(who), uint256(keccak256(abi.encode(seed))));
        requests[2] = requests[seed % 2];
        _do(actor(who), abi.encodeCall(IInferenceMarket.submitMany, (requests)));
    }

    function raiseTip(uint256 pick, uint24 by, bool honest) external {
        TaskId id = _pick(pick, State.Open);
        uint48 tip = MARKET.taskOf(id).tip;
        _do(_requester(id, pick, honest), abi.encodeCall(IInferenceMarket.raiseTip, (id, tip + by)));
    }

    function cancel(uint256 pick, bool honest) external {
        TaskId id = _pick(pick, _either(pick));
        _do(_requester(id, pick, honest), abi.encodeCall(IInferenceMarket.cancel, (id)));
    }

    function claimMany(uint256 who, uint256 pick) external {
        _do(actor(who), abi.encodeCall(IInferenceMarket.claimMany, (_picks(pick, _either(pick)))));
    }

    function release(uint256 pick, uint256 who, bool honest) external {
        TaskId id = _pick(pick, State.Leased);
        address worker = honest ? MARKET.taskOf(id).worker : actor(who);
        _do(worker, abi.encodeCall(IInferenceMarket.release, (id)));
    }

    function postBatch(uint256 who, uint256 pick, bool honest) external {
        TaskId[] memory picked = _picks(pick, State.Leased);
        address worker = honest ? MARKET.taskOf(picked[0]).worker : actor(who);
        Receipt[] memory receipts = new Receipt[](picked.length);
        for (uint256 i = 0; i < picked.length; ++i) {
            uint32 tokens = _tokens(picked[i], pick);
            receipts[i] = Receipt(picked[i], MARKET.hashBody(_body(picked[i], worker, tokens)), tokens);
        }
        _do(worker, abi.encodeCall(IInferenceMarket.postBatch, (receipts)));
    }

    function settleMany(uint256 who, uint256 pick) external {
        _do(actor(who), abi.encodeCall(IInferenceMarket.settleMany, (_picks(pick, State.Posted))));
    }

    function expire(uint256 who, uint256 pick) external {
        _do(actor(who), abi.encodeCall(IInferenceMarket.expire, (_pick(pick, _either(pick)))));
    }

    function pass(uint16 secs) external {
        vm.warp(block.timestamp + secs % 120);
    }

    // ----------------------------------------------------------------------------------------------- choices

    function _request(address requester, uint256 seed) internal view returns (Request memory) {
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
            replicas: seed % 23 == 0 ? 3 : 1, // and without a class: refused
            inputURI: "inputs/aa"
        });
    }

    /// @dev Few, so that leaves can be shown; now and then more than anybody asked for.
    function _tokens(TaskId id, uint256 variant) internal pure returns (uint32) {
        if (variant % 19 == 0) return 1100;
        return uint32(uint256(keccak256(abi.encode(id, variant % 3))) % 71);
    }

    function _body(TaskId id, address worker, uint32 tokens) internal pure returns (Body memory) {
        return Body({
            taskId: id,
            worker: worker,
            outputRoot: tokens > 70 ? keccak256("too many") : Outputs.root(tokens),
            tableDigest: keccak256("table"),
            engineDigest: keccak256(abi.encode(worker)),
            strategyDigest: keccak256("strategy"),
            promptTokens: 12,
            startedAt: 1,
            finishedAt: 2
        });
    }

    /// @dev Mostly one of the last tasks that stand in `wanted`; any of the last tasks else, so that refusals
    /// happen too.
    function _pick(uint256 seed, State wanted) internal view returns (TaskId) {
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

    function _picks(uint256 seed, State wanted) internal view returns (TaskId[] memory picked) {
        picked = new TaskId[](seed % 3 == 0 ? 1 + seed % 4 : 1);
        for (uint256 i = 0; i < picked.length; ++i) {
            picked[i] = _pick(uint256(keccak256(abi.encode(seed, i))), wanted);
        }
    }

    function _either(uint256 seed) internal pure returns (State) {
        return seed % 3 == 0 ? State.Leased : State.Open;
    }

    function _requester(TaskId id, uint256 seed, bool honest) private view returns (address) {
        return honest ? MARKET.taskOf(id).requester : actor(seed);
    }

    // ---------------------------------------------------------------------------------------------- the book

    function _deposit(address who, uint256 amount) internal {
        if (address(TOKEN) == address(0)) {
            _pay(who, amount, abi.encodeCall(IInferenceMarket.deposit, (who)));
            return;
        }
        TOKEN.mint(who, amount * UNIT);
        vm.prank(who);
        TOKEN.approve(address(MARKET), type(uint256).max);
        _do(who, abi.encodeCall(IInferenceMarket.depositToken, (who, amount)));
    }

    function _do(address who, bytes memory call) internal returns (bool) {
        return _pay(who, 0, call);
    }

    function _pay(address who, uint256 units, bytes memory call) private returns (bool done) {
        vm.deal(who, who.balance + units * UNIT);
        vm.recordLogs();
        vm.prank(who);
        (done,) = address(MARKET).call{value: units * UNIT}(call);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (!done) {
            ++refusals;
            return false;
        }
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(MARKET)) _read(logs[i]);
        }
    }

    function _read(Vm.Log memory log) private {
        bytes32 kind = log.topics[0];
        ++moves[kind];
        TaskId id = TaskId.wrap(log.topics[1]);
        if (kind == IInferenceMarket.TaskSubmitted.selector) {
            ids.push(id);
            escrow[id] = _escrowOf(id);
        } else if (kind == IInferenceMarket.PriorityRaised.selector) {
            escrow[id] = _escrowOf(id);
        } else if (kind == IInferenceMarket.Deposited.selector) {
            deposited += abi.decode(log.data, (uint256));
        } else if (kind == IInferenceMarket.Withdrawn.selector) {
            withdrawn += abi.decode(log.data, (uint256));
        } else if (kind == IInferenceMarket.SeatPaid.selector) {
            (uint256 paid,) = abi.decode(log.data, (uint256, uint256));
            _seatPaid[id] += paid;
        } else if (kind == IInferenceMarket.TaskSettled.selector) {
            (uint256 paid, uint256 refunded) = abi.decode(log.data, (uint256, uint256));
            _exit(id, paid + refunded);
        } else if (kind == IInferenceMarket.TaskRefunded.selector) {
            (, uint256 refunded) = abi.decode(log.data, (uint256, uint256));
            _exit(id, refunded + _seatPaid[id]);
        } else if (kind == IInferenceMarket.BatchPosted.selector) {
            roots.push(log.topics[1]);
            batches[log.topics[1]] = keccak256(abi.encode(MARKET.batch(log.topics[1])));
        } else {
            burned += _burnedBy(kind, log.data);
        }
    }

    function _burnedBy(bytes32 kind, bytes memory data) private pure returns (uint256 amount) {
        if (
            kind == IInferenceMarket.LeaseLapsed.selector || kind == IInferenceMarket.LeaseReleased.selector
                || kind == IInferenceMarket.CommitmentBurned.selector
        ) {
            amount = abi.decode(data, (uint256));
        } else if (
            kind == IInferenceMarket.BondSlashed.selector || kind == IInferenceMarket.ChallengeLost.selector
        ) {
            (,, amount) = abi.decode(data, (uint256, uint256, uint256));
        } else if (kind == IInferenceMarket.LeafAnswered.selector) {
            (,, amount) = abi.decode(data, (uint32[], uint256, uint256));
        }
    }

    function _escrowOf(TaskId id) private view returns (uint256) {
        Task memory task = MARKET.taskOf(id);
        return uint256(task.maxFee) * task.replicas + task.tip;
    }

    function _exit(TaskId id, uint256 amount) private {
        ++exits[id];
        left[id] += amount;
        ended[id] = keccak256(abi.encode(MARKET.taskOf(id)));
    }
}
