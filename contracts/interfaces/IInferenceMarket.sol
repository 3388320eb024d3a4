// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The EIP-712 digest of a `Request` under the market's domain. Known before the request is sent;
/// used once, for ever.
type TaskId is bytes32;

/// @notice Where a task stands in storage. What time alone has changed since is derived by
/// `MarketLens.standingOf`.
/// @dev `Disputed` is written by no call of this version: it keeps the numbers of the later states fixed.
enum State {
    None,
    Open,
    Leased,
    Posted,
    Disputed,
    Settled,
    Refunded
}

/// @notice Why a task gave its escrow back.
enum RefundReason {
    None,
    /// @dev 1: by the requester's `cancel`.
    Cancelled,
    /// @dev 2: by `expire`, after the deadline.
    Expired
}

/// @notice Why an item of a `...Many` call or of `postBatch` was left out. The rest of the call went on.
enum SkipReason {
    None,
    /// @dev 1: the call is not for a task in this state; a repeated id shows up here.
    WrongState,
    /// @dev 2 (submit): the request names another requester than the caller.
    NotRequester,
    /// @dev 3 (submit): more than one replica.
    ReplicasNotYet,
    /// @dev 4 (submit): no output token could be asked for.
    NoOutputTokens,
    /// @dev 5 (submit): a flat share of more than 100 %.
    FlatPercentTooHigh,
    /// @dev 6 (submit): no bond.
    NoBond,
    /// @dev 7 (submit): a lease shorter than `minLease`.
    LeaseTooShort,
    /// @dev 8 (submit, claim): a whole lease does not end by the deadline any more.
    DeadlineTooSoon,
    /// @dev 9 (submit): further away than `maxLife`.
    DeadlineTooFar,
    /// @dev 10 (submit, claim): the caller's free balance does not cover the escrow, or the bond.
    InsufficientFree,
    /// @dev 11 (claim): somebody's lease still runs.
    LeaseRunning,
    /// @dev 12 (post): the lease is another worker's.
    NotWorker,
    /// @dev 13 (post): too late.
    DeadlinePassed,
    /// @dev 14 (post): more output tokens than the request allows.
    TooManyTokens,
    /// @dev 15 (settle): the challenge window has not ended.
    WindowOpen
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
    /// @dev Class of engines whose outputs count as equal; zero: any.
    bytes32 equivalence;
    /// @dev The most the work may cost, without the tip.
    uint48 maxFee;
    /// @dev Share of `maxFee`, in percent, paid whatever the number of output tokens.
    uint8 flatPercent;
    /// @dev Paid whole to the worker; sets the rank in the queue.
    uint48 tip;
    /// @dev The most output tokens of all prompts together; at least 1.
    uint32 maxOutputTokens;
    /// @dev Bond of a lease, in multiples of `Parameters.bondUnit`; at least 1.
    uint16 bondUnits;
    /// @dev Last second at which a result may be posted.
    uint32 deadline;
    /// @dev Length of a lease in seconds.
    uint24 leaseSecs;
    /// @dev How many workers do the task; 1.
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
    /// @dev Holder of the lease, or who posted; zero before the first claim and after a release.
    address worker;
    /// @dev End of the lease while Leased; end of the challenge window once Posted; zero before.
    uint32 until;
    uint32 deadline;
    uint24 leaseSecs;
    uint16 bondUnits;
    uint8 flatPercent;
    /// @dev When the tip was last set: the age in the queue counts from here.
    uint32 pricedAt;
    uint32 maxOutputTokens;
    uint32 outputTokens;
    address requester;
    uint48 maxFee;
    uint48 tip;
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
    /// @dev Time to answer a demand.
    uint32 answerTime;
    /// @dev Time the arbiter has for a ruling.
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
}

