"""The auditor's side: replay, recompute and re-check any job from the chain and the store, trusting nobody."""
