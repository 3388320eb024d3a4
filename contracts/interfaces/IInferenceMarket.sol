// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The EIP-712 digest of a `Request` under the market's domain. Known before the request is sent;
/// used once, for ever.
type TaskId is bytes32;

/// @notice Where a task stands in storage. What time alone has changed since is derived by
/// `MarketLens.standingOf`.
enum State {
    None,
    Open,
    /// @dev At least one seat is taken; a task of one replica has one seat.
    Leased,
    Posted,
    Disputed,
    Settled,
    Refunded
}

/// @notice Where a seat of a replicated task stands.
enum SeatState {
    Empty,
    Leased,
    Committed,
    Revealed,
    /// @dev The seat's verdict is the quorum's: paid when the task is settled.
    Won,
    /// @dev Out of the round, bond returned: a minority answer, or a round without a quorum.
    Left,
    /// @dev Out of the round, bond burned: a lapsed lease or a commitment not revealed.
    Burned
}

/// @notice Why a task gave its escrow back.
enum RefundReason {
    None,
    /// @dev 1: by the requester's `cancel` or `cancelBySig`.
    Cancelled,
    /// @dev 2: by `expire`, after the deadline.
    Expired,
    /// @dev 3: by `closeRound`, no verdict had a quorum; the revealed replicas got half their charge.
    NoQuorum,
    /// @dev 4: by `lapseDemand`, nobody answered in time.
    Unanswered,
    /// @dev 5: by `rule`, the arbiter found a fault.
    Faulty
}

/// @notice Why an item of a `...Many` call or of `postBatch` was left out. The rest of the call went on.
enum SkipReason {
    None,
    /// @dev 1: the call is not for a task in this state; a repeated id shows up here.
    WrongState,
    /// @dev 2 (submit): the request names another requester than the caller.
    NotRequester,
    /// @dev 3 (submit by signature): not signed by the requester.
    BadSignature,
    /// @dev 4 (submit): the number of replicas is none of 1, 3, 5, 7.
    BadReplicas,
    /// @dev 5 (submit): several replicas without an equivalence class have no common answer.
    NoEquivalence,
    /// @dev 6 (submit): no output token could be asked for.
    NoOutputTokens,
    /// @dev 7 (submit): a flat share of more than 100 %.
    FlatPercentTooHigh,
    /// @dev 8 (submit): no bond.
    NoBond,
    /// @dev 9 (submit): a lease shorter than `minLease`.
    LeaseTooShort,
    /// @dev 10 (submit, claim): a whole lease does not end by the deadline any more.
    DeadlineTooSoon,
    /// @dev 11 (submit): further away than `maxLife`.
    DeadlineTooFar,
    /// @dev 12 (submit, claim): the payer's free balance does not cover the escrow, or the bond.
    InsufficientFree,
    /// @dev 13 (claim): somebody's lease still runs, on every seat.
    LeaseRunning,
    /// @dev 14 (claim): the caller has a seat already.
    AlreadySeated,
    /// @dev 15 (post): a replicated task is not posted but committed and revealed.
    Replicated,
    /// @dev 16 (post): the lease is another worker's.
    NotWorker,
    /// @dev 17 (post): too late.
    DeadlinePassed,
    /// @dev 18 (post): more output tokens than the request allows.
    TooManyTokens,
    /// @dev 19 (settle): the challenge window has not ended.
    WindowOpen,
    /// @dev 20 (settle): a demand waits for its answer.
    DemandsOpen
}

