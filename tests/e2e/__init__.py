"""Real kernels in an emulator: `make e2e`."""
