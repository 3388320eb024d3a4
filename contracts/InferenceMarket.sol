// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {
    Account,
    Batch,
    Body,
    IInferenceMarket,
    Parameters,
    Receipt,
    RefundReason,
    Request,
    SkipReason,
    State,
    Task,
    TaskId
} from "./interfaces/IInferenceMarket.sol";
import {Digest} from "./libraries/Digest.sol";
import {EscrowWord, Ledger} from "./libraries/Ledger.sol";
import {TaskWord, Transition} from "./libraries/Transition.sol";

/// @title The market: all task states and all money
contract InferenceMarket is IInferenceMarket, EIP712, ReentrancyGuardTransient {
    using SafeCast for uint256;

    /// @dev Two slots. A task's slots are never cleared: a used id stays used.
    struct StoredTask {
        TaskWord word;
        EscrowWord escrow;
    }

    /// @dev What tasks in a row owe one account, written once.
    struct Tab {
        address holder;
        uint256 credit;
        uint256 unlocked;
    }

    /// @inheritdoc IInferenceMarket
    uint256 public constant UNIT = 1 gwei;

    uint32 private immutable WINDOW;
    uint32 private immutable ANSWER_TIME;
    uint32 private immutable ARBITER_TIMEOUT;
    uint32 private immutable MIN_LEASE;
    uint32 private immutable MAX_LIFE;
    uint32 private immutable INVERSION_GRACE;
    uint64 private immutable BOND_UNIT;
    uint64 private immutable CHALLENGE_BOND;
    uint64 private immutable DEMAND_FEE;
    uint64 private immutable AGE_RATE;
    address private immutable ARBITER;

    /// @inheritdoc IInferenceMarket
    uint96 public burned;
    uint32 private _workerCount;

    mapping(TaskId id => StoredTask) private _tasks;
    mapping(address holder => Account) private _accounts;
    mapping(uint32 index => address) private _workers;
    mapping(bytes32 root => Batch) private _batches;

    constructor(Parameters memory p) EIP712("Quern InferenceMarket", "1") {
        if (p.minLease == 0) revert BadParameter("minLease", p.minLease);
        if (p.maxLife < p.minLease) revert BadParameter("maxLife", p.maxLife);
        if (p.bondUnit == 0) revert BadParameter("bondUnit", p.bondUnit);
        if (p.challengeBond < p.bondUnit) revert BadParameter("challengeBond", p.challengeBond);

        WINDOW = p.window;
        ANSWER_TIME = p.answerTime;
        ARBITER_TIMEOUT = p.arbiterTimeout;
        MIN_LEASE = p.minLease;
        MAX_LIFE = p.maxLife;
        INVERSION_GRACE = p.inversionGrace;
        BOND_UNIT = p.bondUnit;
        CHALLENGE_BOND = p.challengeBond;
        DEMAND_FEE = p.demandFee;
        AGE_RATE = p.ageRate;
        ARBITER = p.arbiter;
    }

    // ------------------------------------------------------------------------------------------------- money

    /// @inheritdoc IInferenceMarket
    function deposit(address beneficiary) external payable nonReentrant {
        if (beneficiary == address(0)) revert ZeroAddress();
        _credit(beneficiary, msg.value);
    }

    /// @inheritdoc IInferenceMarket
    function withdraw(uint256 amountUnits, address to) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        _spend(msg.sender, amountUnits);

        emit Withdrawn(msg.sender, to, amountUnits.toUint96());

        (bool taken,) = to.call{value: amountUnits * UNIT}("");
        if (!taken) revert WithdrawalFailed(to, amountUnits * UNIT);
    }

    // ------------------------------------------------------------------------------------------------ asking

    /// @inheritdoc IInferenceMarket
    function submit(Request calldata request) external payable nonReentrant returns (TaskId id) {
        _credit(msg.sender, msg.value);

        uint32 time = block.timestamp.toUint32();
        TaskWord word = Transition.open(request, time);
        EscrowWord escrow = Ledger.pack(request);
        id = Digest.taskId(_domainSeparatorV4(), request);
        SkipReason refusal = _submitRefusal(id, request, word, escrow);
        if (refusal != SkipReason.None) _revertSubmit(refusal, id, request);

        _spend(msg.sender, escrow.amount(1));
        _open(id, request, word, escrow, time);
    }

    /// @inheritdoc IInferenceMarket
    function submitMany(Request[] calldata requests)
        external
        payable
        nonReentrant
        returns (uint256 submitted)
    {
        _credit(msg.sender, msg.value);

        uint32 time = block.timestamp.toUint32();
        bytes32 domain = _domainSeparatorV4();
        uint256 free = _accounts[msg.sender].free;
        uint256 spent;
        for (uint256 i = 0; i < requests.length; ++i) {
            Request calldata request = requests[i];
            TaskWord word = Transition.open(request, time);
            EscrowWord escrow = Ledger.pack(request);
            TaskId id = Digest.taskId(domain, request);
            SkipReason refusal = _submitRefusal(id, request, word, escrow);
            uint256 needed = spent + escrow.amount(1);
            if (refusal == SkipReason.None && needed > free) refusal = SkipReason.InsufficientFree;
            if (refusal != SkipReason.None) {
                emit TaskSkipped(id, _tasks[id].word.state(), refusal);
                continue;
            }
            spent = needed;
            ++submitted;
            _open(id, request, word, escrow, time);
        }
        if (submitted > 0) _spend(msg.sender, spent);
    }

    /// @inheritdoc IInferenceMarket
    function raiseTip(TaskId id, uint48 newTip) external nonReentrant {
        StoredTask storage task = _tasks[id];
        TaskWord word = task.word;
        if (word.state() != State.Open) revert WrongState(id, word.state());
        EscrowWord escrow = task.escrow;
        if (msg.sender != escrow.requester()) revert NotRequester(msg.sender, escrow.requester());
        uint48 tip = escrow.tip();
        if (newTip <= tip) revert TipNotRaised(tip, newTip);

        _spend(msg.sender, newTip - tip);
        uint32 time = block.timestamp.toUint32();
        task.word = word.reprice(time);
        task.escrow = escrow.withTip(newTip);

        emit PriorityRaised(id, newTip, word.maxOutputTokens(), time);
    }

    /// @inheritdoc IInferenceMarket
    function cancel(TaskId id) external nonReentrant {
        StoredTask storage task = _tasks[id];
        TaskWord word = task.word;
        State state = word.state();
        if (state != State.Open && state != State.Leased) revert WrongState(id, state);
        EscrowWord escrow = task.escrow;
        if (msg.sender != escrow.requester()) revert NotRequester(msg.sender, escrow.requester());
        if (state == State.Leased) {
            if (block.timestamp <= word.until()) revert LeaseRunning(id, word.until());
            _lapse(id, word);
        }
        _refund(id, task, word, RefundReason.Cancelled);
    }

    // ----------------------------------------------------------------------------------------------- working

    /// @inheritdoc IInferenceMarket
    function claimMany(TaskId[] calldata ids) external nonReentrant returns (uint256 claimed) {
        Account memory own = _accounts[msg.sender];
        uint256 bonded;
        for (uint256 i = 0; i < ids.length; ++i) {
            TaskId id = ids[i];
            TaskWord word = _tasks[id].word;
            SkipReason refusal = word.claimRefusal(block.timestamp);
            uint256 needed = bonded + _bond(word);
            if (refusal == SkipReason.None && needed > own.free) refusal = SkipReason.InsufficientFree;
            if (refusal != SkipReason.None) {
                emit TaskSkipped(id, word.state(), refusal);
                continue;
            }
            if (word.state() == State.Leased) _lapse(id, word);
            if (own.index == 0) own.index = _enlist();
            bonded = needed;
            uint32 until = uint32(block.timestamp + word.leaseSecs());
            _tasks[id].word = word.lease(own.index, until);
            ++claimed;

            emit TaskClaimed(id, msg.sender, until);
        }
        if (claimed > 0) _lock(own.index, bonded);
    }

    /// @inheritdoc IInferenceMarket
    function release(TaskId id) external nonReentrant {
        StoredTask storage task = _tasks[id];
        TaskWord word = task.word;
        if (word.state() != State.Leased) revert WrongState(id, word.state());
        address holder = _workers[word.worker()];
        if (msg.sender != holder) revert NotWorker(id, msg.sender, holder);
        uint256 until = word.until();
        if (block.timestamp > until) revert LeaseEnded(id, word.until());

        uint256 bond = _bond(word);
        uint256 leaseSecs = word.leaseSecs();
        uint256 burn = Ledger.releaseBurn(bond, block.timestamp + leaseSecs - until, leaseSecs);
        _unlock(holder, bond, bond - burn);
        burned += burn.toUint96();
        task.word = word.reopen();

        emit LeaseReleased(id, holder, burn.toUint96());
    }

    /// @inheritdoc IInferenceMarket
    function postBatch(Receipt[] calldata receipts) external nonReentrant returns (bytes32 root) {
        uint32 poster = _accounts[msg.sender].index;
        uint32 windowEnd = (block.timestamp + WINDOW).toUint32();
        bytes32[] memory leaves = new bytes32[](receipts.length);
        uint256[] memory taken = new uint256[](receipts.length);
        uint256 count;
        for (uint256 i = 0; i < receipts.length; ++i) {
            Receipt calldata receipt = receipts[i];
            TaskWord word = _tasks[receipt.id].word;
            SkipReason refusal = word.postRefusal(poster, receipt.outputTokens, block.timestamp);
            if (refusal != SkipReason.None) {
                emit TaskSkipped(receipt.id, word.state(), refusal);
                continue;
            }
            _tasks[receipt.id].word = word.post(windowEnd, receipt.outputTokens);
            leaves[count] = Digest.leaf(receipt);
            taken[count++] = i;
        }
        if (count == 0) return 0;

        root = Digest.root(leaves, count);
        _batches[root] = Batch(msg.sender, uint32(block.timestamp));

        emit BatchPosted(root, msg.sender, count.toUint32());
        for (uint256 i = 0; i < count; ++i) {
            Receipt calldata receipt = receipts[taken[i]];
            emit ResultPosted(receipt.id, root, receipt.body, receipt.outputTokens, windowEnd);
        }
    }

    // ------------------------------------------------------------------------------------------------ ending

    /// @inheritdoc IInferenceMarket
    function settleMany(TaskId[] calldata ids) external nonReentrant returns (uint256 settled) {
        Tab memory payee;
        Tab memory payer;
        uint32 payeeIndex;
        for (uint256 i = 0; i < ids.length; ++i) {
            TaskId id = ids[i];
            StoredTask storage task = _tasks[id];
            TaskWord word = task.word;
            SkipReason refusal = word.settleRefusal(block.timestamp);
            if (refusal != SkipReason.None) {
                emit TaskSkipped(id, word.state(), refusal);
                continue;
            }
            if (word.worker() != payeeIndex) {
                payeeIndex = word.worker();
                _turn(payee, _workers[payeeIndex]);
            }
            EscrowWord escrow = task.escrow;
            if (escrow.requester() != payer.holder) _turn(payer, escrow.requester());

            uint256 bond = _bond(word);
            uint256 charge = Ledger.charge(
                escrow.maxFee(), word.flatPercent(), word.outputTokens(), word.maxOutputTokens()
            );
            unchecked {
                // Terms of 80 bits at most: no call is long enough to overflow their sums.
                uint256 paid = charge + escrow.tip();
                uint256 refunded = escrow.maxFee() - charge;
                payee.credit += paid + bond;
                payee.unlocked += bond;
                payer.credit += refunded;
                task.word = word.end(State.Settled);
                ++settled;

                // forge-lint: disable-next-line(unsafe-typecast)
                emit TaskSettled(id, payee.holder, uint96(paid), uint96(refunded));
            }
        }
        _close(payee);
        _close(payer);
    }

    /// @inheritdoc IInferenceMarket
    function expire(TaskId id) external nonReentrant {
        StoredTask storage task = _tasks[id];
        TaskWord word = task.word;
        State state = word.state();
        if (state != State.Open && state != State.Leased) revert WrongState(id, state);
        if (block.timestamp <= word.deadline()) revert DeadlineNotPassed(id, word.deadline());
        if (state == State.Leased) _lapse(id, word);
        _refund(id, task, word, RefundReason.Expired);
    }

    // ------------------------------------------------------------------------------------------------- tasks

    /// @dev Why `request`, packed, cannot open a task; the balance is the caller's to check.
    function _submitRefusal(TaskId id, Request calldata request, TaskWord word, EscrowWord escrow)
        private
        view
        returns (SkipReason refusal)
    {
        if (escrow.requester() != msg.sender) return SkipReason.NotRequester;
        if (request.replicas != 1) return SkipReason.ReplicasNotYet;
        refusal = word.submitRefusal(MIN_LEASE, MAX_LIFE, block.timestamp);
        if (refusal == SkipReason.None && _tasks[id].word.state() != State.None) {
            return SkipReason.WrongState;
        }
    }

    /// @dev Says the same as an error with its values.
    function _revertSubmit(SkipReason refusal, TaskId id, Request calldata request) private view {
        if (refusal == SkipReason.NotRequester) revert NotRequester(msg.sender, request.requester);
        if (refusal == SkipReason.ReplicasNotYet) revert ReplicasNotYet(request.replicas);
        if (refusal == SkipReason.NoOutputTokens) revert NoOutputTokens();
        if (refusal == SkipReason.FlatPercentTooHigh) revert FlatPercentTooHigh(request.flatPercent);
        if (refusal == SkipReason.NoBond) revert NoBond();
        if (refusal == SkipReason.LeaseTooShort) revert LeaseTooShort(request.leaseSecs, MIN_LEASE);
        if (refusal == SkipReason.DeadlineTooSoon) {
            revert DeadlineTooSoon(request.deadline, block.timestamp + request.leaseSecs);
        }
        if (refusal == SkipReason.DeadlineTooFar) {
            revert DeadlineTooFar(request.deadline, block.timestamp + MAX_LIFE);
        }
        revert WrongState(id, _tasks[id].word.state());
    }

    function _open(TaskId id, Request calldata request, TaskWord word, EscrowWord escrow, uint32 time)
        private
    {
        StoredTask storage task = _tasks[id];
        task.word = word;
        task.escrow = escrow;

        emit TaskSubmitted(id, msg.sender, request.modelId, request, time);
    }

    /// @dev Burns the bond of a lease that ran out; the caller writes the task.
    function _lapse(TaskId id, TaskWord word) private {
        address holder = _workers[word.worker()];
        uint96 bond = _bond(word).toUint96();
        _accounts[holder].locked -= bond;
        burned += bond;

        emit LeaseLapsed(id, holder, bond);
    }

    function _refund(TaskId id, StoredTask storage task, TaskWord word, RefundReason reason) private {
        EscrowWord escrow = task.escrow;
        uint96 amount = escrow.amount(word.replicas()).toUint96();
        task.word = word.end(State.Refunded);
        _accounts[escrow.requester()].free += amount;

        emit TaskRefunded(id, reason, amount);
    }

    function _bond(TaskWord word) private view returns (uint256) {
        unchecked {
            return uint256(word.bondUnits()) * BOND_UNIT; // 16 bits by 64
        }
    }

    // ---------------------------------------------------------------------------------------------- accounts

    function _credit(address holder, uint256 amountWei) private {
        if (amountWei == 0) return;
        if (amountWei % UNIT != 0) revert NotWholeUnits(amountWei);
        uint96 amount = (amountWei / UNIT).toUint96();
        _accounts[holder].free += amount;

        emit Deposited(holder, amount);
    }

    function _spend(address holder, uint256 amount) private {
        Account storage own = _accounts[holder];
        uint256 free = own.free;
        if (amount > free) revert InsufficientFree(holder, free, amount);
        // forge-lint: disable-next-line(unsafe-typecast)
        own.free = uint96(free - amount); // less than `free`, which has 96 bits
    }

    /// @dev Moves the caller's bonds from free to locked and notes the caller's number.
    function _lock(uint32 index, uint256 amount) private {
        Account storage own = _accounts[msg.sender];
        own.free -= amount.toUint96();
        own.locked += amount.toUint96();
        own.index = index;
    }

    function _unlock(address holder, uint256 bond, uint256 credit) private {
        Account storage own = _accounts[holder];
        own.locked -= bond.toUint96();
        own.free += credit.toUint96();
    }

    /// @dev Gives the caller the next number.
    function _enlist() private returns (uint32 index) {
        index = ++_workerCount;
        _workers[index] = msg.sender;

        emit WorkerIndexed(msg.sender, index);
    }

    /// @dev Makes `tab` that of `holder`.
    function _turn(Tab memory tab, address holder) private {
        _close(tab);
        (tab.holder, tab.credit, tab.unlocked) = (holder, 0, 0);
    }

    function _close(Tab memory tab) private {
        if (tab.holder != address(0)) _unlock(tab.holder, tab.unlocked, tab.credit);
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IInferenceMarket
    function taskOf(TaskId id) external view returns (Task memory) {
        StoredTask storage task = _tasks[id];
        TaskWord word = task.word;
        EscrowWord escrow = task.escrow;
        return Task({
            state: word.state(),
            replicas: word.replicas(),
            worker: _workers[word.worker()],
            until: word.until(),
            deadline: word.deadline(),
            leaseSecs: word.leaseSecs(),
            bondUnits: word.bondUnits(),
            flatPercent: word.flatPercent(),
            pricedAt: word.pricedAt(),
            maxOutputTokens: word.maxOutputTokens(),
            outputTokens: word.outputTokens(),
            requester: escrow.requester(),
            maxFee: escrow.maxFee(),
            tip: escrow.tip()
        });
    }

    /// @inheritdoc IInferenceMarket
    function account(address holder) external view returns (Account memory) {
        return _accounts[holder];
    }

    /// @inheritdoc IInferenceMarket
    function batch(bytes32 root) external view returns (Batch memory) {
        return _batches[root];
    }

    /// @inheritdoc IInferenceMarket
    function worker(uint32 index) external view returns (address) {
        return _workers[index];
    }

    /// @inheritdoc IInferenceMarket
    function parameters() external view returns (Parameters memory) {
        return Parameters({
            window: WINDOW,
            answerTime: ANSWER_TIME,
            arbiterTimeout: ARBITER_TIMEOUT,
            minLease: MIN_LEASE,
            maxLife: MAX_LIFE,
            inversionGrace: INVERSION_GRACE,
            bondUnit: BOND_UNIT,
            challengeBond: CHALLENGE_BOND,
            demandFee: DEMAND_FEE,
            ageRate: AGE_RATE,
            arbiter: ARBITER
        });
    }

    /// @inheritdoc IInferenceMarket
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IInferenceMarket
    function hashRequest(Request calldata request) external view returns (TaskId) {
        return Digest.taskId(_domainSeparatorV4(), request);
    }

    /// @inheritdoc IInferenceMarket
    function hashBody(Body calldata body) external view returns (bytes32) {
        return Digest.bodyOf(_domainSeparatorV4(), body);
    }
}