/// @notice What a requester asks for, and signs. Amounts are whole UNITs, times are unix seconds.
struct Request {
    /// @dev Who pays, and who gets what is left.
    address requester;
    /// @dev Anything; makes two equal requests two tasks.
    bytes32 salt;
    /// @dev Digest of the canonical manifest of the model.
    bytes32 modelId;
    /// @dev sha256 of the stored input file.
    bytes32 inputDigest;
    /// @dev sha256 of the canonical JSON of the sampling parameters.
    bytes32 paramsDigest;
    /// @dev Class of engines whose outputs count as equal; zero: any. The chain cannot check it: a worker
    /// outside it does not claim, and one who does may be found at fault.
    bytes32 equivalence;
    /// @dev The most one replica's work may cost, without the tip.
    uint48 maxFee;
    /// @dev Share of `maxFee`, in percent, paid whatever the number of output tokens.
    uint8 flatPercent;
    /// @dev Paid whole to the worker, or shared by the replicas; sets the rank in the queue.
    uint48 tip;
    /// @dev The most output tokens of all prompts together; at least 1.
    uint32 maxOutputTokens;
    /// @dev Bond of a lease, in multiples of `Parameters.bondUnit`; at least 1.
    uint16 bondUnits;
    /// @dev Last second at which a result may be posted.
    uint32 deadline;
    /// @dev Length of a lease in seconds.
    uint24 leaseSecs;
    /// @dev How many workers do the task, each on its own: 1, 3, 5 or 7. More than 1 needs `equivalence`.
    uint8 replicas;
    /// @dev Where the input is stored: a key in the requester's store, or an absolute URL.
    string inputURI;
}

/// @notice One finished task of a batch. The receipt is this and the preimage of `body`, which is in the
/// worker's store.
struct Receipt {
    TaskId id;
    /// @dev EIP-712 digest of the `Body`.
    bytes32 body;
    /// @dev Output tokens of all prompts together: what the charge is metered by.
    uint32 outputTokens;
}

/// @notice What a worker vouches for. Times are unix milliseconds.
struct Body {
    TaskId taskId;
    address worker;
    /// @dev Merkle root over the token ids of all outputs joined, 32 in a leaf.
    bytes32 outputRoot;
    /// @dev Digest of the table of output lengths and finish reasons, a row per prompt.
    bytes32 tableDigest;
    /// @dev Digest of the engine's facts.
    bytes32 engineDigest;
    /// @dev Digest of the record of how the strategy was chosen.
    bytes32 strategyDigest;
    uint32 promptTokens;
    uint64 startedAt;
    uint64 finishedAt;
}

/// @notice A task as stored, unpacked. Amounts in UNITs.
struct Task {
    State state;
    uint8 replicas;
    /// @dev Seats taken.
    uint8 seats;
    /// @dev One replica: holder of the lease, or who posted; zero before the first claim and after a
    /// release. Several: zero, see `seatOf`.
    address worker;
    /// @dev Open: since when it is open again after a release, or zero. Leased: end of the lease; with
    /// several replicas end of the reveal, zero before it has begun. Posted: end of the challenge window.
    /// Disputed: last second of a ruling.
    uint32 until;
    uint32 deadline;
    uint24 leaseSecs;
    uint16 bondUnits;
    uint8 flatPercent;
    /// @dev Open, Leased: when the tip was last set; the age in the queue counts from here. Zero later.
    uint32 pricedAt;
    /// @dev Posted, Disputed: demands that wait for an answer. Zero otherwise.
    uint32 openDemands;
    uint32 maxOutputTokens;
    uint32 outputTokens;
    address requester;
    uint48 maxFee;
    uint48 tip;
}

/// @notice A seat of a replicated task.
struct Seat {
    SeatState state;
    address worker;
    /// @dev End of the lease.
    uint32 until;
    /// @dev Once revealed.
    uint32 outputTokens;
    /// @dev Committed: the commitment. Revealed and later: the verdict.
    bytes32 digest;
}

/// @notice What the replicas of a task have done so far.
struct Round {
    uint8 committed;
    uint8 revealed;
    /// @dev Seats whose verdict had the quorum; zero until `closeRound`.
    uint8 winners;
    /// @dev The verdict that had the quorum; zero until `closeRound`.
    bytes32 verdict;
}

/// @notice A call for one leaf of an output.
struct Demand {
    address demander;
    /// @dev Last second for the answer; zero once answered.
    uint32 until;
}

/// @notice A challenge of a posted result.
struct Dispute {
    address challenger;
    /// @dev End of the challenge window, which goes on for demands.
    uint32 windowEnd;
}

/// @notice What answers a demand.
struct Answer {
    /// @dev Of one replica: what was posted. Of several: any body with the winning verdict.
    Body body;
    /// @dev From the receipt's leaf up to the batch root; empty for a replicated task.
    bytes32[] batchPath;
    /// @dev The leaf's tokens: 32, fewer in the last leaf.
    uint32[] tokens;
    /// @dev From the leaf up to `body.outputRoot`.
    bytes32[] leafPath;
}

