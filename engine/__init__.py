"""The engine room: vLLM behind one small interface. Imports no other room; see docs/engine.md."""
