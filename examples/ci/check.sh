#!/usr/bin/env bash
# Fail a job of any CI system when too much is open to liquidation, now or after a fall of ETH by 5 %.
#
#   examples/ci/check.sh 500k 50M --chain ethereum
#
# The first two arguments are the most dollars that may be seizable now and at -5 %; the others go to liqbands check.
# Exit codes: 0 within the limits, 1 above one, and those of liqbands, so that a dead node (3) or an incomplete scan (4)
# never looks like a healthy market.
set -euo pipefail

if [ $# -lt 2 ] || [[ $1 == -* || $2 == -* ]]; then
  echo "usage: $0 NOW FALL [options of liqbands check]; NOW and FALL are dollars such as 500000, 500k or 50M" >&2
  exit 2
fi
now=$1 fall=$2
shift 2
exec liqbands check --no-progress --max-seizable "now=$now" --max-seizable "ETH:-5%=$fall" "$@"