/// @title A market for LLM inference
/// @notice Requesters escrow the price of a task, workers lease it against a bond, post a commitment to the
/// result, and are paid by output token once the challenge window is over. One instance holds one currency:
/// ether.
///
/// Assumed of the outside:
/// - a block's timestamp does not go back, and a block producer bends it by seconds at most;
/// - `deadline`, leases and windows fit 32 bits of unix time;
/// - ether forced into the contract belongs to nobody and stays there.
///
/// Rules that hold for every call:
/// - there is no owner, no pause, no upgrade; the parameters never change;
/// - amounts are whole UNITs, of 1 gwei; `msg.value` that is not is refused;
/// - every limit is inclusive: on time is `now <= limit`, too late is `now > limit`;
/// - a lapse is derived from time; whoever calls next consumes it, and a bond burned by it is nobody's;
/// - whom a call pays is read from storage, never from its caller;
/// - `...Many` and `postBatch` skip an item they cannot take, say so by `TaskSkipped`, and go on.
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

    /// @notice `worker` claimed for the first time and is known by `index` in the tasks' storage from now on.
    event WorkerIndexed(address indexed worker, uint32 index);
    event TaskClaimed(TaskId indexed id, address indexed worker, uint32 until);
    /// @notice A lapse was consumed, by an eviction, a cancel or an expiry: `worker` lost the bond.
    event LeaseLapsed(TaskId indexed id, address indexed worker, uint96 burned);
    event LeaseReleased(TaskId indexed id, address indexed worker, uint96 burned);

    /// @notice Comes before the `ResultPosted` of its `count` items, which are in the order of the tree's
    /// leaves.
    event BatchPosted(bytes32 indexed root, address indexed worker, uint32 count);
    event ResultPosted(
        TaskId indexed id, bytes32 indexed root, bytes32 body, uint32 outputTokens, uint32 windowEnd
    );

    event TaskSettled(TaskId indexed id, address indexed worker, uint96 paid, uint96 refunded);
    event TaskRefunded(TaskId indexed id, RefundReason reason, uint96 refunded);

    /// @notice An item was left out; `state` is the task's state at that moment.
    event TaskSkipped(TaskId indexed id, State state, SkipReason reason);

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice The call is not for a task in this state.
    error WrongState(TaskId id, State state);
    /// @notice `account` has `free` UNITs to spend where `needed` are needed.
    error InsufficientFree(address account, uint256 free, uint256 needed);
    /// @notice `amountWei` is not a multiple of the UNIT, or does not fit an account.
    error NotWholeUnits(uint256 amountWei);
    error ZeroAddress();
    /// @notice `to` refused `amountWei`.
    error WithdrawalFailed(address to, uint256 amountWei);

    error NotRequester(address caller, address requester);
    error ReplicasNotYet(uint8 replicas);
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

    /// @notice A parameter of the constructor makes no market.
    error BadParameter(string name, uint256 value);

    // ------------------------------------------------------------------------------------------------- money

    /// @notice Credits `msg.value` to the free balance of `beneficiary`.
    function deposit(address beneficiary) external payable;

    /// @notice Sends `amountUnits` UNITs of the caller's free balance to `to`. The only way money leaves.
    function withdraw(uint256 amountUnits, address to) external;

    // ------------------------------------------------------------------------------------------------ asking

    /// @notice Opens the caller's task and escrows `maxFee * replicas + tip` from the caller's free balance,
    /// to which `msg.value` is credited first.
    /// @return id the digest of `request`; it never opens again.
    function submit(Request calldata request) external payable returns (TaskId id);

    /// @notice `submit` for many; skips each request that `submit` would refuse.
    /// @return submitted how many were opened.
    function submitMany(Request[] calldata requests) external payable returns (uint256 submitted);

    /// @notice Raises the tip of the caller's open task to `newTip`, and restarts its age in the queue.
    function raiseTip(TaskId id, uint48 newTip) external;

    /// @notice Takes back the caller's task while nobody holds it: it is Open, or its lease has lapsed.
    function cancel(TaskId id) external;

    // ----------------------------------------------------------------------------------------------- working

    /// @notice Leases the tasks to the caller, each against its bond, moved from free to locked. Evicts a
    /// lapsed lease (also the caller's own): its bond is burned. Skips a task unless a whole lease ends by
    /// its deadline.
    /// @return claimed how many were leased.
    function claimMany(TaskId[] calldata ids) external returns (uint256 claimed);

    /// @notice Gives the caller's running lease back. Burns the part of the bond that the lease has used up,
    /// 5 % at least.
    function release(TaskId id) external;

    /// @notice Posts results of tasks leased to the caller, also after the lease's end, as long as nobody
    /// consumed the lapse and the deadline has not passed. The root is computed here, over the items taken,
    /// in order.
    /// @dev Leaf `keccak256(keccak256(abi.encode(id, outputTokens, body)))`, pairs sorted, an odd node
    /// carried up.
    /// @return root zero if every item was skipped.
    function postBatch(Receipt[] calldata receipts) external returns (bytes32 root);

    // ------------------------------------------------------------------------------------------------ ending

    /// @notice Pays the workers of posted tasks whose window is over, returns their bonds and what the
    /// requesters have left. For anyone to call.
    /// @return settled how many were settled.
    function settleMany(TaskId[] calldata ids) external returns (uint256 settled);

    /// @notice Refunds a task that was not posted by its deadline. For anyone to call.
    function expire(TaskId id) external;

    // ------------------------------------------------------------------------------------------------- views

    function taskOf(TaskId id) external view returns (Task memory);
    function account(address holder) external view returns (Account memory);
    function batch(bytes32 root) external view returns (Batch memory);
    /// @notice The worker of that index; zero if none has it yet.
    function worker(uint32 index) external view returns (address);
    /// @notice UNITs burned so far. They stay in the contract for ever.
    function burned() external view returns (uint96);
    function parameters() external view returns (Parameters memory);
    /// @notice Wei in a UNIT.
    // forge-lint: disable-next-line(mixed-case-function)
    function UNIT() external view returns (uint256);

    function domainSeparator() external view returns (bytes32);
    function hashRequest(Request calldata request) external view returns (TaskId);
    function hashBody(Body calldata body) external view returns (bytes32);
}
