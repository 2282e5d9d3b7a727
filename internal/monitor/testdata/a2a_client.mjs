// Calls an A2A server with the A2A library for JavaScript, as it is told line by line, and prints what each call got: what the
// library made of it, and with `finish` and `bytes` the answers' bytes as they came. The directory of the libraries, the
// server's URL and the interface (`rest`, `rpc`, `rest03` or `rpc03`) are its arguments.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, base, name] = process.argv.slice(2);
const require = createRequire(pathToFileURL(modules + '/'));
const load = async (what) => (await import(pathToFileURL(require.resolve(what)))).default;
const { Role } = await load('@a2a-js/sdk');
const { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } = await load('@a2a-js/sdk/client');

// Each answer's bytes are read beside the library, which gets all of them.
let raw = [];
const fetchImpl = async (url, init) => {
  const rsp = await fetch(url, init);
  const record = { status: rsp.status, type: rsp.headers.get('content-type'), retry: rsp.headers.get('retry-after'), bytes: Promise.resolve('') };
  raw.push(record);
  if (!rsp.body) return rsp;
  const [ours, theirs] = rsp.body.tee();
  record.bytes = new Response(ours).text().catch(() => 'broken off');
  return new Response(theirs, { status: rsp.status, statusText: rsp.statusText, headers: rsp.headers });
};

const legacyCompat = { enabled: name.endsWith('03') };
const factory = new ClientFactory({
  transports: [new JsonRpcTransportFactory({ fetchImpl, legacyCompat }), new RestTransportFactory({ fetchImpl, legacyCompat })],
  cardResolver: new DefaultAgentCardResolver({ fetchImpl }),
});
// The card leads to the server itself; what is asked here goes where the test says.
const rpc = name.startsWith('rpc');
const client = await factory.createFromAgentCard({
  name: 'held', description: '', version: '1', capabilities: { streaming: true, extensions: [] }, skills: [], defaultInputModes: [],
  defaultOutputModes: [], securitySchemes: {}, securityRequirements: [], signatures: [],
  supportedInterfaces: [{
    url: base + (rpc ? '/rpc' : ''), protocolBinding: rpc ? 'JSONRPC' : 'HTTP+JSON', protocolVersion: legacyCompat.enabled ? '0.3' : '1.0', tenant: '',
  }],
});

const request = (said, more = {}) => ({
  tenant: '', metadata: {}, configuration: { acceptedOutputModes: [], returnImmediately: !!more.now, taskPushNotificationConfig: undefined },
  message: {
    messageId: crypto.randomUUID(), contextId: '', taskId: more.task ?? '', role: Role.ROLE_USER, metadata: {}, extensions: [], referenceTaskIds: [],
    parts: [{ content: { $case: 'text', value: said }, metadata: {}, filename: '', mediaType: '' }],
  },
});

let stream;
const follow = async (events, until) => {
  stream = { events, got: [] };
  for (let left = until; left > 0; left--) {
    const { value, done } = await events.next();
    if (done) break;
    stream.got.push(value);
  }
  return stream.got;
};

const calls = {
  card: () => new DefaultAgentCardResolver({ fetchImpl }).resolve(base),
  send: ({ say, ...more }) => client.sendMessage(request(say, more)),
  // A stream is followed until its first events, and then until its end.
  open: ({ say, until = 2 }) => follow(client.sendMessageStream(request(say)), until),
  again: ({ task }) => follow(client.resubscribeTask({ id: task, tenant: '' }), 1),
  finish: async () => {
    for await (const event of { [Symbol.asyncIterator]: () => stream.events }) stream.got.push(event);
    return stream.got;
  },
  get: ({ task }) => client.getTask({ id: task, tenant: '', historyLength: undefined }),
  cancel: ({ task }) => client.cancelTask({ id: task, tenant: '', metadata: {} }),
  list: () => client.listTasks({ tenant: '', contextId: '', status: 0, pageSize: 10, pageToken: '', historyLength: 0, includeArtifacts: false, statusTimestampAfter: undefined }),
};

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...args } = JSON.parse(line);
  if (call !== 'finish') raw = [];
  let made;
  try {
    made = await calls[call](args);
  } catch (err) {
    made = { error: err.constructor.name, message: err.message };
  }
  const answers = [];
  // The bytes of a stream that goes on are there when it ends.
  if (call !== 'open' && call !== 'again') for (const { bytes, ...rest } of raw) answers.push({ ...rest, bytes: await bytes });
  console.log(JSON.stringify({ made, answers }));
}
process.exit(0);
