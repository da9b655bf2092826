"""Tests of the benchmark, with small workloads and real servers."""