/// @notice Somebody's money in the market, in UNITs.
struct Account {
    /// @dev May be withdrawn, asked with or bonded.
    uint96 free;
    /// @dev Bonds of tasks claimed and not yet ended.
    uint96 locked;
    /// @dev The worker's number, given at the first claim; zero for others.
    uint32 index;
}

/// @notice A batch of receipts, found by its Merkle root.
struct Batch {
    address worker;
    uint32 postedAt;
}

/// @notice What is fixed when the market is made. Times in seconds, amounts in UNITs.
struct Parameters {
    /// @dev Challenge window: how long after a post a result cannot be settled.
    uint32 window;
    /// @dev Time to answer a demand, and to reveal.
    uint32 answerTime;
    /// @dev Time the arbiter has for a ruling; more than `window + answerTime`, so that no demand outlasts
    /// it.
    uint32 arbiterTimeout;
    /// @dev Shortest lease a request may ask for.
    uint32 minLease;
    /// @dev Furthest a deadline may be away at submit.
    uint32 maxLife;
    /// @dev How long a better task must have been open before passing it over counts as an inversion.
    uint32 inversionGrace;
    /// @dev Bond of `Request.bondUnits == 1`.
    uint64 bondUnit;
    /// @dev Bond of a challenger.
    uint64 challengeBond;
    /// @dev Fee of a demand.
    uint64 demandFee;
    /// @dev What a second of waiting adds to a task's priority: wei per million output tokens.
    uint64 ageRate;
    /// @dev Who rules on disputes.
    address arbiter;
    /// @dev The ERC-20 that is the market's currency; zero: ether.
    address token;
}

/// @title A market for LLM inference
/// @notice Requesters escrow the price of a task, workers lease it against a bond, post a commitment to the
/// result, and are paid by output token once the challenge window is over. One instance holds one currency:
/// ether, or one ERC-20.
///
/// Assumed of the outside:
/// - a block's timestamp does not go back, and a block producer bends it by seconds at most;
/// - `deadline`, leases and windows fit 32 bits of unix time;
/// - the token keeps the balances it shows: it neither takes them back nor shrinks them. A token that takes a
///   fee is refused at the deposit, for the market's balance must grow by exactly the amount;
/// - the arbiter is trusted with the bonds of the tasks in dispute and the escrow of those it calls faulty, and
///   with nothing else; a silent arbiter costs a challenger time, not money;
/// - currency forced into the contract belongs to nobody and stays there.
///
/// Rules that hold for every call:
/// - there is no owner, no pause, no upgrade; the parameters never change;
/// - amounts are whole UNITs; `msg.value` that is not is refused;
/// - every limit is inclusive: on time is `now <= limit`, too late is `now > limit`;
/// - a lapse is derived from time; whoever calls next consumes it, and a bond burned by it is nobody's;
/// - whom a call pays is read from storage, never from its caller;
/// - `...Many` and `postBatch` skip an item they cannot take, say so by `TaskSkipped`, and go on;
/// - money leaves by `withdraw` alone; besides, the market calls out to its token at a deposit and to a
///   requester's ERC-1271 check, statically and with 100,000 gas.
///
/// The gas named with a call is that of a whole transaction, calldata included, by actors whose accounts are in use
/// already. `scripts/prove/gas` measures it, and a test holds the figure to 1 %.
interface IInferenceMarket {
    // ------------------------------------------------------------------------------------------------ events

    event Deposited(address indexed account, uint96 amount);
    event Withdrawn(address indexed account, address indexed to, uint96 amount);

    /// @notice A task is open. Carries all that a worker or an auditor needs to find it.
    event TaskSubmitted(
        TaskId indexed id,
        address indexed requester,
        bytes32 indexed modelId,
        Request request,
        uint32 pricedAt
    );
    event PriorityRaised(TaskId indexed id, uint48 tip, uint32 maxOutputTokens, uint32 pricedAt);
    /// @notice The request will never open a task.
    event RequestRevoked(TaskId indexed id, address indexed requester);

