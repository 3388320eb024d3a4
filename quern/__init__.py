"""The command line of Quern: one thin module per command group, wiring and no logic."""
