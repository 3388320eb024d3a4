"""The off-chain worker: follows the market, decides, runs the engine, posts, settles, and says why."""
