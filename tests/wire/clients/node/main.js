// Drives a cluster by the etcd3 package with what its documentation shows, on TLS and, where users
// are named, with their rights.
//
// It prints one line a step with what it saw and ends at the first that fails. Settings: see
// ../README.md.
'use strict';

const fs = require('fs');
const { setTimeout: sleep } = require('timers/promises');
const { Etcd3 } = require('etcd3');

const PREFIX = 'clients/node/';
// The longest time of one step, in milliseconds.
const LIMIT = 20_000;

const MEMBERS = process.env.CLIENT_ENDPOINTS.split(',');

function connect(username, password, hosts = MEMBERS) {
  return new Etcd3({
    hosts,
    credentials: { rootCertificate: fs.readFileSync(process.env.CLIENT_CA) },
    auth: username ? { username, password } : undefined,
  });
}

// What was seen, if it is what is right on any server.
function check(saw, right) {
  if (saw !== right) {
    throw new Error(`saw ${JSON.stringify(saw)}, expected ${JSON.stringify(right)}`);
  }
  return saw;
}

// The error that a call ends with.
async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.constructor.name} ${error.message}`;
  }
  throw new Error('no error');
}

async function putGet(client) {
  await client.put('foo').value('bar');
  const before = await client.put('foo').value('baz').getPrevious();
  await client.put('number').value(42);
  await client.put('json').value(JSON.stringify({ a: [1] }));
  const saw = [
    before.value.toString(),
    await client.get('foo').string(),
    await client.get('number').number(),
    JSON.stringify(await client.get('json').json()),
    await client.get('none'),
    await client.get('foo').exists(),
  ];
  return check(saw.join(' '), 'bar baz 42 {"a":[1]}  true');
}

async function getAll(client) {
  for (let i = 0; i < 3; i++) {
    await client.put(`key${i}`).value(2 - i);
  }
  const keys = await client.getAll().prefix('key').keys();
  const numbers = await client.getAll().prefix('key').numbers();
  const sorted = await client.getAll().prefix('key').sort('Value', 'Ascend').limit(2).keys();
  const range = await client.getAll().inRange({ start: 'key0', end: 'key2' }).strings();
  const count = await client.getAll().prefix('key').count();
  return check(JSON.stringify([keys, numbers, sorted, range, count]),
    '[["key0","key1","key2"],{"key0":2,"key1":1,"key2":0},["key2","key1"],{"key0":"2","key1":"1"},3]');
}

async function remove(client) {
  const one = await client.delete().key('key0');
  const previous = await client.delete().prefix('key').getPrevious();
  const none = await client.delete().prefix('key');
  return check(`${one.deleted} ${previous.map(kv => kv.value).join()} ${none.deleted}`, '1 1,0 0');
}

async function compare(client) {
  await client.delete().key('compared');
  const saw = [];
  for (const value of ['first', 'second']) {
    const answer = await client
      .if('compared', 'Create', '==', 0)
      .and('compared', 'Version', '<', 1)
      .then(client.put('compared').value(value))
      .else(client.get('compared'), client.put('other').value('else'))
      .commit();
    saw.push(`${answer.succeeded} ${answer.responses.map(response => response.response).join()}`);
  }
  saw.push(await client.get('compared').string());
  return check(saw.join('; '), 'true response_put; false response_range,response_put; first');
}

// The lease would end by itself without its beats, which the library sends by its own clock.
async function lease(client) {
  const lease = client.lease(3);
  await lease.put('leased').value('v');
  const succeeded = new Promise(resolve => lease.once('keepaliveSucceeded', resolve));
  const beat = await succeeded;
  await sleep(3500);
  const kept = await client.get('leased').string();
  const once = await lease.keepaliveOnce();
  await lease.revoke();
  const gone = await client.get('leased').string();
  return check(`beats ${beat.TTL} ${once.TTL}, kept ${kept}, then ${gone}, revoked ${lease.revoked()}`,
    'beats 3 3, kept v, then null, revoked true');
}

async function watch(client) {
  const watcher = await client.watch().prefix('watched').withPreviousKV().create();
  const saw = [];
  const done = new Promise((resolve, reject) => {
    const note = (kind, kv, previous) => {
      saw.push(`${kind} ${kv.key}=${kv.value} before ${previous ? previous.value : 'nothing'}`);
      if (saw.length === 3) resolve();
    };
    watcher.on('put', (kv, previous) => note('put', kv, previous));
    watcher.on('delete', (kv, previous) => note('delete', kv, previous));
    watcher.on('error', reject);
  });
  await client.put('watched1').value('a');
  await client.put('watched1').value('b');
  await client.delete().key('watched1');
  await done;
  await watcher.cancel();
  return check(saw.join(', '),
    'put watched1=a before nothing, put watched1=b before a, delete watched1= before b');
}

async function lock(client) {
  const held = client.lock('my_resource');
  await held.acquire();
  const refused = await failure(client.lock('my_resource').acquire());
  await held.release();
  const inside = await client.lock('my_resource').do(() => 'inside');
  return check(`${refused.split(' ')[0]}, then ${inside}`, 'EtcdLockFailedError, then inside');
}

async function election(client) {
  const election = client.election('singleton-job', 30);
  const first = election.campaign('first');
  await first.wait();
  const observer = await election.observe();
  const saw = [observer.leader(), await election.leader()];
  const change = () => new Promise(resolve => observer.once('change', resolve));
  let changed = change();
  await first.proclaim('first again');
  saw.push(await changed);
  const second = election.campaign('second');
  const elected = second.wait();
  // Both stand in line before the first leaves it.
  while (await client.getAll().prefix('election/singleton-job/').count() < 2);
  changed = change();
  await first.resign();
  await elected;
  saw.push(await changed, await election.leader());
  await observer.cancel();
  await second.resign();
  saw.push(await election.leader());
  return check(saw.join(', '), 'first, first, first again, second, second, ');
}

// The default isolation of this library refuses keys that were last written at different revisions.
const SERIALIZABLE = 1;

// Moves between accounts from several sides at once; the sum stays. It talks to one member: later
// reads are at the revision of the first and do not wait for a member that has not come so far.
async function stm() {
  const member = connect(process.env.CLIENT_USER, process.env.CLIENT_PASSWORD, MEMBERS[0]);
  const client = member.namespace(PREFIX);
  await Promise.all([1, 2].map(i => client.put(`account${i}`).value(100)));
  await Promise.all([1, 2, 3, 4].map(() => client.stm({ retries: 20, isolation: SERIALIZABLE }).transact(async tx => {
    const [one, two] = await Promise.all([tx.get('account1').number(), tx.get('account2').number()]);
    await Promise.all([tx.put('account1').value(one - 10), tx.put('account2').value(two + 10)]);
  })));
  const accounts = await client.getAll().prefix('account').numbers();
  member.close();
  return check(JSON.stringify(accounts), '{"account1":60,"account2":140}');
}

async function rights() {
  const user = connect(process.env.CLIENT_USER, process.env.CLIENT_PASSWORD);
  const wrong = connect(process.env.CLIENT_USER, 'wrong');
  const nobody = connect();
  const saw = [
    await failure(user.put('elsewhere').value('v')),
    await failure(user.get('elsewhere').string()),
    await failure(user.getAll().all().keys()),
    await failure(user.user('more').create('secret')),
    await failure(wrong.get(PREFIX + 'foo').string()),
    await failure(nobody.get(PREFIX + 'foo').string()),
  ];
  [user, wrong, nobody].forEach(client => client.close());
  const denied = 'EtcdPermissionDeniedError 7 PERMISSION_DENIED: etcdserver: permission denied';
  return check(saw.join('; '), [
    denied, denied, denied, denied,
    'EtcdAuthenticationFailedError 3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password',
    'GRPCInvalidArgumentError 3 INVALID_ARGUMENT: etcdserver: user name is empty',
  ].join('; '));
}

// root makes a role and a user, whose rights end with the role.
async function root() {
  const client = connect(process.env.CLIENT_ROOT, process.env.CLIENT_ROOT_PASSWORD);
  await client.put('elsewhere').value('node');
  const role = await client.role('node-reader').create();
  await role.grant({ permission: 'Read', key: 'elsewhere' });
  const user = await client.user('node-reader').create('secret');
  await user.addRole(role);
  const reader = connect('node-reader', 'secret');
  const saw = [await reader.get('elsewhere').string(), await failure(reader.put('elsewhere').value('no'))];
  const permissions = await role.permissions();
  saw.push(permissions.map(given => given.permission).join());
  reader.close();
  await user.delete();
  await role.delete();
  const users = await client.getUsers();
  saw.push(users.map(found => found.name).sort().join());
  client.close();
  return check(saw.join('; '),
    'node; EtcdPermissionDeniedError 7 PERMISSION_DENIED: etcdserver: permission denied; Read; app,root');
}

async function main() {
  const client = connect(process.env.CLIENT_USER, process.env.CLIENT_PASSWORD);
  const space = client.namespace(PREFIX);
  const steps = [putGet, getAll, remove, compare, lease, watch, lock, election, stm];
  if (process.env.CLIENT_ROOT) {
    steps.push(rights, root);
  }
  for (const step of steps) {
    const late = new AbortController();
    const limit = sleep(LIMIT, null, { signal: late.signal, ref: false }).then(() => {
      throw new Error(`${step.name} does not end`);
    });
    limit.catch(() => {});
    console.log(`${step.name}: ${await Promise.race([step(space), limit])}`);
    late.abort();
  }
  client.close();
}

// A beat that is answered after its lease was revoked leaves a timer of the library behind, which
// would keep the process for as long as the lease was granted.
main().then(() => process.exit(0), error => {
  console.error(error);
  process.exit(1);
});