    /// @notice `worker` claimed for the first time and is known by `index` in the tasks' storage from now on.
    event WorkerIndexed(address indexed worker, uint32 index);
    event TaskClaimed(TaskId indexed id, address indexed worker, uint32 until);
    /// @notice A lapse was consumed: `worker` lost the bond.
    event LeaseLapsed(TaskId indexed id, address indexed worker, uint96 burned);
    event LeaseReleased(TaskId indexed id, address indexed worker, uint96 burned);

    /// @notice Comes before the `ResultPosted` of its `count` items, which are in the order of the tree's
    /// leaves.
    event BatchPosted(bytes32 indexed root, address indexed worker, uint32 count);
    event ResultPosted(
        TaskId indexed id, bytes32 indexed root, bytes32 body, uint32 outputTokens, uint32 windowEnd
    );

    event ResultCommitted(TaskId indexed id, address indexed worker, bytes32 commitment);
    event RevealOpened(TaskId indexed id, uint32 until);
    event ResultRevealed(
        TaskId indexed id, address indexed worker, bytes32 body, bytes32 verdict, uint32 outputTokens
    );
    /// @notice A seat did not reveal in time: `worker` lost the bond.
    event CommitmentBurned(TaskId indexed id, address indexed worker, uint96 burned);
    /// @notice A seat ended without a fault: `worker` got `paid` and had `bond` unlocked.
    event SeatPaid(TaskId indexed id, address indexed worker, uint96 paid, uint96 bond);
    /// @notice A quorum of `winners` seats agrees; the challenge window runs until `windowEnd`.
    event RoundWon(
        TaskId indexed id, bytes32 indexed verdict, uint8 winners, uint32 outputTokens, uint32 windowEnd
    );

    event LeafDemanded(TaskId indexed id, uint32 indexed leaf, address indexed demander, uint32 until);
    /// @notice The leaf's tokens, and what each winner got of the fee.
    event LeafAnswered(TaskId indexed id, uint32 indexed leaf, uint32[] tokens, uint96 paid, uint96 burned);
    /// @notice Nobody answered: the demander has the fee back, and the task is refunded.
    event DemandLapsed(TaskId indexed id, uint32 indexed leaf, address indexed demander, uint96 fee);
    /// @notice The task ended before the answer was due: the demander has the fee back.
    event DemandClosed(TaskId indexed id, uint32 indexed leaf, address indexed demander, uint96 fee);

    event TaskChallenged(TaskId indexed id, address indexed challenger, uint96 bond, uint32 until);
    event TaskRuled(TaskId indexed id, bool faulty);
    /// @notice `worker` lost the bond, by a ruling or by an unanswered demand, which pays nobody.
    event BondSlashed(
        TaskId indexed id, address indexed worker, uint96 toChallenger, uint96 toArbiter, uint96 burned
    );
    event ChallengeReturned(TaskId indexed id, address indexed challenger, uint96 bond);
    /// @notice `toEach` winner, of which a task of one replica has one.
    event ChallengeLost(
        TaskId indexed id, address indexed challenger, uint96 toEach, uint96 toArbiter, uint96 burned
    );

    /// @notice `worker` is zero for a replicated task: `SeatPaid` says who got what of `paid`.
    event TaskSettled(TaskId indexed id, address indexed worker, uint96 paid, uint96 refunded);
    event TaskRefunded(TaskId indexed id, RefundReason reason, uint96 refunded);

    /// @notice An item was left out; `state` is the task's state at that moment.
    event TaskSkipped(TaskId indexed id, State state, SkipReason reason);

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice The call is not for a task in this state.
    error WrongState(TaskId id, State state);
    /// @notice `account` has `free` UNITs to spend where `needed` are needed.
    error InsufficientFree(address account, uint256 free, uint256 needed);
    /// @notice `amountWei` is not a multiple of the UNIT.
    error NotWholeUnits(uint256 amountWei);
    error ZeroAddress();
    /// @notice `to` refused `amountWei`.
    error WithdrawalFailed(address to, uint256 amountWei);
    /// @notice Ether was sent to a market of another currency, or a token call made on one of ether.
    error WrongCurrency(address token);
    /// @notice The market's balance of its token did not change by exactly `expected`.
    error TokenMisbehaved(uint256 expected, uint256 changed);

