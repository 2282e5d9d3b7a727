// An agent made with the A2A library for JavaScript, to hold the inbound proxy against. What a message says is what becomes of
// its task: `say` answers without a task, `work` ends at once, `ask` waits for its client, and `hold` works until it is
// released or cancelled. The directory of the libraries, the address and the interfaces are its arguments: `rest` and `rpc` are
// A2A 1.0's, and `rpc03` and `rest03` those of 0.3, which does not know how to list tasks.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, port, ...interfaces] = process.argv.slice(2);
const require = createRequire(pathToFileURL(modules + '/'));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { default: express } = await load('express');
const { Role, TaskState } = (await load('@a2a-js/sdk')).default;
const { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } = (await load('@a2a-js/sdk/server')).default;
const { jsonRpcHandler, restHandler, agentCardHandler, UserBuilder } = (await load('@a2a-js/sdk/server/express')).default;

const bindings = {
  rest: ['HTTP+JSON', '1.0', '/'], rpc: ['JSONRPC', '1.0', '/rpc'], rest03: ['HTTP+JSON', '0.3', '/'], rpc03: ['JSONRPC', '0.3', '/rpc'],
};
const card = {
  name: 'held', description: 'Does what it is told.', version: '1', capabilities: { streaming: true, pushNotifications: false, extensions: [] },
  supportedInterfaces: interfaces.map((name) => {
    const [protocolBinding, protocolVersion, path] = bindings[name];
    return { url: `http://127.0.0.1:${port}${path === '/' ? '' : path}`, protocolBinding, protocolVersion, tenant: '' };
  }),
  defaultInputModes: ['text/plain'], defaultOutputModes: ['text/plain'], securitySchemes: {}, securityRequirements: [], signatures: [],
  skills: [{ id: 'do', name: 'Do', description: 'Does it.', tags: [], examples: [], inputModes: [], outputModes: [], securityRequirements: [] }],
};

const held = new Map();
const states = new Map();

const agent = {
  async execute({ taskId, contextId, userMessage, task }, bus) {
    const said = userMessage.parts.map((p) => p.content.value).join('');
    const status = (state) => ({ state, timestamp: new Date().toISOString(), message: undefined });
    const move = (state) => {
      states.set(taskId, TaskState[state]);
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status(state), metadata: {} }));
    };
    const parts = [{ content: { $case: 'text', value: 'I heard: ' + said }, metadata: {}, filename: '', mediaType: '' }];
    if (said.startsWith('say')) {
      bus.publish(AgentEvent.message({ messageId: crypto.randomUUID(), contextId, taskId: '', role: Role.ROLE_AGENT, parts, metadata: {}, extensions: [], referenceTaskIds: [] }));
      bus.finished();
      return;
    }
    if (!task) {
      states.set(taskId, 'TASK_STATE_SUBMITTED');
      bus.publish(AgentEvent.task({ id: taskId, contextId, status: status(TaskState.TASK_STATE_SUBMITTED), artifacts: [], history: [userMessage], metadata: {} }));
    }
    move(TaskState.TASK_STATE_WORKING);
    if (said.startsWith('hold')) await new Promise((resolve) => held.set(taskId, { resolve, contextId }));
    if (states.get(taskId) === 'TASK_STATE_CANCELED') return;
    if (said.startsWith('ask')) {
      move(TaskState.TASK_STATE_INPUT_REQUIRED);
    } else {
      bus.publish(AgentEvent.artifactUpdate({ taskId, contextId, artifact: { artifactId: 'a', name: '', description: '', parts, metadata: {}, extensions: [] }, append: false, lastChunk: true, metadata: {} }));
      move(TaskState.TASK_STATE_COMPLETED);
    }
    bus.finished();
  },
  async cancelTask(taskId, bus) {
    const { contextId, resolve } = held.get(taskId) ?? {};
    held.delete(taskId);
    states.set(taskId, 'TASK_STATE_CANCELED');
    bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: { state: TaskState.TASK_STATE_CANCELED, timestamp: new Date().toISOString(), message: undefined }, metadata: {} }));
    bus.finished();
    resolve?.();
  },
};

const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), agent);
const legacyCompat = { enabled: interfaces.some((name) => name.endsWith('03')) };
const options = { requestHandler: handler, userBuilder: UserBuilder.noAuthentication, legacyCompat };
const app = express();

// What is true of the tasks, and the end of those that are held. Nobody but a test asks.
app.get('/truth', (_req, res) => {
  const sum = (...names) => [...states.values()].filter((s) => names.includes(s)).length;
  res.json({
    queueDepth: sum('TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING'), inFlight: sum('TASK_STATE_WORKING'),
    waitingForInput: sum('TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_AUTH_REQUIRED'),
  });
});
app.post('/release', (_req, res) => {
  for (const { resolve } of held.values()) resolve();
  held.clear();
  res.json({});
});
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handler }));
if (interfaces.some((name) => name.startsWith('rpc'))) app.use('/rpc', jsonRpcHandler(options));
if (interfaces.some((name) => name.startsWith('rest'))) app.use(restHandler(options));
app.listen(Number(port), '127.0.0.1', () => console.log('listening'));
