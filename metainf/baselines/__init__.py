"""What a selector is held against, all behind the contract of `metainf.method`."""
