"""How long tests wait for what comes at once on an idle machine. A wait ends as soon as it has come."""

# A machine that is short of memory or processors stands still for most of a minute now and then, nodes and all.
PATIENCE_SECS = 150.0
