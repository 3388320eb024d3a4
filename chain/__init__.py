"""The chain and the content store: deployments, reads, events, transactions. Imports `protocol` only."""
