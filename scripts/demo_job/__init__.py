"""The main job on this machine, end to end: devnet, model, worker, three wallets, four tasks, an audit of each."""
