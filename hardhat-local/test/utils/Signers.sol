// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Accounts with code of their own to say who signed (ERC-1271), one by one what such code may do.

contract Accepting {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}

contract Refusing {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }
}

contract Reverting {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        revert("no");
    }
}

/// @notice Says yes, with bits behind it that a bytes4 has not.
contract Garbage {
    function isValidSignature(bytes32, bytes calldata) external pure returns (uint256) {
        return uint256(bytes32(bytes4(0x1626ba7e))) | 1;
    }
}

/// @notice Says yes in four bytes, not in a word.
contract Short {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 4)
        }
    }
}

contract Burning {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return 0x1626ba7e;
    }
}

/// @notice Says yes at the head of as long an answer as its gas can pay for.
contract Huge {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 150000)
        }
    }
}

/// @notice Tries to write while it is asked.
contract Writing {
    uint256 private _asked;

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        ++_asked;
        return 0x1626ba7e;
    }
}
