// An A2A server made with the A2A library for JavaScript, whose tasks are files in STATE_DIR. OPENAI_BASE_URL leads to the worker's
// monitor, which has the key.
import { TaskState } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore, ServerCallContext, UnauthenticatedUser } from '@a2a-js/sdk/server';
import { agentCardHandler, restHandler, UserBuilder } from '@a2a-js/sdk/server/express';
import express from 'express';
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import OpenAI from 'openai';

const dir = join(process.env.STATE_DIR, 'tasks');
const port = Number(process.env.PORT ?? 8080);
const model = new OpenAI();
const status = (state) => ({ state: TaskState[state], timestamp: new Date().toISOString(), message: undefined });

// The library's store in memory, with each task on disk before it is told of. A file is whole or not there.
class FileTaskStore extends InMemoryTaskStore {
  async save(task, context) {
    const file = join(dir, `${task.id}.json`);
    const beside = `${file}.${randomUUID()}.new`;
    const handle = await open(beside, 'w');
    await handle.writeFile(JSON.stringify(task));
    await handle.sync();
    await handle.close();
    await rename(beside, file);
    await super.save(task, context);
  }

  // read takes up what was kept. A task that was cut off has failed: nobody works on it any more, and its client should know.
  async read() {
    const context = new ServerCallContext({ user: new UnauthenticatedUser() });

    for (const file of await readdir(dir)) {
      if (!file.endsWith('.json')) continue;
      const task = JSON.parse(await readFile(join(dir, file), 'utf8'));
      const cut = [TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING].includes(task.status.state);
      await this.save(cut ? { ...task, status: status('TASK_STATE_FAILED') } : task, context);
    }
  }
}

const agent = {
  async execute({ taskId, contextId, userMessage, task }, bus) {
    const said = userMessage.parts.map((p) => p.content.value).join('');
    const move = (state) => bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status(state), metadata: {} }));

    if (!task) bus.publish(AgentEvent.task({ id: taskId, contextId, status: status('TASK_STATE_SUBMITTED'), artifacts: [], history: [userMessage], metadata: {} }));
    move('TASK_STATE_WORKING');

    try {
      const { choices } = await model.chat.completions.create({ model: process.env.OPENAI_MODEL, messages: [{ role: 'user', content: said }] });
      const parts = [{ content: { $case: 'text', value: choices[0].message.content }, metadata: {}, filename: '', mediaType: 'text/plain' }];
      bus.publish(
        AgentEvent.artifactUpdate({ taskId, contextId, artifact: { artifactId: 'answer', name: '', description: '', parts, metadata: {}, extensions: [] }, append: false, lastChunk: true, metadata: {} }),
      );
      move('TASK_STATE_COMPLETED');
    } catch (err) {
      console.error(err.message);
      move('TASK_STATE_FAILED');
    }

    bus.finished();
  },
  async cancelTask(taskId, bus) {
    bus.finished();
  },
};

const card = {
  name: 'planner', description: 'Plans work.', version: '1', capabilities: { streaming: true, pushNotifications: false, extensions: [] },
  supportedInterfaces: [{ url: process.env.AGENT_URL ?? `http://127.0.0.1:${port}`, protocolBinding: 'HTTP+JSON', protocolVersion: '1.0', tenant: '' }],
  defaultInputModes: ['text/plain'], defaultOutputModes: ['text/plain'], securitySchemes: {}, securityRequirements: [], signatures: [],
  skills: [{ id: 'plan', name: 'Plan', description: 'Plans work.', tags: [], examples: [], inputModes: [], outputModes: [], securityRequirements: [] }],
};

await mkdir(dir, { recursive: true });

const store = new FileTaskStore();
await store.read();

const requestHandler = new DefaultRequestHandler(card, store, agent);
const app = express();
app.get('/healthz', (_req, res) => res.json({}));
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
app.use(restHandler({ requestHandler, userBuilder: UserBuilder.noAuthentication }));

const server = app.listen(port);
process.once('SIGTERM', () => server.close(() => process.exit(0)));
