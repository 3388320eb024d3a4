// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {EIP712} from "solady/src/utils/EIP712.sol";
import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";

import {Account, IInferenceMarket, Parameters} from "../interfaces/IInferenceMarket.sol";

/// @title The parameters and everybody's balance; where money enters and leaves
/// @dev Only the calls that call out are guarded against reentrance, against each other: every other call has
/// nothing outside to wait for, and finds the books closed whenever it comes.
abstract contract Vault is IInferenceMarket, EIP712, ReentrancyGuardTransient {
    using SafeCast for uint256;
    using SafeTransferLib for address;

    /// @dev No phase of a task is longer: money comes back in bounded time, and no time outgrows 32 bits.
    uint32 private constant MOST_SECS = 365 days;
    uint256 private constant COIN_DECIMALS = 9;
    uint256 private constant MOST_DECIMALS = 36;

    /// @inheritdoc IInferenceMarket
    uint256 public immutable UNIT;

    uint32 internal immutable WINDOW;
    uint32 internal immutable ANSWER_TIME;
    uint32 internal immutable ARBITER_TIMEOUT;
    uint32 internal immutable MIN_LEASE;
    uint32 internal immutable MAX_LIFE;
    uint32 private immutable INVERSION_GRACE;
    uint64 internal immutable BOND_UNIT;
    uint64 internal immutable CHALLENGE_BOND;
    uint64 internal immutable DEMAND_FEE;
    uint64 private immutable AGE_RATE;
    address internal immutable ARBITER;
    address internal immutable TOKEN;

    /// @inheritdoc IInferenceMarket
    uint96 public burned;
    uint32 private _workerCount;

    mapping(address holder => Account) internal _accounts;
    mapping(uint32 index => address) internal _workers;

    constructor(Parameters memory p) {
        if (p.window == 0 || p.window > MOST_SECS) revert BadParameter("window", p.window);
        if (p.answerTime == 0 || p.answerTime > MOST_SECS) revert BadParameter("answerTime", p.answerTime);
        if (p.minLease == 0) revert BadParameter("minLease", p.minLease);
        if (p.maxLife < p.minLease || p.maxLife > MOST_SECS) revert BadParameter("maxLife", p.maxLife);
        if (p.bondUnit == 0) revert BadParameter("bondUnit", p.bondUnit);
        if (p.challengeBond < p.bondUnit) revert BadParameter("challengeBond", p.challengeBond);
        if (p.arbiter == address(0)) revert BadParameter("arbiter", 0);
        if (p.arbiterTimeout <= p.window + p.answerTime || p.arbiterTimeout > MOST_SECS) {
            revert BadParameter("arbiterTimeout", p.arbiterTimeout);
        }

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
        TOKEN = p.token;
        UNIT = p.token == address(0) ? 1 gwei : _unitOf(p.token);
    }

    // -------------------------------------------------------------------------------------------- in and out

    /// @inheritdoc IInferenceMarket
    function deposit(address beneficiary) external payable {
        if (TOKEN != address(0)) revert WrongCurrency(TOKEN);
        if (beneficiary == address(0)) revert ZeroAddress();
        _creditValue(beneficiary);
    }

    /// @inheritdoc IInferenceMarket
    function depositToken(address beneficiary, uint256 amountUnits) external nonReentrant {
        _pull(beneficiary, amountUnits);
    }

    /// @inheritdoc IInferenceMarket
    // A token that calls back finds the book as it was before the call, and money's three doors shut.
    // slither-disable-next-line reentrancy-benign
    function depositWithPermit(
        address beneficiary,
        uint256 amountUnits,
        uint256 permitDeadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        if (TOKEN == address(0)) revert WrongCurrency(TOKEN);
        // Whoever saw the permit may have used it already; then the allowance is there, and that is what counts.
        try IERC20Permit(TOKEN)
            .permit(msg.sender, address(this), amountUnits * UNIT, permitDeadline, v, r, s) {}
            catch {}
        _pull(beneficiary, amountUnits);
    }

    /// @inheritdoc IInferenceMarket
    function withdraw(uint256 amountUnits, address to) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        _spend(msg.sender, amountUnits);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit Withdrawn(msg.sender, to, uint96(amountUnits)); // less than the balance

        uint256 amount = amountUnits * UNIT;
        if (TOKEN == address(0)) {
            (bool taken,) = to.call{value: amount}("");
            if (!taken) revert WithdrawalFailed(to, amount);
        } else {
            uint256 before = TOKEN.balanceOf(address(this));
            TOKEN.safeTransfer(to, amount);
            _requireChange(amount, before, TOKEN.balanceOf(address(this)));
        }
    }

    /// @dev What came with the call is the holder's.
    function _creditValue(address holder) internal {
        if (msg.value == 0) return;
        if (TOKEN != address(0)) revert WrongCurrency(TOKEN);
        if (msg.value % UNIT != 0) revert NotWholeUnits(msg.value);
        _credit(holder, msg.value / UNIT);
    }

    function _pull(address beneficiary, uint256 amountUnits) private {
        if (TOKEN == address(0)) revert WrongCurrency(TOKEN);
        if (beneficiary == address(0)) revert ZeroAddress();
        _credit(beneficiary, amountUnits);

        uint256 amount = amountUnits * UNIT;
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        _requireChange(amount, TOKEN.balanceOf(address(this)), before);
    }

    function _requireChange(uint256 expected, uint256 more, uint256 less) private pure {
        uint256 changed = more < less ? 0 : more - less;
        if (changed != expected) revert TokenMisbehaved(expected, changed);
    }

    function _unitOf(address token) private view returns (uint256) {
        uint256 decimals = IERC20Metadata(token).decimals();
        if (decimals > MOST_DECIMALS) revert BadParameter("token", decimals);
        return decimals > COIN_DECIMALS ? 10 ** (decimals - COIN_DECIMALS) : 1;
    }

    // ---------------------------------------------------------------------------------------------- accounts

    function _credit(address holder, uint256 amountUnits) private {
        uint96 amount = amountUnits.toUint96();
        _accounts[holder].free += amount;

        emit Deposited(holder, amount);
    }

    function _spend(address holder, uint256 amount) internal {
        Account storage own = _accounts[holder];
        uint256 free = own.free;
        if (amount > free) revert InsufficientFree(holder, free, amount);
        // forge-lint: disable-next-line(unsafe-typecast)
        own.free = uint96(free - amount); // less than `free`, which has 96 bits
    }

    function _pay(address holder, uint256 amount) internal {
        _accounts[holder].free += amount.toUint96();
    }

    /// @dev Moves the caller's bonds from free to locked and notes the caller's number.
    function _lock(uint32 index, uint256 amount) internal {
        Account storage own = _accounts[msg.sender];
        own.free -= amount.toUint96();
        own.locked += amount.toUint96();
        own.index = index;
    }

    /// @dev Ends a bond: `credit` comes back or is earned, the rest has gone elsewhere.
    function _unlock(address holder, uint256 bond, uint256 credit) internal {
        Account storage own = _accounts[holder];
        own.locked -= bond.toUint96();
        own.free += credit.toUint96();
    }

    /// @dev Ends a bond and burns it.
    function _burnBond(address holder, uint256 bond) internal {
        _accounts[holder].locked -= bond.toUint96();
        _burn(bond);
    }

    function _burn(uint256 amount) internal {
        burned += amount.toUint96();
    }

    /// @dev Gives the caller the next number.
    function _enlist() internal returns (uint32 index) {
        index = ++_workerCount;
        _workers[index] = msg.sender;

        emit WorkerIndexed(msg.sender, index);
    }

    /// @dev What every digest is bound to, beside chain and instance.
    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Quern InferenceMarket", "1");
    }

    // ------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IInferenceMarket
    function account(address holder) external view returns (Account memory) {
        return _accounts[holder];
    }

    /// @inheritdoc IInferenceMarket
    function worker(uint32 index) external view returns (address) {
        return _workers[index];
    }

    /// @inheritdoc IInferenceMarket
    function parameters() external view returns (Parameters memory p) {
        p.window = WINDOW;
        p.answerTime = ANSWER_TIME;
        p.arbiterTimeout = ARBITER_TIMEOUT;
        p.minLease = MIN_LEASE;
        p.maxLife = MAX_LIFE;
        p.inversionGrace = INVERSION_GRACE;
        p.bondUnit = BOND_UNIT;
        p.challengeBond = CHALLENGE_BOND;
        p.demandFee = DEMAND_FEE;
        p.ageRate = AGE_RATE;
        p.arbiter = ARBITER;
        p.token = TOKEN;
        // Every field is a word in memory as in the answer: no second copy.
        assembly ("memory-safe") {
            return(p, 0x180)
        }
    }
}
