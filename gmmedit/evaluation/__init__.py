"""Evaluation of editors: metrics, sweeps of strengths, figures."""
