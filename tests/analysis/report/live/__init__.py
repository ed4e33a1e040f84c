"""Tests of `analysis.report.live`."""
