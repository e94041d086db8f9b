#!/usr/bin/env bash
# Fail a CI job when too much is liquidatable on a forked chain, for instance after a change of parameters.
#
#   examples/ci_fork_check.sh 500000 --rpc-url http://127.0.0.1:8545 --market ethereum-core
#
# The first argument is the most seizable collateral, in dollars, that may be open to liquidation now; the others go to
# liqbands scan. Exit codes: 0 within the limit, 1 above it, and those of liqbands, so that a dead node (3) or an
# incomplete scan (4) never looks like a healthy market.
set -euo pipefail

limit=${1:-}
if ! [[ $limit =~ ^[0-9]+(\.[0-9]+)?$ ]]; then
  echo "usage: $0 DOLLARS [options of liqbands scan]; DOLLARS is a plain number such as 500000" >&2
  exit 2
fi
shift
document=$(mktemp)
trap 'rm -f "$document"' EXIT

liqbands scan --format json --verify all --no-progress -o "$document" "$@"

python3 - "$document" "$limit" <<'CHECK'
import json
import sys

document, limit = json.load(open(sys.argv[1], encoding="utf-8")), float(sys.argv[2])
now = document["liquidatable"]
seizable = now["seizable_collateral_usd"]
if seizable is None:
    print("what is seizable cannot be stated in dollars: an account's price or the unit of account's is unknown", file=sys.stderr)
    sys.exit(4)
print(f"block {document['snapshot']['block_number']}: {now['account_count']} accounts, ${seizable:,.0f} of at most ${limit:,.0f}")
sys.exit(seizable > limit)
CHECK
