// Read accounts with viem's multicall; run by node with the folder of its packages, and the task on stdin.
// The rounds are those of peer_task.py.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { createPublicClient, http, parseAbi } = createRequire(`${process.argv[2]}/`)('viem')
const task = JSON.parse(readFileSync(0, 'utf8'))
const abi = parseAbi([
  'function getUserAccountData(address) view returns (uint256, uint256, uint256, uint256, uint256, uint256)',
  'function getUserConfiguration(address) view returns (uint256)',
  'function getUserEMode(address) view returns (uint256)',
  'function scaledBalanceOf(address) view returns (uint256)',
])

function ask(client, questions) {
  return client.multicall({
    allowFailure: false,
    batchSize: task.setting,
    blockNumber: BigInt(task.block),
    contracts: questions.map(([address, functionName, account]) => ({ abi, address, args: [account], functionName })),
    multicallAddress: task.multicall3,
  })
}

const health = ([collateral, debt, , , , factor]) => [collateral, debt, factor].map(String)

async function read() {
  const client = createPublicClient({ transport: http(task.url, { timeout: 120_000 }) })
  const { accounts, pool } = task
  if (task.what === 'health')
    return (await ask(client, accounts.map((account) => [pool, 'getUserAccountData', account]))).map(health)
  const names = ['getUserAccountData', 'getUserEMode', 'getUserConfiguration']
  const first = await ask(client, accounts.flatMap((account) => names.map((name) => [pool, name, account])))
  const wanted = accounts.map((_, at) => legs(first[3 * at + 2]))
  const second = await ask(
    client,
    accounts.flatMap((account, at) => wanted[at].map(([, token]) => [token, 'scaledBalanceOf', account])),
  )
  let next = 0
  return wanted.map((own, at) => [
    ...health(first[3 * at]),
    String(first[3 * at + 1]),
    ...own.flatMap(([name]) => [name, String(second[next++])]),
  ])
}

function legs(configuration) {
  const found = []
  for (const [number, collateral, debt] of task.reserves) {
    const bits = Number((configuration >> BigInt(2 * number)) & 3n)
    if (bits & 2) found.push([`${number} collateral`, collateral])
    if (bits & 1) found.push([`${number} debt`, debt])
  }
  return found
}

const start = performance.now()
const answers = await read()
const seconds = (performance.now() - start) / 1000
process.stdout.write(JSON.stringify({ seconds, answers }))
