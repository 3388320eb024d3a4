// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Answer,
    IInferenceMarket,
    Receipt,
    Request,
    Seat,
    SeatState,
    State,
    TaskId
} from "../../contracts/interfaces/IInferenceMarket.sol";
import {Outputs} from "../utils/Outputs.sol";
import {Crooked} from "../utils/Tokens.sol";
import {vm} from "../utils/Vm.sol";
import {MarketHandler} from "./MarketHandler.sol";
import {Turncoat, TurncoatToken} from "./Turncoats.sol";

/// @notice The moves of rounds, doubts and signatures, and of accounts and a token that turn on the market.
contract LawHandler is MarketHandler {
    address public constant ARBITER = address(0xA4B1);
    address private constant STRANGER = address(0xD00D);
    /// @dev An output of 70 tokens has three.
    uint32 public constant LEAVES = 3;

    constructor(IInferenceMarket market, TurncoatToken token) MarketHandler(market, token) {}

    // ------------------------------------------------------------------------------------------- signatures

    function submitBySig(uint256 relayer, uint256 signer, uint256 seed) external {
        Request memory request = _request(address(turncoats[signer % CODED]), seed);
        _do(actor(relayer), abi.encodeCall(IInferenceMarket.submitBySig, (request, "by code")));
    }

    function cancelBySig(uint256 relayer, uint256 pick) external {
        TaskId id = _pick(pick, _either(pick));
        _do(actor(relayer), abi.encodeCall(IInferenceMarket.cancelBySig, (id, "by code")));
    }

    function revoke(uint256 who, uint256 seed) external {
        _do(actor(who), abi.encodeCall(IInferenceMarket.revoke, (_request(actor(who), seed))));
    }

    /// @notice A contract changes its way, and what it will call when the market calls it.
    function turn(uint256 which, uint256 way, uint256 seed) external {
        (address target, bytes memory call) = (address(MARKET), _plan(seed));
        if (address(TOKEN) != address(0) && which % 3 == 0) {
            TOKEN.become(Crooked.Way(way % 8 < 4 ? way % 8 : 0));
            TOKEN.plan(target, call);
        } else {
            turncoats[which % CODED].become(Turncoat.Way(way % 10 < 5 ? way % 10 : 0));
            turncoats[which % CODED].plan(target, call);
        }
    }

    // ----------------------------------------------------------------------------------------------- rounds

    /// @notice A crowd on a task of its own: chance alone seldom brings so many together.
    function crowd(uint64 seed, uint8 commits, uint8 reveals) external {
        Request memory request = _request(actor(seed), seed);
        request.replicas = seed % 2 == 0 ? 3 : 5;
        request.equivalence = keccak256("class");
        for (uint256 i = 0; i < request.replicas; ++i) {
            _deposit(actor(uint256(seed) + i), 10_000_000);
        }
        if (!_do(request.requester, abi.encodeCall(IInferenceMarket.submit, (request)))) return;
        TaskId id = MARKET.hashRequest(request);
        TaskId[] memory one = new TaskId[](1);
        one[0] = id;
        for (uint256 i = 0; i < request.replicas; ++i) {
            _do(actor(uint256(seed) + i), abi.encodeCall(IInferenceMarket.claimMany, (one)));
            if (i < 2 + commits % 6) _commit(id, actor(uint256(seed) + i), (seed >> i) % 4 == 0 ? 1 : 0);
        }
        for (uint256 i = 0; i < request.replicas && i < 2 + reveals % 6; ++i) {
            _reveal(id, actor(uint256(seed) + i), (seed >> i) % 4 == 0 ? 1 : 0);
        }
        if (reveals % 3 != 0) _do(STRANGER, abi.encodeCall(IInferenceMarket.closeRound, (id)));
    }

    function commit(uint256 pick, uint256 variant) external {
        (TaskId id, address worker) = _seat(pick, SeatState.Leased);
        _commit(id, worker, variant);
    }

    function openReveal(uint256 pick) external {
        (TaskId id,) = _seat(pick, SeatState.Committed);
        _do(STRANGER, abi.encodeCall(IInferenceMarket.openReveal, (id)));
    }

    function reveal(uint256 pick, uint256 variant) external {
        (TaskId id, address worker) = _seat(pick, SeatState.Committed);
        _reveal(id, worker, variant);
    }

    function closeRound(uint256 pick) external {
        (TaskId id,) = _seat(pick, SeatState.Revealed);
        _do(STRANGER, abi.encodeCall(IInferenceMarket.closeRound, (id)));
    }

    // ----------------------------------------------------------------------------------------------- doubts

    /// @notice From the asking to the post, and doubts about what was posted: chance alone seldom keeps the order.
    function workAndDoubts(uint64 seed, uint8 doubts) external {
        Request memory request = _request(actor(seed), seed);
        request.replicas = 1;
        address worker = actor(uint256(seed) + 1);
        _deposit(request.requester, 10_000_000);
        _deposit(worker, 10_000_000);
        _do(request.requester, abi.encodeCall(IInferenceMarket.submit, (request)));
        TaskId id = MARKET.hashRequest(request);
        TaskId[] memory one = new TaskId[](1);
        one[0] = id;
        _do(worker, abi.encodeCall(IInferenceMarket.claimMany, (one)));
        uint32 tokens = _tokens(id, seed);
        Receipt[] memory receipts = new Receipt[](1);
        receipts[0] = Receipt(id, MARKET.hashBody(_body(id, worker, tokens)), tokens);
        _do(worker, abi.encodeCall(IInferenceMarket.postBatch, (receipts)));
        for (uint32 leaf = 0; leaf < doubts % 4; ++leaf) {
            _do(actor(uint256(seed) + 2), abi.encodeCall(IInferenceMarket.demand, (id, leaf)));
        }
    }

    function demand(uint256 who, uint256 pick, uint32 leaf) external {
        TaskId id = _pick(pick, State.Posted);
        _do(actor(who), abi.encodeCall(IInferenceMarket.demand, (id, leaf % (LEAVES + 1))));
    }

    /// @notice Calls for a leaf and shows it, where it can be shown: of a task alone in its batch, or of a round.
    function answer(uint256 pick, uint256 who, uint32 leaf) external {
        TaskId id = _pick(pick, State.Posted);
        uint32 tokens = MARKET.taskOf(id).outputTokens;
        leaf %= LEAVES;
        if (tokens > 70 || leaf >= Outputs.leafCount(tokens)) return;
        _do(actor(who), abi.encodeCall(IInferenceMarket.demand, (id, leaf)));
        Answer memory evidence;
        address worker = MARKET.taskOf(id).worker;
        evidence.body = _body(id, worker == address(0) ? actor(who) : worker, tokens);
        evidence.tokens = Outputs.tokens(tokens, leaf);
        evidence.leafPath = Outputs.path(tokens, leaf);
        _do(STRANGER, abi.encodeCall(IInferenceMarket.answer, (id, leaf, evidence)));
    }

    function lapseDemand(uint256 pick) external {
        (TaskId id, uint32 leaf) = _waiting(pick);
        if (pick % 3 != 0) _waitPast(MARKET.demandOf(id, leaf).until);
        _do(STRANGER, abi.encodeCall(IInferenceMarket.lapseDemand, (id, leaf)));
    }

    function closeDemand(uint256 pick) external {
        (TaskId id, uint32 leaf) = _waiting(pick);
        _do(STRANGER, abi.encodeCall(IInferenceMarket.closeDemand, (id, leaf)));
    }

    function challenge(uint256 who, uint256 pick) external {
        _do(actor(who), abi.encodeCall(IInferenceMarket.challenge, (_pick(pick, State.Posted))));
    }

    function rule(uint256 pick, bool faulty) external {
        address caller = pick % 11 == 0 ? STRANGER : ARBITER;
        _do(caller, abi.encodeCall(IInferenceMarket.rule, (_pick(pick, State.Disputed), faulty)));
    }

    function timeout(uint256 pick) external {
        _do(STRANGER, abi.encodeCall(IInferenceMarket.timeout, (_pick(pick, State.Disputed))));
    }

    // -------------------------------------------------------------------------------------------- the end

    /// @notice I6: time and a stranger's calls alone bring every task to an end, and every UNIT out.
    function endEverything() external {
        _behave();
        for (uint256 i = 0; i < ids.length; ++i) {
            while (_nextMove(ids[i])) {}
            for (uint32 leaf = 0; leaf < LEAVES; ++leaf) {
                if (MARKET.demandOf(ids[i], leaf).until == 0) continue;
                _must(abi.encodeCall(IInferenceMarket.closeDemand, (ids[i], leaf)), STRANGER);
            }
        }
        for (uint256 i = 0; i <= ACTORS; ++i) {
            address who = i < ACTORS ? actor(i) : ARBITER;
            _must(abi.encodeCall(IInferenceMarket.withdraw, (MARKET.account(who).free, who)), who);
        }
    }

    function _behave() private {
        for (uint256 i = 0; i < CODED; ++i) {
            turncoats[i].become(Turncoat.Way.Honest);
            turncoats[i].plan(address(0), "");
        }
        if (address(TOKEN) == address(0)) return;
        TOKEN.become(Crooked.Way(0));
        TOKEN.plan(address(0), "");
    }

    /// @dev False once the task has ended.
    function _nextMove(TaskId id) private returns (bool) {
        State state = MARKET.taskOf(id).state;
        if (state == State.Settled || state == State.Refunded) return false;
        uint256 until = MARKET.taskOf(id).until;
        if (state == State.Posted || state == State.Disputed) {
            for (uint32 leaf = 0; leaf < LEAVES; ++leaf) {
                uint256 due = MARKET.demandOf(id, leaf).until;
                if (due == 0) continue;
                _waitPast(due);
                _must(abi.encodeCall(IInferenceMarket.lapseDemand, (id, leaf)), STRANGER);
                return true;
            }
            _waitPast(until);
            TaskId[] memory one = new TaskId[](1);
            one[0] = id;
            bool posted = state == State.Posted;
            bytes memory settle = abi.encodeCall(IInferenceMarket.settleMany, (one));
            _must(posted ? settle : abi.encodeCall(IInferenceMarket.timeout, (id)), STRANGER);
            return true;
        }
        bool several = MARKET.taskOf(id).replicas > 1;
        if (several && state == State.Leased && until != 0) {
            _waitPast(until);
            _must(abi.encodeCall(IInferenceMarket.closeRound, (id)), STRANGER);
            return true;
        }
        _waitPast(MARKET.taskOf(id).deadline);
        bool carried = several && MARKET.roundOf(id).committed > MARKET.taskOf(id).replicas / 2;
        bytes memory expire = abi.encodeCall(IInferenceMarket.expire, (id));
        _must(carried ? abi.encodeCall(IInferenceMarket.openReveal, (id)) : expire, STRANGER);
        return true;
    }

    function _waitPast(uint256 limit) private {
        if (block.timestamp <= limit) vm.warp(limit + 1);
    }

    function _must(bytes memory call, address who) private {
        vm.assertTrue(_do(who, call), "I6: refused");
    }

    // ----------------------------------------------------------------------------------------------- parts

    function _plan(uint256 seed) private view returns (bytes memory) {
        TaskId[] memory picked = _picks(seed, State.Posted);
        if (seed % 5 == 0) return abi.encodeCall(IInferenceMarket.withdraw, (1, address(turncoats[0])));
        if (seed % 5 == 1) return abi.encodeCall(IInferenceMarket.settleMany, (picked));
        if (seed % 5 == 2) return abi.encodeCall(IInferenceMarket.claimMany, (_picks(seed, State.Open)));
        if (seed % 5 == 3) return abi.encodeCall(IInferenceMarket.expire, (_pick(seed, State.Open)));
        return abi.encodeCall(IInferenceMarket.cancel, (_pick(seed, State.Open)));
    }

    /// @dev A seat in that state among the last tasks; anything else, if there is none.
    function _seat(uint256 seed, SeatState wanted) private view returns (TaskId id, address worker) {
        seed %= 2 ** 64;
        uint256 recent = ids.length < RECENT ? ids.length : RECENT;
        for (uint256 i = 0; i < recent; ++i) {
            id = ids[ids.length - 1 - (seed + i) % recent];
            if (MARKET.taskOf(id).replicas == 1 || MARKET.taskOf(id).state != State.Leased) continue;
            for (uint256 place = 0; place < 5; ++place) {
                Seat memory seat = MARKET.seatOf(id, (place + seed) % 5);
                if (seat.state == wanted) return (id, seat.worker);
            }
        }
        return (_pick(seed, State.Leased), actor(seed));
    }

    /// @dev A demand that waits among the last tasks; any leaf, if there is none.
    function _waiting(uint256 seed) private view returns (TaskId id, uint32 leaf) {
        seed %= 2 ** 64;
        uint256 recent = ids.length < RECENT ? ids.length : RECENT;
        for (uint256 i = 0; i < recent; ++i) {
            id = ids[ids.length - 1 - (seed + i) % recent];
            for (leaf = 0; leaf < LEAVES; ++leaf) {
                if (MARKET.demandOf(id, leaf).until != 0) return (id, leaf);
            }
        }
        return (_pick(seed, State.Posted), 0);
    }

    function _commit(TaskId id, address worker, uint256 variant) private {
        uint32 tokens = _tokens(id, variant);
        bytes32 body = MARKET.hashBody(_body(id, worker, tokens));
        bytes32 hidden = keccak256(abi.encode(body, uint256(tokens), keccak256(abi.encode(worker))));
        _do(worker, abi.encodeCall(IInferenceMarket.commit, (id, hidden)));
    }

    function _reveal(TaskId id, address worker, uint256 variant) private {
        uint32 tokens = _tokens(id, variant);
        bytes32 salt = keccak256(abi.encode(worker));
        _do(STRANGER, abi.encodeCall(IInferenceMarket.reveal, (_body(id, worker, tokens), tokens, salt)));
    }
}
