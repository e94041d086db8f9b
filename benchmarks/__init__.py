"""Speed against peers, all in one run; ``docs/benchmarks.md`` says what is measured and how."""