    error NotRequester(address caller, address requester);
    error BadSignature(TaskId id, address signer);
    /// @notice There must be a signature for each request.
    error LengthMismatch(uint256 requests, uint256 signatures);
    error BadReplicas(uint8 replicas);
    error NoEquivalence(uint8 replicas);
    error NoOutputTokens();
    error FlatPercentTooHigh(uint8 flatPercent);
    error NoBond();
    error LeaseTooShort(uint24 leaseSecs, uint32 minLease);
    /// @notice A whole lease would end at `earliest`, after the deadline.
    error DeadlineTooSoon(uint32 deadline, uint256 earliest);
    error DeadlineTooFar(uint32 deadline, uint256 latest);
    error TipNotRaised(uint48 tip, uint48 newTip);

    error NotWorker(TaskId id, address caller, address worker);
    error LeaseRunning(TaskId id, uint32 until);
    error LeaseEnded(TaskId id, uint32 until);
    error DeadlineNotPassed(TaskId id, uint32 deadline);
    error DeadlinePassed(TaskId id, uint32 deadline);

    /// @notice The task has one replica: it has no round.
    error NotReplicated(TaskId id);
    /// @notice `worker` has no seat in the state that the call is for; Empty: no seat at all.
    error WrongSeat(TaskId id, address worker, SeatState state);
    /// @notice Somebody has committed: the task is not the requester's to cancel any more.
    error AlreadyCommitted(TaskId id);
    /// @notice Enough replicas have committed for a quorum: the round must be revealed and closed.
    error QuorumCommitted(TaskId id);
    /// @notice Seats are still to commit, and the deadline has not passed or there is no quorum of commits.
    error RevealNotDue(TaskId id, uint8 committed);
    error RevealNotOpen(TaskId id);
    error RevealRunning(TaskId id, uint32 until);
    error RevealEnded(TaskId id, uint32 until);
    error CommitmentMismatch(TaskId id, bytes32 committed, bytes32 revealed);
    error TooManyTokens(TaskId id, uint32 outputTokens, uint32 maxOutputTokens);

    error WindowEnded(TaskId id, uint32 until);
    /// @notice The output has `leaves` leaves.
    error NoSuchLeaf(TaskId id, uint32 leaf, uint256 leaves);
    error AlreadyDemanded(TaskId id, uint32 leaf);
    error NoDemand(TaskId id, uint32 leaf);
    error AnswerTimeRunning(TaskId id, uint32 leaf, uint32 until);
    error AnswerTimeOver(TaskId id, uint32 leaf, uint32 until);
    /// @notice The body is not one that was posted for this task, or has not the winning verdict.
    error BodyNotPosted(TaskId id);
    /// @notice The leaf has `expected` tokens.
    error WrongLeafLength(TaskId id, uint32 leaf, uint256 tokens, uint256 expected);
    error LeafNotInOutput(TaskId id, uint32 leaf, bytes32 outputRoot);
    error DemandsOpen(TaskId id, uint32 demands);
    error NotArbiter(address caller, address arbiter);
    error RulingTooLate(TaskId id, uint32 until);
    error RulingTimeRunning(TaskId id, uint32 until);

    /// @notice A parameter of the constructor makes no market.
    error BadParameter(string name, uint256 value);

    // ------------------------------------------------------------------------------------------------- money

    /// @notice Credits `msg.value` to the free balance of `beneficiary`. Ether markets only.
    /// @custom:gas 29,646
    function deposit(address beneficiary) external payable;

    /// @notice Pulls `amountUnits` UNITs of the token from the caller and credits them to `beneficiary`.
    /// @custom:gas 52,720 with a plain token
    function depositToken(address beneficiary, uint256 amountUnits) external;

