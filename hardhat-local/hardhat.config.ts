import { randomInt } from "node:crypto";
import { createRequire } from "node:module";

import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);

// Named once more in foundry.toml and for the deployment's own compiler; a test holds the bytecode of the three together.
const compiler = {
  version: "0.8.37",
  path: require.resolve("solc/soljson.js"),
  settings: {
    optimizer: { enabled: true, runs: 200 },
    viaIR: true,
    evmVersion: "cancun",
    metadata: { bytecodeHash: "none", appendCBOR: false },
  },
} as const;

const devnet = {
  type: "edr-simulated",
  chainId: 31337,
  hardfork: "osaka",
  // So that no two devnets, not even of the same second, have the same genesis: whoever saw both would take them for one chain.
  initialBaseFeePerGas: 1_000_000_000 + randomInt(1_000_000),
  loggingEnabled: false,
  // Automine hides latency and the order of transactions; who wants it switches it on by evm_setAutomine.
  mining: { auto: false, interval: 1_000, mempool: { order: "priority" } },
  // Otherwise blocks closer than a second run the chain's clock ahead of the machine's.
  allowBlocksWithSameTimestamp: true,
} as const;

export default defineConfig({
  paths: { sources: "contracts" },
  solidity: compiler,
  networks: { node: devnet },
});
