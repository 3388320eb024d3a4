// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice What the market must stand: each contract turns on it in the way it was told to.
abstract contract Reentrant {
    address public target;
    bytes public plan;
    /// @notice Calls back into `target` that were let through. Must stay zero.
    uint256 public entered;
    uint256 public tried;

    function prime(address target_, bytes calldata plan_) external {
        (target, plan) = (target_, plan_);
    }

    function _reenter() internal {
        if (target == address(0)) return;
        ++tried;
        (bool done,) = target.call(plan);
        if (done) ++entered;
    }
}

/// @notice An account with code: takes ether or not, signs by ERC-1271 or does worse.
contract Wallet is Reentrant {
    enum Mode {
        Honest,
        Greedy,
        Garbage,
        Reverts,
        Endless,
        Refusing
    }

    /// @dev In storage of the account, so that code delegated to a key (EIP-7702) starts honest.
    Mode public mode;
    mapping(bytes32 digest => bool) public signed;

    function become(Mode mode_) external {
        mode = mode_;
    }

    function sign(bytes32 digest) external {
        signed[digest] = true;
    }

    /// @notice Sends a call of the account's own; its answer or refusal is this one's.
    function act(address to, bytes calldata data) external payable {
        (bool done, bytes memory answer) = to.call{value: msg.value}(data);
        assembly {
            switch done
            case 0 { revert(add(answer, 32), mload(answer)) }
            default { return(add(answer, 32), mload(answer)) }
        }
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        if (mode == Mode.Greedy) {
            while (true) {}
        }
        if (mode == Mode.Garbage) {
            assembly {
                mstore(0, not(0))
                return(0, 32)
            }
        }
        if (mode == Mode.Reverts) revert();
        if (mode == Mode.Endless) {
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 20000)
            }
        }
        return signed[digest] ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    receive() external payable {
        require(mode != Mode.Refusing);
        _reenter();
    }
}

/// @notice An ERC-20 that keeps its word, or not.
contract Token is Reentrant {
    enum Mode {
        Honest,
        TakesFee,
        ReturnsNothing,
        Reenters,
        SaysNo,
        Lies,
        Reverts,
        GivesMore
    }

    uint8 public immutable decimals;
    Mode public mode;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function become(Mode mode_) external {
        mode = mode_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    /// @dev Stands for any permit: what counts to the market is the allowance.
    function permit(address owner, address spender, uint256 amount, uint256, uint8 v, bytes32, bytes32) external {
        require(v == 27);
        allowance[owner][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        require(mode == Mode.Lies || mode == Mode.SaysNo || allowance[from][msg.sender] >= amount);
        if (mode != Mode.Lies && mode != Mode.SaysNo) allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        require(mode != Mode.Reverts);
        if (mode == Mode.Reenters) _reenter();
        if (mode != Mode.SaysNo && mode != Mode.Lies) {
            balanceOf[from] -= amount;
            balanceOf[to] += amount;
            if (mode == Mode.TakesFee && amount > 0) --balanceOf[to];
            if (mode == Mode.GivesMore) ++balanceOf[to];
        }
        if (mode == Mode.ReturnsNothing) return;
        bool said = mode != Mode.SaysNo;
        assembly {
            mstore(0, said)
            return(0, 32)
        }
    }
}
