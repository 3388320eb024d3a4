"""The market's law in Python: typed data, digests, formats, state derivation. Pure; imports no other room."""
