// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Answer,
    Body,
    Receipt,
    Request,
    Seat,
    SeatState,
    TaskId
} from "../../contracts/interfaces/IInferenceMarket.sol";
import {MarketTest} from "./MarketTest.sol";
import {Outputs} from "./Outputs.sol";
import {vm} from "./Vm.sol";

/// @notice Ways into rounds, demands and disputes. Replicas are numbered from 0, and so are the answers they may
/// give: equal numbers, equal verdicts.
abstract contract LawTest is MarketTest {
    uint32 internal constant TOKENS = 200;
    address internal constant CHALLENGER = address(0xC4A1);

    function setUp() public virtual override {
        super.setUp();
        fund(CHALLENGER);
        for (uint256 i = 0; i < 7; ++i) {
            fund(replica(i));
        }
    }

    // ------------------------------------------------------------------------------------------------ bodies

    function replica(uint256 number) internal pure returns (address) {
        return address(uint160(0x5EA700 + number));
    }

    /// @notice What `worker` vouches for with an output of `count` tokens.
    function bodyOf(TaskId id, address worker, uint32 count, uint256 answer)
        internal
        pure
        returns (Body memory)
    {
        return Body({
            taskId: id,
            worker: worker,
            outputRoot: Outputs.root(count),
            tableDigest: keccak256(abi.encode("table", answer)),
            engineDigest: keccak256(abi.encode("engine", worker)),
            strategyDigest: keccak256("strategy"),
            promptTokens: 12,
            startedAt: 1_000,
            finishedAt: 2_000
        });
    }

    function verdictOf(Body memory body, uint32 count) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(body.outputRoot, body.tableDigest, uint256(body.promptTokens), uint256(count))
            );
    }

    function saltOf(address worker) internal pure returns (bytes32) {
        return keccak256(abi.encode("salt", worker));
    }

    function commitmentOf(TaskId id, address worker, uint32 count, uint256 answer)
        internal
        view
        returns (bytes32)
    {
        bytes32 body = market.hashBody(bodyOf(id, worker, count, answer));
        return keccak256(abi.encode(body, uint256(count), saltOf(worker)));
    }

    // ------------------------------------------------------------------------------------------------ rounds

    function roundRequest(uint8 replicas) internal returns (Request memory request) {
        request = someRequest();
        request.replicas = replicas;
        request.equivalence = keccak256("class");
    }

    /// @notice A task of `replicas`, with its first `taken` seats leased.
    function seated(uint8 replicas, uint256 taken) internal returns (TaskId id) {
        id = submit(roundRequest(replicas));
        for (uint256 i = 0; i < taken; ++i) {
            claim(id, replica(i));
        }
    }

    function commitAs(uint256 number, TaskId id, uint32 count, uint256 answer) internal {
        bytes32 commitment = commitmentOf(id, replica(number), count, answer);
        vm.prank(replica(number));
        market.commit(id, commitment);
    }

    function revealAs(uint256 number, TaskId id, uint32 count, uint256 answer) internal {
        address worker = replica(number);
        vm.prank(STRANGER);
        market.reveal(bodyOf(id, worker, count, answer), count, saltOf(worker));
    }

    /// @notice A round in which replica i has committed to TOKENS and `answers[i]`.
    function revealing(uint256[] memory answers) internal returns (TaskId id) {
        id = seated(uint8(answers.length), answers.length);
        for (uint256 i = 0; i < answers.length; ++i) {
            commitAs(i, id, TOKENS, answers[i]);
        }
    }

    function revealed(uint256[] memory answers) internal returns (TaskId id) {
        id = revealing(answers);
        for (uint256 i = 0; i < answers.length; ++i) {
            revealAs(i, id, TOKENS, answers[i]);
        }
    }

    function won(uint256[] memory answers) internal returns (TaskId id) {
        id = revealed(answers);
        market.closeRound(id);
    }

    function three(uint256 a, uint256 b, uint256 c) internal pure returns (uint256[] memory answers) {
        answers = new uint256[](3);
        (answers[0], answers[1], answers[2]) = (a, b, c);
    }

    /// @notice `count` replicas of one mind.
    function unanimous(uint256 count) internal pure returns (uint256[] memory) {
        return new uint256[](count);
    }

    // ------------------------------------------------------------------------------- results, demands, doubts

    /// @notice A task of one replica whose result of `count` tokens is posted, alone in its batch.
    function answered(uint32 count) internal returns (TaskId id) {
        id = leased();
        postOutput(id, WORKER, count);
    }

    function postOutput(TaskId id, address worker, uint32 count) internal {
        bytes32 body = market.hashBody(bodyOf(id, worker, count, 0));
        vm.prank(worker);
        market.postBatch(one(Receipt(id, body, count)));
    }

    function demandLeaf(TaskId id, uint32 leaf) internal {
        vm.prank(OTHER);
        market.demand(id, leaf);
    }

    /// @notice What proves a leaf of an output alone in its batch, or of a round.
    function evidenceOf(TaskId id, address worker, uint32 count, uint32 leaf)
        internal
        pure
        returns (Answer memory evidence)
    {
        evidence.body = bodyOf(id, worker, count, 0);
        evidence.tokens = Outputs.tokens(count, leaf);
        evidence.leafPath = Outputs.path(count, leaf);
    }

    function challengeTask(TaskId id) internal {
        vm.prank(CHALLENGER);
        market.challenge(id);
    }

    function disputed() internal returns (TaskId id) {
        id = answered(TOKENS);
        challengeTask(id);
    }

    function ruleTask(TaskId id, bool faulty) internal {
        vm.prank(ARBITER);
        market.rule(id, faulty);
    }

    // ------------------------------------------------------------------------------------------------ checks

    function assertSeat(TaskId id, uint256 place, SeatState expected) internal view {
        Seat memory seat = market.seatOf(id, place);
        vm.assertEq(uint256(seat.state), uint256(expected), "seat");
    }

    function wrongSeat(bytes4 selector, TaskId id, address worker, SeatState state)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(selector, id, worker, state);
    }
}