    /// @notice `depositToken` after the token's EIP-2612 `permit` of the caller, which may have been used
    /// already by somebody who saw it.
    /// @custom:gas 79,706 with a plain token
    function depositWithPermit(
        address beneficiary,
        uint256 amountUnits,
        uint256 permitDeadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Sends `amountUnits` UNITs of the caller's free balance to `to`. The only way money leaves.
    /// @custom:gas 36,402 of ether
    function withdraw(uint256 amountUnits, address to) external;

    // ------------------------------------------------------------------------------------------------ asking

    /// @notice Opens the caller's task and escrows `maxFee * replicas + tip` from the caller's free balance,
    /// to which `msg.value` is credited first.
    /// @return id the digest of `request`; it never opens again.
    /// @custom:gas 87,718 from the balance, with a URI of 71 bytes
    function submit(Request calldata request) external payable returns (TaskId id);

    /// @notice `submit` for many; skips each request that `submit` would refuse.
    /// @return submitted how many were opened.
    /// @custom:gas 63,791 each of 10
    function submitMany(Request[] calldata requests) external payable returns (uint256 submitted);

    /// @notice Opens a task whose request the requester has signed (EIP-712; by key, or ERC-1271), from the
    /// requester's free balance. For anyone to send.
    /// @custom:gas 93,630 by key
    function submitBySig(Request calldata request, bytes calldata signature) external returns (TaskId id);

    /// @notice `submitBySig` for many; skips each request that `submitBySig` would refuse.
    /// @return submitted how many were opened.
    /// @custom:gas 69,974 each of 10, by key
    function submitManyBySig(Request[] calldata requests, bytes[] calldata signatures)
        external
        returns (uint256 submitted);

    /// @notice Makes sure that the caller's request, signed or not, never opens a task.
    /// @custom:gas 52,312
    function revoke(Request calldata request) external;

    /// @notice Raises the tip of the caller's open task to `newTip`, and restarts its age in the queue.
    /// @custom:gas 39,656
    function raiseTip(TaskId id, uint48 newTip) external;

    /// @notice Takes back the caller's task while nobody works on it: it is Open, or every lease has lapsed
    /// and nobody has committed.
    /// @custom:gas 37,488 of an open task
    function cancel(TaskId id) external;

    /// @notice `cancel` by the requester's signature over `hashCancel`. For anyone to send.
    /// @custom:gas 43,261 of an open task, by key
    function cancelBySig(TaskId id, bytes calldata signature) external;

    // ----------------------------------------------------------------------------------------------- working

    /// @notice Leases a seat of each task to the caller, each against its bond, moved from free to locked.
    /// Evicts a lapsed lease (also the caller's own): its bond is burned. Skips a task unless a whole lease
    /// ends by its deadline.
    /// @return claimed how many were leased.
    /// @custom:gas 9,300 each of 32
    function claimMany(TaskId[] calldata ids) external returns (uint256 claimed);

    /// @notice Gives the caller's running lease back. Burns the part of the bond that the lease has used up,
    /// 5 % at least.
    /// @custom:gas 42,900
    function release(TaskId id) external;

    /// @notice Posts results of tasks leased to the caller, also after the lease's end, as long as nobody
    /// consumed the lapse and the deadline has not passed. The root is computed here, over the items taken,
    /// in order.
    /// @dev Leaf `keccak256(keccak256(abi.encode(id, outputTokens, body)))`, pairs sorted, an odd node
    /// carried up.
    /// @return root zero if every item was skipped.
    /// @custom:gas 11,786 each of 32
    function postBatch(Receipt[] calldata receipts) external returns (bytes32 root);

    // ---------------------------------------------------------------------------------------------- replicas

    /// @notice Commits the caller's seat to a result, also after the lease's end like `postBatch`. The last
    /// commit of all opens the reveal.
    /// @param commitment `keccak256(abi.encode(body, outputTokens, salt))`, `body` the digest of the `Body`.
    /// @custom:gas 65,116
    function commit(TaskId id, bytes32 commitment) external;

    /// @notice Opens the reveal after the deadline, where a quorum has committed. Burns the bonds of the
    /// seats that have not. For anyone to call.
    /// @custom:gas 57,135 of three replicas, one of whom has not committed
    function openReveal(TaskId id) external;

    /// @notice Reveals what the seat of `body.worker` has committed to. For anyone to call.
    /// @custom:gas 51,701
    function reveal(Body calldata body, uint32 outputTokens, bytes32 salt) external;

    /// @notice Counts the verdicts, once all have revealed or the time is over. With a quorum of equal ones
    /// (more than half of the replicas) the task is Posted and they are its winners; without, each revealed
    /// seat gets half its charge and the task is Refunded. Commitments not revealed cost the bond, other
    /// seats have it back. For anyone to call.
    /// @dev Verdict `keccak256(abi.encode(outputRoot, tableDigest, promptTokens, outputTokens))`.
    /// @custom:gas 87,136 of three that agree
    function closeRound(TaskId id) external;

    // ---------------------------------------------------------------------------------------------- disputes

    /// @notice Calls for one leaf (32 tokens) of a posted output, inside the challenge window, for
    /// `Parameters.demandFee` from the caller's free balance, to which `msg.value` is credited first.
    /// @custom:gas 57,753 from the balance
    function demand(TaskId id, uint32 leaf) external payable;

    /// @notice Shows a demanded leaf. The fee goes to the task's worker or winners. For anyone to call.
    /// @custom:gas 71,950 of 32 tokens among 70
    function answer(TaskId id, uint32 leaf, Answer calldata evidence) external;

    /// @notice Ends a task whose worker left a demand unanswered: requester refunded, bonds burned, demander
    /// and challenger have theirs back. For anyone to call.
    /// @custom:gas 66,577
    function lapseDemand(TaskId id, uint32 leaf) external;

    /// @notice Returns the fee of a demand left open when its task ended. For anyone to call.
    /// @custom:gas 38,051
    function closeDemand(TaskId id, uint32 leaf) external;

    /// @notice Calls the arbiter on a posted result, inside the challenge window, for
    /// `Parameters.challengeBond` from the caller's free balance, to which `msg.value` is credited first.
    /// Once a task.
    /// @custom:gas 57,648 from the balance
    function challenge(TaskId id) external payable;

    /// @notice The arbiter's word on a task in dispute. Faulty: the requester is refunded, each bond at fault
    /// goes half to the challenger and a quarter to the arbiter. Not faulty: the task is settled, and the
    /// challenger's bond goes half to the worker or winners and a quarter to the arbiter. The rest is burned.
    /// @custom:gas 88,181 faulty
    function rule(TaskId id, bool faulty) external;

    /// @notice Settles a task on which the arbiter was silent; the challenger has the bond back. For anyone to
    /// call.
    /// @custom:gas 56,373
    function timeout(TaskId id) external;

    // ------------------------------------------------------------------------------------------------ ending

    /// @notice Pays the workers of posted tasks whose window is over, returns their bonds and what the
    /// requesters have left. For anyone to call.
    /// @return settled how many were settled.
    /// @custom:gas 11,974 each of 32, of one worker and one requester
    function settleMany(TaskId[] calldata ids) external returns (uint256 settled);

    /// @notice Refunds a task that has no result by its deadline. For anyone to call.
    /// @custom:gas 37,257 of an open task
    function expire(TaskId id) external;

    // ------------------------------------------------------------------------------------------------- views

    function taskOf(TaskId id) external view returns (Task memory);
    function roundOf(TaskId id) external view returns (Round memory);
    /// @notice One of the seats of a replicated task, from 0 to `replicas - 1`.
    function seatOf(TaskId id, uint256 place) external view returns (Seat memory);
    function demandOf(TaskId id, uint32 leaf) external view returns (Demand memory);
    function disputeOf(TaskId id) external view returns (Dispute memory);
    function account(address holder) external view returns (Account memory);
    function batch(bytes32 root) external view returns (Batch memory);
    /// @notice The worker of that index; zero if none has it yet.
    function worker(uint32 index) external view returns (address);
    /// @notice UNITs burned so far. They stay in the contract for ever.
    function burned() external view returns (uint96);
    function parameters() external view returns (Parameters memory);
    /// @notice The smallest amount, in wei or in the token's own smallest part: a billionth of a coin for
    /// ether and for tokens of more than 9 decimals, 1 for others.
    // forge-lint: disable-next-line(mixed-case-function)
    function UNIT() external view returns (uint256);

    function domainSeparator() external view returns (bytes32);
    function hashRequest(Request calldata request) external view returns (TaskId);
    function hashBody(Body calldata body) external view returns (bytes32);
    /// @notice What a requester signs for `cancelBySig`.
    function hashCancel(TaskId id) external view returns (bytes32);
}
