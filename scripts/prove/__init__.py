"""Programs that try the contracts: mutants, coverage, fuzzing, gas; each prints one JSON object on its last line."""
