"""What providers and nodes really answered, and where that was seen. Texts are verbatim, codes and statuses theirs."""

from __future__ import annotations

from typing import Final, NamedTuple

from scanner.chain.failures import Kind, Remedy

__all__ = ["ANSWERS", "Seen"]

_FACTS: Final = "the project's own notes on RPC limits"


class Seen(NamedTuple):
    """One answer: who gave it, its words, JSON-RPC code and HTTP status, and what to do about it."""

    provider: str
    method: str
    message: str
    code: int | None
    kind: Kind
    remedy: Remedy
    found: str  # repository and thread
    status: int = 200
    width: int | None = None  # blocks that the message says would work


_LOGS, _CALL = "eth_getLogs", "eth_call"
_RANGE, _BATCH, _ADDRESSES = Remedy.SPLIT_RANGE, Remedy.SPLIT_BATCH, Remedy.SPLIT_ADDRESSES
_WAIT, _SWITCH, _STOP = Remedy.BACK_OFF, Remedy.SWITCH, Remedy.GIVE_UP

ANSWERS: Final = (
    # -- too much asked of eth_getLogs
    Seen(
        "Alchemy",
        _LOGS,
        "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range "
        "should work: [0x123c9b2, 0x123cba5]",
        -32600,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "BobTheBuidler/dank_mids#772",
        width=500,
    ),
    Seen(
        "Alchemy",
        _LOGS,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the "
        "response size, or you can request any block range with a cap of 10K logs in the response. Based on your "
        "parameters and the response size limit, this block range should work: [0x0, 0xd043b8]",
        -32602,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "ethers-io/ethers.js#4703",
        width=0xD043B9,
    ),
    Seen(
        "Alchemy",
        _LOGS,
        "Log response size exceeded. Please reduce query block range.",
        -32602,
        Kind.PAYLOAD_TOO_LARGE,
        _RANGE,
        "bancorprotocol/webapp#523",
    ),
    Seen(
        "Alchemy",
        _LOGS,
        "block range too large (2500), maximum allowed is 2000 blocks",
        -32000,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "enviodev/hyperindex#716",
        width=2000,
    ),
    Seen(
        "Infura",
        _LOGS,
        "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC].",
        -32005,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "ethers-io/ethers.js#4703",
        width=0x102DBCC - 0xBDE5F8 + 1,
    ),
    Seen(
        "Infura",
        _LOGS,
        "query returned more than 10000 results",
        -32005,
        Kind.TOO_MANY_RESULTS,
        _RANGE,
        "status-im/nimbus-eth2#1823",
    ),
    Seen(
        "Infura",
        _LOGS,
        "query returned more than 1000 results",
        -32005,
        Kind.TOO_MANY_RESULTS,
        _RANGE,
        "omni/bridge-ui#214",
    ),
    Seen(
        "Infura",
        _LOGS,
        "range 1000000 exceeds limit of 10000",
        -32602,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "INFURA/infura#237",
        width=10_000,
    ),
    Seen("Infura", _LOGS, "query timeout exceeded", -32005, Kind.TOO_MANY_RESULTS, _RANGE, _FACTS),
    Seen(
        "zkSync Era",
        _LOGS,
        "Query returned more than 10000 results. Try with this block range [0x118dc91, 0x1198cc3].",
        -32602,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "ponder-sh/ponder#724",
        width=0x1198CC3 - 0x118DC91 + 1,
    ),
    Seen(
        "Ankr",
        _LOGS,
        "maximum [from, to] blocks distance: 10000",
        None,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "ponder-sh/ponder#1940",
        width=10_000,
    ),
    Seen(
        "dRPC",
        _LOGS,
        "ranges over 10000 blocks are not supported on free plan",
        35,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        _FACTS,
        width=10_000,
    ),
    Seen(
        "1rpc",
        _LOGS,
        "eth_getLogs is limited to 0 - 50 blocks range",
        -32602,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        _FACTS,
        width=50,
    ),
    Seen(
        "nodies",
        _LOGS,
        "Block range too large: maximum allowed is 20000 blocks",
        -32001,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "MASQ-Project/Node#734",
        width=20_000,
    ),
    Seen(
        "Candle",
        _LOGS,
        "block range too high",
        -32600,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "AlphaWallet/alpha-wallet-ios#5277",
    ),
    Seen(
        "Morph",
        _LOGS,
        "block range is larger than max block range, block range = 5120, max block range = 5000",
        -32000,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "enviodev/hyperindex#605",
        width=5000,
    ),
    Seen(
        "reth",
        _LOGS,
        "query exceeds max block range 5000",
        -32602,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "paradigmxyz/reth#8558",
        width=5000,
    ),
    Seen(
        "erigon",
        _LOGS,
        "query block range exceeds server limit, narrow your filter: 5",
        -32602,
        Kind.RANGE_TOO_WIDE,
        _RANGE,
        "erigontech/erigon#20424",
    ),
    Seen("reth", _LOGS, "Response is too big", -32008, Kind.PAYLOAD_TOO_LARGE, _RANGE, _FACTS),
    Seen("reth", _CALL, "Exceeded max limit of 167772160", -32000, Kind.PAYLOAD_TOO_LARGE, _BATCH, _FACTS),
    Seen(
        "Alchemy, dRPC",
        _LOGS,
        "exceed max addresses or topics per search position",
        -32602,
        Kind.TOO_MANY_ADDRESSES,
        _ADDRESSES,
        _FACTS,
    ),
    # -- too much asked of eth_call
    Seen("geth", _CALL, "out of gas", -32000, Kind.OUT_OF_GAS, _BATCH, "ethstorage/web3url-gateway#99"),
    Seen("OpenEthereum", _CALL, "VM execution error. Out of gas", -32015, Kind.OUT_OF_GAS, _BATCH, _FACTS),
    Seen("anvil", _CALL, "EVM error OutOfGas", -32603, Kind.OUT_OF_GAS, _BATCH, "anvil 1.7.1, run here"),
    Seen("reth", _CALL, "intrinsic gas too high", -32000, Kind.GAS_REFUSED, _BATCH, "paradigmxyz/reth#17847"),
    Seen(
        "Nethermind",
        _CALL,
        "Block gas limit exceeded",
        -32000,
        Kind.GAS_REFUSED,
        _BATCH,
        "NethermindEth/nethermind#11172",
    ),
    Seen("geth", _CALL, "execution aborted (timeout = 5s)", -32000, Kind.TIMEOUT, _BATCH, _FACTS),
    Seen("nginx", _CALL, "", None, Kind.PAYLOAD_TOO_LARGE, _BATCH, _FACTS, status=413),
    # -- too much asked at once
    Seen("Infura", _CALL, "project ID request rate exceeded", -32005, Kind.RATE_LIMITED, _WAIT, _FACTS, status=429),
    Seen(
        "Alchemy",
        _CALL,
        "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely "
        "ignore this message. If not, check out https://docs.alchemy.com/reference/throughput",
        429,
        Kind.RATE_LIMITED,
        _WAIT,
        "latticexyz/mud#1522",
    ),
    Seen("QuickNode", _CALL, "credits limited to 6000/sec", -32012, Kind.RATE_LIMITED, _WAIT, "latticexyz/mud#1522"),
    Seen("Tenderly", _CALL, "rate limit exceeded", -32005, Kind.RATE_LIMITED, _WAIT, "fluencelabs/dev-rewards#20"),
    Seen("Base", _CALL, "over rate limit", -32016, Kind.RATE_LIMITED, _WAIT, "base/node#368"),
    Seen("nodies", _CALL, "Rate limit exceeded on Nodies public endpoint", -32005, Kind.RATE_LIMITED, _WAIT, _FACTS),
    Seen("arc", _CALL, "request limit reached", -32011, Kind.RATE_LIMITED, _WAIT, _FACTS),
    Seen("llamarpc", _CALL, "", 1015, Kind.RATE_LIMITED, _WAIT, _FACTS),
    # -- what this endpoint does not have, and another may
    Seen(
        "Infura",
        _CALL,
        "daily request count exceeded, request rate limited",
        -32005,
        Kind.PLAN_EXHAUSTED,
        _SWITCH,
        "fluencelabs/dev-rewards#20",
        status=429,
    ),
    Seen(
        "dRPC",
        "eth_getBlockByNumber",
        "Request timeout on the free tier, please upgrade your tier to the paid one",
        30,
        Kind.PLAN_EXHAUSTED,
        _SWITCH,
        "enviodev/hyperindex#715",
    ),
    Seen("dRPC", _LOGS, "", None, Kind.PLAN_EXHAUSTED, _SWITCH, "enviodev/hyperindex#715", status=402),
    Seen(
        "publicnode",
        _CALL,
        "Archive requests require a personal token",
        -32602,
        Kind.STATE_MISSING,
        _SWITCH,
        _FACTS,
    ),
    Seen(
        "bor",
        _CALL,
        "missing trie node c6ebfa185e24077a555f06caaf4b78d9e0ae9dcb7a693ec753e856f49f55c85c (path ) state "
        "0xc6ebfa185e24077a555f06caaf4b78d9e0ae9dcb7a693ec753e856f49f55c85c is not available, not found",
        -32000,
        Kind.STATE_MISSING,
        _SWITCH,
        "0xPolygon/bor#1303",
    ),
    Seen(
        "geth",
        _CALL,
        "required historical state unavailable (reexec=128)",
        -32000,
        Kind.STATE_MISSING,
        _SWITCH,
        "blockscout/blockscout#2219",
    ),
    Seen("Alchemy", _CALL, "layer stale", -32000, Kind.STATE_MISSING, _SWITCH, _FACTS),
    Seen("dRPC", _CALL, "metadata is not found", -32000, Kind.STATE_MISSING, _SWITCH, _FACTS),
    Seen("geth", _CALL, "header not found", -32000, Kind.BLOCK_UNKNOWN, _SWITCH, _FACTS),
    Seen(
        "anvil",
        _CALL,
        "BlockOutOfRangeError: block height is 0 but requested was 999",
        -32602,
        Kind.BLOCK_UNKNOWN,
        _SWITCH,
        "anvil 1.7.1, run here",
    ),
    # -- what no repetition changes
    Seen("any", _CALL, "", None, Kind.UNAUTHORIZED, _STOP, "the HTTP standard", status=401),
    Seen(
        "geth",
        "eth_foo",
        "the method eth_foo does not exist/is not available",
        -32601,
        Kind.NO_METHOD,
        _STOP,
        "ethereum/go-ethereum",
    ),
    # -- a contract's answer
    Seen("geth", _CALL, "execution reverted", 3, Kind.REVERTED, Remedy.ANSWER, _FACTS),
    Seen("anvil", _CALL, "execution reverted", -32000, Kind.REVERTED, Remedy.ANSWER, "anvil 1.7.1, run here"),
)
