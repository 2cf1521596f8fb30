"""Tests run small models: one thread each is fastest, and leaves the other cores to other tests."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported anywhere
