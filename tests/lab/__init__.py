"""What several test files share: builders of stores and hostile directories, clocks, traps, strategies, and the reference model."""
