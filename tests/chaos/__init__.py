"""Seeded misfortune between a scan and a real node.

`proxy` brings it; `faults`, `caps`, `ends` and `lies` are its kinds, `scenarios` draws them from a seed. `worlds` are
the chains behind, `run` says what came of a scenario, `judge` what must come of many. ``python -m tests.chaos`` runs
them by hand.
"""
