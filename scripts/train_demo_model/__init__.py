"""How the demo model that ships was made: its vocabulary, its tasks, its training, its held-out accuracy."""
