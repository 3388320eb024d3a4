// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice An output of `count` tokens, which are 1, 2, 3 and so on, and its tree: written a second time here, so
/// that the market is not its own witness.
library Outputs {
    function leafCount(uint256 count) internal pure returns (uint256) {
        return count / 32 + (count % 32 == 0 ? 0 : 1);
    }

    function tokens(uint256 count, uint256 leaf) internal pure returns (uint32[] memory own) {
        uint256 left = count - 32 * leaf;
        own = new uint32[](left > 32 ? 32 : left);
        for (uint256 i = 0; i < own.length; ++i) {
            own[i] = uint32(32 * leaf + i + 1);
        }
    }

    function root(uint256 count) internal pure returns (bytes32) {
        bytes32[] memory row = _leaves(count);
        if (row.length == 0) return 0;
        while (row.length > 1) {
            row = _above(row);
        }
        return row[0];
    }

    /// @notice The nodes beside the way from a leaf up to the root.
    function path(uint256 count, uint256 leaf) internal pure returns (bytes32[] memory nodes) {
        bytes32[] memory row = _leaves(count);
        nodes = new bytes32[](0);
        while (row.length > 1) {
            if (leaf ^ 1 < row.length) nodes = _append(nodes, row[leaf ^ 1]);
            row = _above(row);
            leaf /= 2;
        }
    }

    function _leaves(uint256 count) private pure returns (bytes32[] memory row) {
        row = new bytes32[](leafCount(count));
        for (uint256 i = 0; i < row.length; ++i) {
            row[i] = keccak256(bytes.concat(keccak256(abi.encode(i, tokens(count, i)))));
        }
    }

    function _above(bytes32[] memory row) private pure returns (bytes32[] memory above) {
        above = new bytes32[]((row.length + 1) / 2);
        for (uint256 i = 0; i < above.length; ++i) {
            above[i] = 2 * i + 1 < row.length ? pair(row[2 * i], row[2 * i + 1]) : row[2 * i];
        }
    }

    function pair(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    function _append(bytes32[] memory list, bytes32 last) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }
}
